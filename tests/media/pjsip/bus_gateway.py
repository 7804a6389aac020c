"""The smallest gateway on the frame bus: a process of its own, because PJSIP is one per process.

Answers every call. Mode `echo` writes back what it hears; `recite` says recitation() from the start; `tone`
gives each leg a pitch of its own. Commands come as lines on standard input, reports leave as JSON lines on
standard output: `clear` and `state` report on the newest leg, `wake` on the event loop, `quit` on everything;
`dial` makes it call itself, over SRTP.
"""

from __future__ import annotations

import json
import queue
import select
import sys
import threading
import time
from collections import defaultdict
from typing import Any

import framebus
import numpy as np
import pjsua2 as pj

from callers.g711 import ulaw_decode
from tests.media.pjsip.sounds import FIRST_PITCH, PITCH_STEP, pitch, recitation, tone

HOST = "127.0.0.1"
RATE = 8000


class Call(pj.Call):  # type: ignore[misc]
    def __init__(self, account: pj.Account, gateway: Gateway, call_id: int = pj.PJSUA_INVALID_ID) -> None:
        super().__init__(account, call_id)
        self.gateway = gateway
        self.leg = gateway.bus.open()
        gateway.calls[self.leg] = self
        if call_id != pj.PJSUA_INVALID_ID:
            gateway.bus.bind(self.leg, call_id)

    def dial(self, uri: str) -> None:
        self.makeCall(uri, pj.CallOpParam(True))
        self.gateway.bus.bind(self.leg, self.getId())

    def onDtmfDigit(self, prm: pj.OnDtmfDigitParam) -> None:
        self.gateway.say("key", digit=prm.digit, at=time.monotonic())

    def onCallState(self, _prm: pj.OnCallStateParam) -> None:
        if self.getInfo().state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self.gateway.close(self.leg)


class Account(pj.Account):  # type: ignore[misc]
    gateway: Gateway

    def onIncomingCall(self, prm: pj.OnIncomingCallParam) -> None:
        answer = pj.CallOpParam()
        answer.statusCode = 200
        Call(self, self.gateway, prm.callId).answer(answer)


class Gateway:
    def __init__(self, mode: str, first_rtp_port: int) -> None:
        self.mode = mode
        self.bus = framebus.FrameBus(256, playout_seconds=60.0)
        self.calls: dict[int, Call] = {}
        self.gone: list[Call] = []
        self.closed_stats: list[dict[str, int]] = []
        self.events: list[tuple[int, ...]] = []
        self.frames: list[dict[str, Any]] = []
        self.heard: dict[int, list[bytes]] = defaultdict(list)
        self.commands: queue.Queue[str] = queue.Queue()
        self.stopping = False
        self.endpoint = pj.Endpoint()
        self._start(first_rtp_port)

    def _start(self, first_rtp_port: int) -> None:
        config = pj.EpConfig()
        config.uaConfig.threadCnt = 0
        config.uaConfig.mainThreadOnly = True
        config.uaConfig.maxCalls = 250
        config.logConfig.level = config.logConfig.consoleLevel = 0
        media = config.medConfig
        media.clockRate = media.sndClockRate = RATE
        media.audioFramePtime = framebus.BEAT_MS
        media.noVad = True
        media.ecTailLen = 0
        media.threadCnt = 1
        media.maxMediaPorts = 256
        self.endpoint.libCreate()
        self.endpoint.libInit(config)
        transport = pj.TransportConfig()
        transport.boundAddress = HOST
        bound = self.endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
        self.endpoint.libStart()
        self.bus.install()
        for codec in self.endpoint.codecEnum2():
            self.endpoint.codecSetPriority(codec.codecId, 128)
        account = pj.AccountConfig()
        account.idUri = f"sip:bus@{HOST}"
        account.mediaConfig.srtpUse = pj.PJMEDIA_SRTP_OPTIONAL
        account.mediaConfig.srtpSecureSignaling = 0
        rtp = account.mediaConfig.transportConfig
        rtp.boundAddress = HOST
        rtp.port, rtp.portRange = first_rtp_port, 1000
        self.account_config = account
        self.account = Account()
        self.account.gateway = self
        self.account.create(account)
        self.port = port = int(self.endpoint.transportGetInfo(bound).localName.rpartition(":")[2])
        self.say("ready", port=port, codecs=[codec.codecId for codec in self.endpoint.codecEnum2()])

    def say(self, report: str, **fields: Any) -> None:
        sys.stdout.write(json.dumps({"report": report, **fields}) + "\n")
        sys.stdout.flush()

    def close(self, leg: int) -> None:
        self.closed_stats.append(self.bus.stats(leg))
        self.bus.close(leg)
        self.gone.append(self.calls.pop(leg))  # not freed inside its own callback

    def srtp_only(self) -> pj.AccountConfig:
        self.account_config.mediaConfig.srtpUse = pj.PJMEDIA_SRTP_MANDATORY
        return self.account_config

    # --- media thread ---

    def media(self) -> None:
        pcm = np.zeros((1024, 320), np.int16)
        meta = np.zeros(1024, framebus.FRAME_DTYPE)
        ready = select.poll()
        ready.register(self.bus.fileno(), select.POLLIN)
        while not self.stopping:
            if not ready.poll(100):
                continue
            rows = self.bus.poll(pcm, meta)
            for event in self.bus.events():
                self.on_event(*event)
            for row in range(rows):
                self.on_frame(meta[row], pcm[row])

    def on_event(self, leg: int, kind: int, reply: int, value: int, t_ns: int) -> None:
        self.events.append((leg, kind, reply, value, t_ns))
        if kind == framebus.ATTACHED and self.mode == "recite":
            self.bus.write(leg, ulaw_decode(np.frombuffer(recitation(), np.uint8)), 1)
        if kind == framebus.ATTACHED and self.mode == "tone":
            self.bus.write(leg, tone(FIRST_PITCH + PITCH_STEP * len(self.heard), value), 1)
            self.heard[leg] = []

    def on_frame(self, meta: np.void, pcm: np.ndarray[Any, Any]) -> None:
        samples = int(meta["samples"])
        frame = {name: int(meta[name]) for name in ("leg", "samples", "pts", "arrived_ns", "flags")}
        self.heard[frame["leg"]].append(pcm[:samples].tobytes())
        self.frames.append({**frame, "seen_ns": time.monotonic_ns(), "middle": pcm[80:84].tolist()})
        if self.mode == "echo" and not meta["flags"]:
            try:
                self.bus.write(frame["leg"], pcm[:samples], 1)
            except ValueError:
                pass  # closed meanwhile by the SIP thread

    # --- SIP thread ---

    def run(self) -> None:
        threading.Thread(target=self._read_commands, daemon=True).start()
        media = threading.Thread(target=self.media)
        media.start()
        while not self.stopping:
            self.endpoint.libHandleEvents(1000)  # long on purpose: wakeup() must cut it short
            while not self.commands.empty():
                self.obey(self.commands.get())
        media.join()
        self.gone.clear()
        self.endpoint.libDestroy()

    def _read_commands(self) -> None:
        for line in sys.stdin:
            self.commands.put(line.strip())
            self.asked = time.monotonic()
            self.bus.wakeup()

    def obey(self, command: str) -> None:
        newest = max(self.calls, default=-1)
        if command == "clear":
            self.say("cleared", heard=self.bus.clear(newest))
        elif command == "wake":
            self.say("woke", after_ms=(time.monotonic() - self.asked) * 1000)
        elif command == "state":
            self.say("state", stats=self.bus.stats(newest), position=self.bus.position(newest))
        elif command.startswith("dial"):
            for codec in self.endpoint.codecEnum2():
                wanted = codec.codecId.lower().startswith(command.split()[1])
                self.endpoint.codecSetPriority(codec.codecId, 255 if wanted else 0)
            self.account.modify(self.srtp_only())
            Call(self.account, self).dial(f"sip:bus@{HOST}:{self.port}")
            self.say("dialled")
        elif command == "pitches":
            legs = {leg: self.bus.sample_rate(leg) for leg in self.calls}
            last = {leg: np.frombuffer(b"".join(self.heard[leg][-25:]), np.int16) for leg in legs}
            self.say(
                "pitches", rates=list(legs.values()), pitches=[pitch(last[leg], legs[leg]) for leg in legs]
            )
        elif command == "quit":
            self.stopping = True
            self.say(
                "end",
                events=self.events,
                frames=self.frames,
                totals=self.bus.totals(),
                closed=self.closed_stats,
                late=self.bus.tick_histogram().tolist()[0],
            )


if __name__ == "__main__":
    Gateway(sys.argv[1], int(sys.argv[2])).run()
