"""What of a caller's wait is the gateway's own, when all else takes a known time; from RTP at the caller.

    packet that ends the hangover ── 60 ms final ── 200 ms agent ── 60 ms voice ──> first packet heard
                                 └────────── and what comes on top of these: the share ──────────┘

The node is `offhook up` with a scripted recogniser and voice (`scripted_node`) and its `chat` agent, which
asks a real HTTP endpoint. Nothing is done ahead (`speculate: false`), and the turn is over as soon as the
hangover is, so all delays lie one behind the other and are subtracted in full. What remains is the wait for
the media clock's next beat on the way in (0 to 5 ms) and for the leg's next packet on the way out (0 to
20 ms), voice detection, the loop, HTTP, encoding, and timers that wake late. One column takes the two waits
for the clock off, at their mean.

Both moments are the kernel's stamps of packets at the caller's side. Which of the caller's packets ended the
hangover is what the call's record says, and is checked twice: the record's time must fall on a packet (within
3 ms), and the same detector and segmenter, fed with the packets that were captured, must come to the very
same packet. They are fed as the gateway's are: 5 ms late, by which its loss concealment holds every frame
back, and at each place that the first packet can have in the detector's windows of 32 ms, for nobody outside
knows how many frames of nothing went before it. One of these places must explain the call. Turns whose packet
it does not name are not timed, but counted as unmatched.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import yaml

from benchmarks.arguments import parser
from benchmarks.conversations import Conversation, hold
from benchmarks.gateway import GatewayProcess
from benchmarks.report import Report, quantiles
from benchmarks.scripted_chat import ScriptedChat
from callers.g711 import Pcm, ulaw_decode
from callers.rtp import RtpStream
from callers.speech import Prompt, Track, build_track, load_prompts
from media.frame import AudioFrame
from media.segmenter import SegmenterSettings, SpeechEnded, SpeechSegmenter
from media.vad import VadSettings, open_detector

_COLUMNS = ("calls", "turns", "unmatched", "unanswered", "p50 ms", "p95 ms", "p99 ms", "max ms",
            "less clock", "rx", "asr", "agent", "tts", "tx", "endpoint p50/p99")  # fmt: skip
_P50, _P99 = 25.0, 40.0
FINAL, AGENT, VOICE = 0.06, 0.2, 0.06
"""The known delays, in seconds."""
_HOPS = {"rx": 0.0, "asr_final": 60.0, "agent": 200.0, "tts": 60.0, "tx": 0.0}
"""The record's hops that are looked at, and what of each is known, in ms."""
_CLOCK_MS = 2.5 + 10.0
"""Both waits for the media clock together, at their mean."""
_RATE, _FRAME = 8000, 160
_HELD_BACK = 40
"""Samples by which loss concealment delays what is heard (`media/pjsip/config_site.h`)."""
_PLACES = 8
"""After so many frames of 20 ms the detector's windows of 32 ms begin with a frame again."""
_AGREE_MS = 3.0


def settings(url: str) -> dict[str, Any]:
    """The node's configuration."""
    return {
        "asr": {"engine": "scripted", "settings": {"final": FINAL}},
        "tts": {"engine": "scripted", "settings": {"first": VOICE}, "cache": {"bytes": 0}},
        "agents": {"desk": {"kind": "chat", "base_url": url, "model": "m", "greeting": ""}},
        "session": {
            "turns": {
                "endpointing": {"mode": "fixed", "done": 0.01, "undecided": 0.01, "unfinished": 0.01},
                "barge_in": {"policy": "off"},
                "speculate": False,
                "reopen_gap": 0.0,
            }
        },
    }  # fmt: skip


def hangovers(stream: RtpStream) -> list[list[int]]:
    """When the packets that ended a hangover were on the wire, for each place of the first one."""
    keep = [number for number, payload in enumerate(stream.payload) if len(payload) == _FRAME]
    if not keep:
        return []
    sound = ulaw_decode(np.frombuffer(b"".join(stream.payload[number] for number in keep), dtype=np.uint8))
    return [[int(stream.arrived_ns[keep[frame]]) for frame in ended] for ended in _ends(sound)]


def unbroken(prompts: Sequence[Prompt]) -> list[Prompt]:
    """Those without a pause that would end a turn in their middle, wherever they lie in the windows."""
    around = np.zeros(_RATE, dtype=np.int16)
    return [
        prompt
        for prompt in prompts
        if all(len(ended) == 1 for ended in _ends(np.concatenate([around, prompt.pcm, around])))
    ]


def _ends(sound: Pcm) -> list[list[int]]:
    """The frames that end a hangover, for each place of the first frame: so many empty ones before it."""
    detector = open_detector(VadSettings())
    segmenters = [SpeechSegmenter(SegmenterSettings(), _RATE) for _ in range(_PLACES)]
    held_back = np.concatenate([np.zeros(_HELD_BACK, dtype=np.int16), sound])
    places = list(range(_PLACES))
    found: list[list[int]] = [[] for _ in places]
    nothing = np.zeros(_FRAME, dtype=np.int16)
    whole = len(sound) // _FRAME
    for step in range(whole + _PLACES - 1):
        frames = [step - place for place in places]
        inside = [0 <= at < whole for at in frames]
        pcm = np.stack(
            [
                held_back[at * _FRAME : (at + 1) * _FRAME] if there else nothing
                for at, there in zip(frames, inside, strict=True)
            ]
        )
        voices = detector.judge(places, pcm, [_FRAME] * _PLACES, [_RATE] * _PLACES)
        for place, voice in enumerate(voices):
            frame = AudioFrame(pcm[place], _RATE, step * _FRAME, step * _FRAME / _RATE)
            ended = any(isinstance(event, SpeechEnded) for event in segmenters[place].push(frame, voice))
            if ended and inside[place]:
                found[place].append(frames[place])
    return found


class Turns:
    """The turns of many calls."""

    def __init__(self) -> None:
        self.shares: list[float] = []
        self.unmatched = 0
        self.unanswered = 0
        self.hops: dict[str, list[float]] = {}

    def take(self, conversation: Conversation) -> None:
        """One call: its hangovers, each with its answer on the wire and its entry in the record."""
        turns = [turn for turn in conversation.record["turns"] if turn["number"]]
        places = [ends for ends in hangovers(conversation.caller) if len(ends) == len(turns)]
        if not places:
            self.unmatched += len(turns)
            return
        timed = [_timed(conversation, ends, turns) for ends in places]
        best = max(timed, key=lambda place: sum(share is not None for _, share in place))
        self.unanswered += len(turns) - len(best)
        for turn, share in best:
            if share is None:
                self.unmatched += 1
                continue
            self.shares.append(share)
            for hop in _HOPS:
                self.hops.setdefault(hop, []).append(turn["hops_ms"][hop])


def _timed(
    conversation: Conversation, ends: Sequence[int], turns: Sequence[dict[str, Any]]
) -> list[tuple[dict[str, Any], float | None]]:
    """The turns that were answered, each with the share, or None where record and packets do not agree."""
    audible = conversation.reply.arrived_ns[conversation.reply.audible_packets()]
    sent = conversation.caller.arrived_ns
    found: list[tuple[dict[str, Any], float | None]] = []
    for (at, until), turn in zip(pairwise([*ends, np.iinfo(np.int64).max]), turns, strict=True):
        after = audible[(audible > at) & (audible < until)]
        if not len(after) or not turn["hops_ms"]:
            continue
        answered = int(after[0])
        told = answered - round((turn["turn_ms"] - turn["hops_ms"]["vad"]) * 1e6)
        packet = int(sent[np.argmin(np.abs(sent - told))])
        agreed = packet == at and abs(packet - told) / 1e6 <= _AGREE_MS
        known = (FINAL + AGENT + VOICE) * 1000
        found.append((turn, (answered - packet) / 1e6 - known if agreed else None))
    return found


def tracks(prompts: Sequence[Prompt], calls: int, each: int) -> list[Track]:
    """One per call, of prompts that begin at other places of the list, and after other waits."""
    chosen = [[prompts[(call * each + n) % len(prompts)] for n in range(each)] for call in range(calls)]
    return [
        build_track(part, lead=1.0 + 0.0137 * (call % 20), gap=2.0, tail=2.0)
        for call, part in enumerate(chosen)
    ]


@contextmanager
def node() -> Iterator[tuple[GatewayProcess, ScriptedChat]]:
    """The node under test and the endpoint that it asks."""
    with ScriptedChat(AGENT).running() as chat:
        gateway = GatewayProcess(settings(chat.url), module="benchmarks.scripted_node")
        plan = gateway.folder / "plan.yaml"
        routes = [{"name": "desk", "match": {"called": "desk"}, "actions": ["answer", {"agent": "desk"}]}]
        plan.write_text(yaml.safe_dump({"routes": routes}), encoding="utf-8")
        gateway.configure({"dialplan": {"files": [str(plan)]}})
        with gateway:
            yield gateway, chat


def add(report: Report, calls: int, conversations: Sequence[Conversation], chat: ScriptedChat) -> None:
    """A row and its bars."""
    turns = Turns()
    for conversation in conversations:
        turns.take(conversation)
    p50, p95, p99, most = quantiles(turns.shares, 0.5, 0.95, 0.99, 1.0)
    hops = {hop: quantiles(values, 0.5, 0.99) for hop, values in turns.hops.items()}
    middle = {hop: hops[hop][0] if hop in hops else float("nan") for hop in _HOPS}
    took = [value * 1000 for value in quantiles(chat.took, 0.5, 0.99)]
    report.row(
        calls, len(turns.shares), turns.unmatched, turns.unanswered, p50, p95, p99, most, p50 - _CLOCK_MS,
        *(middle[hop] - known for hop, known in _HOPS.items()), f"{took[0]:.1f}/{took[1]:.1f}",
    )  # fmt: skip
    total = len(turns.shares) + turns.unmatched + turns.unanswered
    if calls > 1:
        report.bar(f"gateway's share p50 at {calls} calls", p50, _P50, "ms")
        report.bar(f"gateway's share p99 at {calls} calls", p99, _P99, "ms")
    report.bar(
        f"turns not timed at {calls} calls", 100 * (total - len(turns.shares)) / max(1, total), 5.0, "%"
    )
    report.details[f"{calls} calls"] = {"shares_ms": turns.shares, "hops_p50_p99_ms": hops}


def run(options: argparse.Namespace) -> int:
    """One call first, then many."""
    report = Report("turns", _COLUMNS)
    prompts = unbroken(load_prompts(options.speech))
    with node() as (gateway, chat):
        hold(gateway, tracks(prompts[:1], 1, 1), called="desk")  # the first turn is not the thousandth
        for calls in (1, options.calls):
            chat.took.clear()
            spoken = tracks(prompts, calls, options.each)
            add(report, calls, hold(gateway, spoken, called="desk", stagger=0.137), chat)
    report.note(
        f"known delays: {FINAL * 1000:.0f} + {AGENT * 1000:.0f} + {VOICE * 1000:.0f} ms, subtracted in full"
    )
    return report.finish()


def main() -> int:
    arguments = parser("turns", __doc__ or "")
    arguments.add_argument("--calls", type=int, default=20, help="concurrent calls of the second part")
    arguments.add_argument("--each", type=int, default=15, help="prompts in each call")
    return run(arguments.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
