"""The smallest program over the media path: answers every call, hears it, and plays something back.

Runs as a process of its own, so that what it costs is counted apart. It talks over its standard streams:
one JSON object per line out, one command per line in.

    stats            counters of the endpoint and the bus
    stall SECONDS    hold the interpreter (GIL kept) so long, as a long garbage collection would
    say SECONDS      mode `say`: write so much sound at once on every call, as one reply
    writes           mode `bursts`: what was written, as [code, monotonic ns] pairs
    quit
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import os
import random
import sys
import time
from collections.abc import Callable
from typing import TextIO

import numpy as np
import structlog

from benchmarks.codes import coded_burst
from callers.speech import RATE
from media.frame import AudioFrame, Pcm, Voice
from media.legs.base import Leg, LegAnswered, LegClosed, LegEvent
from media.legs.sip_endpoint import SipEndpoint
from media.legs.sip_settings import SipSettings
from media.vad import VadMode, VadSettings, open_detector

_BURST_EVERY = (1.0, 2.0)
"""Seconds between two bursts of a call, drawn evenly, so that they meet every phase of the media clock."""


class Part:
    """One call: counts what it hears and does what the mode asks."""

    def __init__(self, node: EchoNode, leg: Leg) -> None:
        self._node = node
        self._leg = leg
        self._reply = 0
        self._next_pts = 0

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        node = self._node
        node.heard += 1
        node.skipped += (frame.pts - self._next_pts) // len(frame.pcm)
        self._next_pts = frame.end_pts
        node.lost += frame.lost
        node.voiced += voice.quick
        if node.mode == "echo":
            self._leg.playout.write(frame.pcm, 1)

    def notice(self, event: LegEvent) -> None:
        if isinstance(event, LegAnswered) and self._node.mode == "bursts":
            self._later()
        elif isinstance(event, LegClosed):
            self._node.parts.discard(self)

    def say(self, pcm: Pcm) -> None:
        """One reply, handed over whole."""
        self._reply += 1
        self._leg.playout.write(pcm, self._reply)
        self._leg.playout.finish()

    def _later(self) -> None:
        asyncio.get_running_loop().call_later(random.uniform(*_BURST_EVERY), self._burst)

    def _burst(self) -> None:
        if self not in self._node.parts:
            return
        code = len(self._node.writes)
        pcm = coded_burst(code)
        self._node.writes.append((code, time.monotonic_ns()))
        self.say(pcm)
        self._later()


class EchoNode:
    """Answers every call."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.parts: set[Part] = set()
        self.writes: list[tuple[int, int]] = []
        self.heard = self.skipped = self.lost = self.voiced = 0
        self.failures: list[str] = []
        self._answers: set[asyncio.Task[None]] = set()

    def take(self, leg: Leg) -> None:
        part = Part(self, leg)
        self.parts.add(part)
        leg.attach(part)
        task = asyncio.get_running_loop().create_task(leg.answer())
        self._answers.add(task)
        task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._answers.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.failures.append(str(error))


async def run(options: argparse.Namespace) -> None:
    """Serve until told to quit."""
    loop = asyncio.get_running_loop()
    node = EchoNode(options.mode)
    settings = SipSettings(
        udp_port=0,
        max_calls=options.max_calls,
        rtp_first_port=options.rtp_first_port,
        rtp_last_port=options.rtp_first_port + 4 * options.max_calls + 1,
        port_quarantine_s=0.0,
        codecs=("PCMU",),
    )
    endpoint = SipEndpoint(settings, node.take, open_detector(VadSettings(VadMode(options.vad))), loop)
    await endpoint.start()
    _tell({"ready": next(iter(endpoint.ports.values()))})
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().split():
        if line[0] == "quit":
            break
        _tell(_commands(node, endpoint)[line[0]](*map(float, line[1:])))
    await endpoint.aclose()


def _commands(node: EchoNode, endpoint: SipEndpoint) -> dict[str, Callable[..., object]]:
    def stats() -> object:
        mine = {"heard": node.heard, "skipped": node.skipped, "lost": node.lost, "voiced": node.voiced}
        mine.update(open=len(node.parts), failed_answers=len(node.failures))
        return {**endpoint.stats(), **mine}

    def stall(seconds: float) -> object:
        began = time.monotonic_ns()
        ctypes.PyDLL(None).usleep(int(seconds * 1e6))  # PyDLL keeps the GIL while it waits
        return {"stalled": [began, time.monotonic_ns()]}

    def say(seconds: float) -> object:
        phase = np.arange(round(seconds * RATE)) * (2 * np.pi * 440 / RATE)
        pcm = (6000 * np.sin(phase)).astype(np.int16)
        for part in list(node.parts):
            part.say(pcm)
        return {"said": time.monotonic_ns()}

    return {"stats": stats, "stall": stall, "say": say, "writes": lambda: node.writes}


def _answers_alone() -> TextIO:
    """Our standard output; what others write there, PJSIP's native part too, goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def _tell(message: object) -> None:
    _answers.write(json.dumps(message) + "\n")
    _answers.flush()


_answers = sys.stdout


def main() -> None:
    global _answers
    parser = argparse.ArgumentParser(prog="python -m benchmarks.echo_node", description=__doc__)
    parser.add_argument("--mode", choices=["echo", "say", "bursts"], default="echo")
    parser.add_argument("--vad", choices=[str(mode) for mode in VadMode], default="webrtc")
    parser.add_argument("--max-calls", type=int, default=400)
    parser.add_argument("--rtp-first-port", type=int, default=20_000)
    options = parser.parse_args()
    _answers = _answers_alone()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("warning"))
    asyncio.run(run(options))


if __name__ == "__main__":
    main()
