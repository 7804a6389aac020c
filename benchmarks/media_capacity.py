"""How many calls the media path carries, and what each costs.

SIPp holds N calls that all talk; `echo_node` hears every frame, judges its voice and writes it back.
Counted are the CPU time of that process alone in the steady phase, the frames it lost, and on the wire the
gaps between the packets that it sends. Beside it, where a chroot of Asterisk is at hand, Asterisk's `Echo()`
under the same load.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.arguments import numbers, parser
from benchmarks.asterisk import EchoAsterisk
from benchmarks.load import Load, Steady, looped_speech, run_load
from benchmarks.nodes import EchoProcess
from benchmarks.report import OUTPUT, Report, quantiles
from callers.asterisk import AsteriskMissing
from callers.speech import load_prompts

_PTIME_MS = 20.0
_GAP_LIMIT_MS = 2.0
_CPU_LIMITS = {"webrtc": 0.20, "silero": 0.30, "both": 0.30}
"""Per cent of a core per call."""
_LOSSES = ("skipped", "bus_dropped", "bus_jb_discarded", "bus_late")
"""Frames that never reached the listener: not read in time, thrown away, too late."""
_COLUMNS = (
    "arm", "calls", "talking", "CPU %/call", "CPU %", "RSS MiB", "frames lost", "concealed", "out lost",
    "gap p50 ms", "gap p99 ms", "gap max ms", "caller gap p99 ms", "SIPp CPU %",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Point:
    """One arm at one number of calls."""

    arm: str
    calls: int
    steady: Steady
    frames_lost: int
    """Caller frames that were not heard; -1 where nobody counts them."""
    losses: dict[str, int]
    """The same by where they were lost."""
    concealed: int
    """Frames made up because the caller's packet was not there in time; its sound then came later."""

    @property
    def cpu_per_call(self) -> float:
        """Of the calls that were really there."""
        return self.steady.cpu_percent / max(1, self.steady.streams)


def measure_ours(vad: str, calls: int, load: Load) -> Point:
    """One point of our own curve."""
    with EchoProcess(vad=vad, max_calls=calls + 20) as node:
        looks: list[Any] = []
        ours = Load(node.target, load.called, calls, load.steady_s, load.audio)
        steady = run_load(ours, node.pid, look=lambda: looks.append(node.ask("stats")))
    losses = {name: int(looks[1][name] - looks[0][name]) for name in _LOSSES}
    concealed = int(looks[1]["lost"] - looks[0]["lost"])
    losses["wire"] = steady.caller_lost
    return Point(f"offhook {vad}", calls, steady, sum(losses.values()), losses, concealed)


def measure_asterisk(asterisk: EchoAsterisk, calls: int, load: Load) -> Point:
    """One point of Asterisk's curve."""
    theirs = Load(asterisk.target, "echo", calls, load.steady_s, load.audio)
    return Point("asterisk Echo()", calls, run_load(theirs, asterisk.pid), -1, {}, -1)


@contextmanager
def asterisk_if_any(folder: Path | None) -> Iterator[EchoAsterisk | None]:
    """Asterisk from a chroot, or None with the reason printed."""
    if folder is None:
        yield None
        return
    try:
        asterisk = EchoAsterisk(folder)
        asterisk.start_echo()
    except AsteriskMissing as missing:
        print(f"Asterisk is not available: {missing}")
        yield None
        return
    try:
        yield asterisk
    finally:
        asterisk.stop()


def add(report: Report, point: Point) -> None:
    """A row for the table."""
    steady = point.steady
    p50, p99, most = quantiles(steady.gaps_ms, 0.5, 0.99, 1.0)
    (caller,) = quantiles(steady.caller_gaps_ms, 0.99)
    report.row(
        point.arm,
        point.calls,
        steady.streams,
        point.cpu_per_call,
        steady.cpu_percent,
        round(steady.rss_mib),
        point.frames_lost if point.frames_lost >= 0 else "-",
        point.concealed if point.concealed >= 0 else "-",
        steady.out_lost,
        p50,
        p99,
        most,
        caller,
        steady.generator_percent,
    )
    report.details[f"{point.arm} {point.calls}"] = {
        "threads_percent": {name: round(share, 2) for name, share in steady.threads.items()},
        "answered": steady.counts.answered,
        "failed": steady.counts.failed,
        "losses": point.losses,
        "capture_dropped": steady.capture.dropped,
        "gap_quantiles_ms": quantiles(steady.gaps_ms, 0.001, 0.01, 0.5, 0.99, 0.999),
        "caller_gap_quantiles_ms": quantiles(steady.caller_gaps_ms, 0.001, 0.01, 0.5, 0.99, 0.999),
    }
    if steady.capture.dropped:
        report.note(f"{point.arm} {point.calls}: the capture lost {steady.capture.dropped} packets")


def judge(report: Report, points: list[Point]) -> None:
    """The promises, at the largest number of calls of each of our arms."""
    most = max(point.calls for point in points)
    for point in points:
        vad = point.arm.removeprefix("offhook ")
        if point.calls != most or vad not in _CPU_LIMITS:
            continue
        (p99,) = quantiles(point.steady.gaps_ms, 0.99)
        report.bar(f"{vad}: CPU per call at {most}", point.cpu_per_call, _CPU_LIMITS[vad], "% of a core")
        report.bar(f"{vad}: caller frames lost at {most}", point.frames_lost, 0)
        report.bar(f"{vad}: p99 gap over ptime at {most}", p99 - _PTIME_MS, _GAP_LIMIT_MS, "ms")
        report.bar(f"{vad}: calls answered of {most}", point.steady.counts.answered, most, at_least=True)
    theirs = {point.calls: point for point in points if point.arm.startswith("asterisk")}
    for point in points:
        if point.arm.startswith("offhook") and point.calls in theirs:
            there = theirs[point.calls].steady.streams
            if there < point.calls:
                report.note(f"Asterisk carried {there} of {point.calls} calls: no ratio")
                continue
            ratio = point.cpu_per_call / theirs[point.calls].cpu_per_call
            report.note(
                f"{point.arm} costs {ratio:.2f} times what Asterisk Echo() costs at {point.calls} calls"
            )


def draw(points: list[Point], path: Path) -> None:
    """The curves: CPU and p99 gap over the number of calls."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (cpu, gap) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for arm in dict.fromkeys(point.arm for point in points):
        mine = [point for point in points if point.arm == arm]
        calls = [point.calls for point in mine]
        cpu.plot(calls, [point.cpu_per_call for point in mine], marker="o", label=arm)
        gap.plot(calls, [quantiles(point.steady.gaps_ms, 0.99)[0] for point in mine], marker="o", label=arm)
    cpu.set(
        xlabel="concurrent G.711 calls", ylabel="% of a core per call", title="CPU per call", ylim=(0, None)
    )
    gap.axhline(_PTIME_MS + _GAP_LIMIT_MS, linestyle=":", color="grey", label="limit")
    gap.set(xlabel="concurrent G.711 calls", ylabel="ms", title="p99 gap between outgoing packets")
    cpu.legend()
    gap.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> int:
    arguments = parser("media_capacity", __doc__ or "")
    arguments.add_argument(
        "--calls", type=numbers, default=[25, 50, 100, 200, 300], help="points of the curve"
    )
    arguments.add_argument("--vad", default="webrtc,silero,both", help="voice detectors to measure")
    arguments.add_argument("--steady", type=float, default=20.0, help="seconds watched at each point")
    arguments.add_argument("--asterisk", type=Path, help="chroot made by callers.asterisk_chroot")
    return run(arguments.parse_args())


def run(options: argparse.Namespace) -> int:
    """Measure every arm at every number of calls."""
    report = Report("media_capacity", _COLUMNS)
    points: list[Point] = []
    with tempfile.TemporaryDirectory(prefix="capacity-") as folder:
        audio = looped_speech(load_prompts(options.speech), Path(folder) / "speech.ulaw")
        load = Load("", "echo", 1, options.steady, audio)
        with asterisk_if_any(options.asterisk) as asterisk:
            for calls in options.calls:
                points += [measure_ours(vad, calls, load) for vad in options.vad.split(",")]
                points += [measure_asterisk(asterisk, calls, load)] if asterisk else []
    for point in sorted(points, key=lambda point: point.arm):
        add(report, point)
    judge(report, points)
    report.note("SIPp, tcpdump and the process under test share the cores of this machine")
    draw(points, OUTPUT / "media_capacity.png")
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
