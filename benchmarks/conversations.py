"""Recorded callers who talk with the `echo` agent over live calls, and what each side sent."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gateway import GatewayProcess
from callers.capture import Capture
from callers.rtp import RtpStream
from callers.sipp import CallPlan, Sipp
from callers.speech import Spoken, Track


class ConversationLost(RuntimeError):
    """A call or its streams did not come about; the message says which."""


@dataclass(frozen=True)
class Conversation:
    """One call with prompts in it."""

    track: Track
    caller: RtpStream
    reply: RtpStream
    record: dict[str, Any]

    def said(self) -> str:
        """Every word that the gateway understood, in order."""
        return " ".join(turn["said"] for turn in self.record["turns"] if turn["number"])

    def start_ns(self, spoken: Spoken) -> int:
        """When the prompt's first voiced sample was spoken."""
        return self.caller.sound.spoken_ns(spoken.start)

    def end_ns(self, spoken: Spoken) -> int:
        """When its last voiced sample had been spoken."""
        return self.caller.sound.spoken_ns(spoken.end - 1) + 125_000


@dataclass(frozen=True, slots=True)
class Exchange:
    """One prompt and what followed it, from the wire."""

    name: str
    answer_ms: float
    """True end of speech to the first audible packet of the reply; NaN when none came."""
    cut: bool
    """A reply to a part of the prompt sounded before the prompt was over."""


def hold(
    gateway: GatewayProcess, tracks: Sequence[Track], *, called: str = "echo", stagger: float = 0.7
) -> list[Conversation]:
    """Place one call per track, each from a port of its own, and listen to all of them to their ends."""
    before = len(gateway.records())
    with tempfile.TemporaryDirectory(prefix="calls-") as folder, ExitStack() as running:
        calls: list[Sipp] = []
        for number, track in enumerate(tracks):
            audio = track.write_ulaw(Path(folder) / f"{number}.ulaw")
            plan = CallPlan(gateway.target, called, f"b{number:03}", audio=audio, hold_s=track.seconds)
            calls.append(Sipp(plan))
        capture = Capture(Path(folder) / "rtp.pcap", [sipp.media_port for sipp in calls])
        with capture:
            for sipp in calls:
                running.enter_context(sipp)
                time.sleep(stagger if len(calls) > 1 else 0.0)
            failed = [
                counts.errors for sipp in calls if not (counts := sipp.wait()).answered or counts.failed
            ]
        if failed:
            raise ConversationLost(f"{len(failed)} of {len(calls)} calls failed: {failed[0]}")
        records = gateway.await_records(before + len(calls))[before:]
        by_caller = {record["parties"]["caller"]: record for record in records}
        streams = capture.streams()
    return [
        _match(track, sipp, streams, by_caller.get(sipp.plan.caller))
        for track, sipp in zip(tracks, calls, strict=True)
    ]


def _match(track: Track, sipp: Sipp, streams: list[RtpStream], record: dict[str, Any] | None) -> Conversation:
    caller = [stream for stream in streams if stream.source.port == sipp.media_port]
    reply = [stream for stream in streams if stream.destination.port == sipp.media_port]
    if len(caller) != 1 or len(reply) != 1 or record is None:
        found = f"{len(caller)} streams out, {len(reply)} in, record {record is not None}"
        raise ConversationLost(f"call {sipp.plan.caller}: {found}")
    return Conversation(track, caller[0], reply[0], record)


def exchanges(conversation: Conversation) -> list[Exchange]:
    """Each prompt of a call with the answer to it."""
    audible = conversation.reply.audible_packets()
    arrived = conversation.reply.arrived_ns
    spoken = conversation.track.spoken
    ends = [conversation.start_ns(later) for later in spoken[1:]] + [int(arrived[-1]) + 1]
    found: list[Exchange] = []
    for prompt, until in zip(spoken, ends, strict=True):
        start, end = conversation.start_ns(prompt), conversation.end_ns(prompt)
        # The echo of the prompt before may still sound as this one begins; one that begins within it may not.
        inside = audible & (arrived >= start) & (arrived < end)
        cut = bool(_begins_within(arrived[audible], inside[audible]))
        after = arrived[audible & (arrived >= end) & (arrived < until)]
        answer = (int(after[0]) - end) / 1e6 if len(after) and not cut else float("nan")
        found.append(Exchange(prompt.prompt.name, answer, cut))
    return found


def _begins_within(audible: np.ndarray[Any, Any], inside: np.ndarray[Any, Any]) -> bool:
    """Whether sound begins, after half a second without any, at one of the packets inside."""
    pause = np.diff(audible, prepend=audible[:1] - 10 * 500_000_000) > 500_000_000
    return bool(np.any(pause & inside))
