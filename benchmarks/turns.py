"""What of a caller's wait is the gateway's own, when all else takes a known time; from RTP at the caller.

    packet that ends the hangover ── 60 ms final ── 200 ms agent ── 60 ms voice ──> first packet heard
                                 └────────── and what comes on top of these: the share ──────────┘

The node is `offhook up` with a scripted recogniser and voice (`scripted_node`) and its `chat` agent, which
asks a real HTTP endpoint. Nothing is done ahead (`speculate: false`), and the turn is over as soon as the
hangover is, so all delays lie one behind the other and are subtracted in full. What remains is the jitter
buffer, the wait for the media clock's next tick (0 to 20 ms on the way in, and again on the way out), voice
detection, the loop, HTTP, and encoding. One column takes the two waits for the clock off, at their mean.

Both moments are the kernel's stamps of packets at the caller's side. Which of the caller's packets ended the
hangover is what the call's record says, and is checked twice: the record's time must fall on a packet (within
3 ms), and the same detector and segmenter, fed with the packets that were captured, must come to the same
packet, give or take one (the gateway hears them through its jitter buffer). Other turns are not timed, but
counted as unmatched.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import yaml

from benchmarks.arguments import parser
from benchmarks.conversations import Conversation, hold
from benchmarks.gateway import GatewayProcess
from benchmarks.report import Report, quantiles
from benchmarks.scripted_chat import ScriptedChat
from callers.g711 import ulaw_decode
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
_CLOCK_MS = 20.0
"""Both waits for the media clock together, at their mean."""
_RATE, _FRAME, _FRAME_MS = 8000, 160, 20.0
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


def hangovers(stream: RtpStream) -> list[tuple[SpeechEnded, int]]:
    """Each end of a hangover in what a caller sent, and when the packet that brought it was on the wire."""
    detector = open_detector(VadSettings())
    segmenter = SpeechSegmenter(SegmenterSettings(), _RATE)
    found: list[tuple[SpeechEnded, int]] = []
    start = int(stream.arrived_ns[0])
    for number, (payload, arrived) in enumerate(zip(stream.payload, stream.arrived_ns, strict=True)):
        pcm = ulaw_decode(np.frombuffer(payload, dtype=np.uint8))
        if len(pcm) != _FRAME:
            continue
        (voice,) = detector.judge([0], pcm[None, :], [_FRAME], [_RATE])
        frame = AudioFrame(pcm, _RATE, number * _FRAME, (int(arrived) - start) / 1e9)
        found += [
            (event, int(arrived)) for event in segmenter.push(frame, voice) if isinstance(event, SpeechEnded)
        ]
    return found


def unbroken(prompts: Sequence[Prompt]) -> list[Prompt]:
    """Those without a pause that would end a turn in their middle."""
    return [prompt for prompt in prompts if len(list(_ends(prompt))) == 1]


def _ends(prompt: Prompt) -> Iterator[SpeechEnded]:
    detector = open_detector(VadSettings())
    segmenter = SpeechSegmenter(SegmenterSettings(), _RATE)
    silence = np.zeros(_RATE, dtype=np.int16)
    line = np.concatenate([silence, prompt.pcm, silence])
    for at in range(0, len(line) - _FRAME, _FRAME):
        pcm = line[at : at + _FRAME]
        (voice,) = detector.judge([0], pcm[None, :], [_FRAME], [_RATE])
        for event in segmenter.push(AudioFrame(pcm, _RATE, at, at / _RATE), voice):
            if isinstance(event, SpeechEnded):
                yield event


class Turns:
    """The turns of many calls."""

    def __init__(self) -> None:
        self.shares: list[float] = []
        self.unmatched = 0
        self.unanswered = 0
        self.hops: dict[str, list[float]] = {}

    def take(self, conversation: Conversation) -> None:
        """One call: its hangovers, each with its answer on the wire and its entry in the record."""
        ends = hangovers(conversation.caller)
        turns = [turn for turn in conversation.record["turns"] if turn["number"]]
        if len(ends) != len(turns):
            self.unmatched += max(len(ends), len(turns))
            return
        audible = conversation.reply.arrived_ns[conversation.reply.audible_packets()]
        for place, ((_, at), turn) in enumerate(zip(ends, turns, strict=True)):
            until = ends[place + 1][1] if place + 1 < len(ends) else np.iinfo(np.int64).max
            after = audible[(audible > at) & (audible < until)]
            if not len(after) or not turn["hops_ms"]:
                self.unanswered += 1
                continue
            told = int(after[0]) - round((turn["turn_ms"] - turn["hops_ms"]["vad"]) * 1e6)
            sent = conversation.caller.arrived_ns
            packet = int(sent[np.argmin(np.abs(sent - told))])
            if abs(packet - told) / 1e6 > _AGREE_MS or abs(packet - at) / 1e6 > _FRAME_MS + _AGREE_MS:
                self.unmatched += 1
            else:
                known = (FINAL + AGENT + VOICE) * 1000
                self.shares.append((int(after[0]) - packet) / 1e6 - known)
                for hop in _HOPS:
                    self.hops.setdefault(hop, []).append(turn["hops_ms"][hop])


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
