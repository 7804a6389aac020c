"""How many browsers one core carries, what each costs, and how late they hear each other.

Callers of `callers.rtc_load` speak without pause to an echo in a process of its own, which may use one core;
some of them, the probes, send pulses of a tone instead. From a pulse's first sample at the mouth to its echo
at the ear is mouth to ear: two ways through the wire, and what the process adds between. A player at the ear
would add its own buffer. Beside our leg, in the same run, the library's own echo of a relayed track.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import soxr

from benchmarks.arguments import numbers, parser
from benchmarks.children import Child
from benchmarks.processes import Usage, core_share, usage
from benchmarks.report import Report, quantiles
from callers.rtc_load import RATE, LoadCaller, encoded, mouth_to_ear, pulses
from callers.speech import RATE as PROMPT_RATE
from callers.speech import load_prompts

_COLUMNS = (
    "arm", "calls", "CPU %", "CPU %/call", "RSS MiB", "threads", "mouth to ear p50 ms", "p95", "p99", "worst",
    "pulses", "not heard", "packets back %", "loop late p99 ms", "callers' CPU %",
)  # fmt: skip
_PROBES = 8
_MOUTH_TO_EAR_MS = 120.0
_TIMES_THE_LIBRARY = 2.0
_LARGEST_ANSWER = 1 << 20


class EchoNode(Child[str]):
    """`webrtc_echo_node` on one core."""

    def __init__(self, arm: str, vad: str, calls: int, core: int) -> None:
        super().__init__()
        self._command = ["--arm", arm, "--vad", vad, "--calls", str(calls + 10)]
        self._core = core

    def answer(self, offer: str) -> str:
        """The node's answer to an offer."""
        self._ask({"offer": offer})
        return str(self._heard()["answer"])

    def lag(self) -> list[float]:
        """How late its event loop was since this was asked last, milliseconds."""
        self._ask({"lag": True})
        found: list[float] = self._heard()["lag"]  # type: ignore[assignment]
        return found

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["taskset", "-c", str(self._core), sys.executable, "-m", "benchmarks.webrtc_echo_node",
             *self._command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def _await_ready(self) -> None:
        self._heard()

    def _stop(self, process: subprocess.Popen[str]) -> None:
        process.communicate('{"quit": true}\n', timeout=10)

    def _ask(self, message: object) -> None:
        assert self.running.stdin is not None
        self.running.stdin.write(json.dumps(message) + "\n")
        self.running.stdin.flush()

    def _heard(self) -> dict[str, object]:
        assert self.running.stdout is not None
        line = self.running.stdout.readline(_LARGEST_ANSWER)
        if not line:
            raise RuntimeError("the echo node is gone")
        found: dict[str, object] = json.loads(line)
        return found


@dataclass(frozen=True, slots=True)
class Point:
    """One arm at one number of calls."""

    arm: str
    calls: int
    cpu: float
    after: Usage
    delays_ms: list[float]
    missed: int
    back: float
    """Per cent of the packets that talking callers sent which came back."""
    callers_cpu: float
    lag_ms: list[float]
    """How late the node's event loop came round, each 10 ms."""

    @property
    def p99(self) -> float:
        """Mouth to ear; infinite where pulses went lost."""
        (p99,) = quantiles(self.delays_ms, 0.99)
        return p99 if self.missed <= 0.01 * (len(self.delays_ms) + self.missed) else float("inf")


async def measure(node: EchoNode, arm: str, calls: int, speech: list[bytes], steady: float) -> Point:
    """Bring up the calls, let them settle, and watch."""
    tones = encoded(pulses())
    probes = min(_PROBES, calls)
    callers = [LoadCaller(tones if i < probes else speech, i * 37, probe=i < probes) for i in range(calls)]
    try:
        for caller in callers:
            answer = await asyncio.to_thread(node.answer, await caller.offer())
            await caller.connect(answer)
        await asyncio.sleep(3.0)
        since, before, mine = time.monotonic(), usage(node.pid), usage(os.getpid())
        counted = [caller.received for caller in callers]
        node.lag()
        await asyncio.sleep(steady)
        after, mine_after, lag = usage(node.pid), usage(os.getpid()), node.lag()
        came = sum(
            caller.received - was for caller, was in zip(callers[probes:], counted[probes:], strict=True)
        )
        await asyncio.sleep(0.7)
    finally:
        await asyncio.gather(*(caller.close() for caller in callers), return_exceptions=True)
    delays: list[float] = []
    missed = 0
    for caller in callers[:probes]:
        found, lost = mouth_to_ear(caller, since)
        delays += [delay * 1000 for delay in found]
        missed += lost
    due = (calls - probes) * 50 * (after.at - before.at)
    back = 100 * came / due if due else float("nan")
    return Point(
        arm, calls, core_share(before, after), after, delays, missed, back, core_share(mine, mine_after), lag
    )


def add(report: Report, point: Point) -> None:
    """A row for the table."""
    p50, p95, p99, worst = quantiles(point.delays_ms, 0.5, 0.95, 0.99, 1.0)
    (lag,) = quantiles(point.lag_ms, 0.99)
    report.row(
        point.arm, point.calls, point.cpu, point.cpu / point.calls, round(point.after.rss_mib),
        point.after.threads, p50, p95, p99, worst, len(point.delays_ms), point.missed, point.back,
        lag, point.callers_cpu,
    )  # fmt: skip


def judge(report: Report, points: list[Point]) -> None:
    """The promises."""
    ours = [point for point in points if point.arm == "offhook"]
    theirs = [point for point in points if point.arm != "offhook"]
    within = max((point.calls for point in ours if point.p99 <= _MOUTH_TO_EAR_MS), default=0)
    report.bar(f"offhook: calls with p99 within {_MOUTH_TO_EAR_MS:.0f} ms", within, 1, at_least=True)
    at_least = min((point.p99 for point in ours), default=float("nan"))
    report.bar("offhook: mouth to ear p99 at the fewest calls", at_least, _MOUTH_TO_EAR_MS, "ms")
    if not theirs:
        return
    # The library at the most calls that it carries; ours may take no longer there.
    carried = [point for point in theirs if point.p99 < 2 * min(other.p99 for other in theirs)]
    if not carried:
        report.note("the library carried no point")
        return
    most = max(carried, key=lambda point: point.calls)
    same = max((point.calls for point in ours if point.p99 <= most.p99), default=0)
    report.bar(
        f"calls at the library's p99 ({most.p99:.0f} ms at {most.calls})", same / most.calls,
        _TIMES_THE_LIBRARY, "times", at_least=True,
    )  # fmt: skip


def main() -> int:
    arguments = parser("webrtc_capacity", __doc__ or "")
    arguments.add_argument("--calls", type=numbers, default=[1, 10, 20, 40, 60], help="points of our curve")
    arguments.add_argument("--library", type=numbers, default=[1, 10, 20], help="points of the library's")
    arguments.add_argument("--vad", default="both", help="voice detector of our arm")
    arguments.add_argument("--steady", type=float, default=10.0, help="seconds watched at each point")
    return run(arguments.parse_args())


def run(options: argparse.Namespace) -> int:
    """Measure both arms at every number of calls."""
    report = Report("webrtc_capacity", _COLUMNS)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(
        0, {cores[0]}
    )  # the callers keep off the core of what is measured, where there are two
    sound = np.concatenate([prompt.pcm for prompt in load_prompts(options.speech)])
    speech = encoded(soxr.resample(sound.astype(np.float32), PROMPT_RATE, RATE).astype(np.int16))
    points: list[Point] = []
    for arm, counts in (("offhook", options.calls), ("aiortc echo", options.library)):
        for calls in counts:
            kind = "ours" if arm == "offhook" else "library"
            with EchoNode(kind, options.vad, calls, cores[-1]) as node:
                points.append(asyncio.run(measure(node, arm, calls, speech, options.steady)))
                add(report, points[-1])
    judge(report, points)
    if len(cores) < 2:
        report.note("callers and node shared one core")
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
