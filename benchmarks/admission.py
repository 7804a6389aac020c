"""What admission is worth: more callers than the machine can serve, and who of them is let in.

Calls to the `echo` agent begin at a fixed rate whether earlier ones were answered or not, and talk half of
the time to the embedded engines (no reply comes from the cache); they last long enough that far more would
run at once than two cores serve. The same load meets three nodes one after the other: one as shipped, one
whose recogniser has places without end, so that only what is measured refuses calls, and one that lets
everybody in. Of the answered calls' turns the record's own share counts: all but the agent's time and the
pause that ends a turn. Who is refused must be told so by 503, and those who were let in must not notice them.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.arguments import parser
from benchmarks.gateway import GatewayProcess, merged
from benchmarks.load import looped_speech, prefer
from benchmarks.report import Report, quantiles
from callers.sipp import CallCounts, CallPlan, Sipp
from callers.speech import load_prompts
from gateway.control.admission import AdmissionSettings

_COLUMNS = ("node", "calls", "answered", "503", "failed", "most at once", "turns", "own p50 ms", "own p95 ms",
            "own p99 ms", "ended by us", "refused for")  # fmt: skip
_NOT_OURS = ("agent", "endpoint")
_REFUSED = 'offhook_calls_refused_total{reason="'
_EVERYBODY = 4096


@dataclass(frozen=True, slots=True)
class Arm:
    """What became of the load at one node."""

    counts: CallCounts
    records: list[dict[str, Any]]
    refused: Counter[str]
    """Calls by the node's reason."""

    def own_ms(self) -> list[float]:
        """The gateway's share of every answered turn."""
        turns = [turn for record in self.records for turn in record["turns"] if turn["turn_ms"] is not None]
        return [turn["turn_ms"] - sum(turn["hops_ms"].get(hop, 0.0) for hop in _NOT_OURS) for turn in turns]

    def ended_by_us(self) -> int:
        """Answered calls that the node gave up."""
        return sum(record["end_reason"] != "caller_hung_up" for record in self.records)

    def most_at_once(self) -> int:
        """Calls that were up at the same time."""
        edges = []
        for record in self.records:
            began = datetime.fromisoformat(record["started"]).timestamp()
            edges += [(began, 1), (began + record["duration_seconds"], -1)]
        running = most = 0
        for _, step in sorted(edges):
            running += step
            most = max(most, running)
        return most


def arm(options: argparse.Namespace, audio: Path, settings: dict[str, Any]) -> Arm:
    """The whole load against a node of its own."""
    load = {"limits": {"max_calls": options.calls}, "tts": {"cache": {"bytes": 0}}}
    with GatewayProcess(merged(load, settings)) as gateway:
        plan = CallPlan(
            gateway.target,
            audio=audio,
            loop=True,
            calls=options.calls,
            rate=options.rate,
            hold_s=options.hold,
        )
        with Sipp(plan) as sipp:
            prefer(sipp.pid)
            counts = sipp.wait()
        records = gateway.await_records(counts.answered, seconds=30.0)
        refused = Counter[str]()
        for name, value in gateway.metrics().items():
            if name.startswith(_REFUSED):
                refused[name[len(_REFUSED) :].rstrip('"}')] += int(value)
    return Arm(counts, records, refused)


def add(report: Report, name: str, found: Arm) -> None:
    """A row and its details."""
    own = found.own_ms()
    shares = quantiles(own, 0.5, 0.95, 0.99)
    counts = found.counts
    why = ", ".join(f"{reason} {count}" for reason, count in found.refused.most_common() if count)
    ends = (counts.begun, counts.answered, counts.busy, counts.failed)
    report.row(name, *ends, found.most_at_once(), len(own), *shares, found.ended_by_us(), why)
    report.details[name] = {"own_ms": own, "refused": dict(found.refused)}


def run(options: argparse.Namespace) -> int:
    """As shipped, by measurements alone, then with everybody let in."""
    report = Report("admission", _COLUMNS)
    places = {"max_streams": _EVERYBODY}
    nodes: dict[str, dict[str, Any]] = {
        "as shipped": {},
        "by measurements alone": {"asr": {"settings": places}},
        "everybody let in": {
            "admission": {"enabled": False},
            "asr": {"settings": places | {"max_final_wait": 600.0, "max_busy": 0}},
            "tts": {"settings": {"waiting": 1000}},
        },
    }
    arms: dict[str, Arm] = {}
    with tempfile.TemporaryDirectory(prefix="admission-") as folder:
        audio = looped_speech(load_prompts(options.speech), Path(folder) / "talk.ulaw")
        for name, settings in nodes.items():
            arms[name] = arm(options, audio, settings)
            add(report, name, arms[name])
    *guarded, open_door = arms.values()
    for name, found in zip(arms, guarded, strict=False):
        counts = found.counts
        (p99,) = quantiles(found.own_ms(), 0.99)
        report.bar(f"{name}: own share p99", p99, 1000 * AdmissionSettings().turn_p99, "ms")
        report.bar(f"{name}: neither served nor told 503", counts.begun - counts.answered - counts.busy, 0)
        report.bar(f"{name}: calls given up", found.ended_by_us(), 0)
        report.bar(f"{name}: let in", 100 * counts.answered / counts.begun, 20.0, "%", at_least=True)
    (p99,) = quantiles(open_door.own_ms(), 0.99)
    beyond = "everybody let in: own share p99, else the load is none"
    report.bar(beyond, p99, 1000 * AdmissionSettings().turn_p99, "ms", at_least=True)
    return report.finish()


def main() -> int:
    arguments = parser("admission", __doc__ or "")
    arguments.add_argument("--calls", type=int, default=100, help="calls in all")
    arguments.add_argument("--rate", type=float, default=2.0, help="calls begun per second")
    arguments.add_argument("--hold", type=float, default=55.0, help="seconds that each lasts")
    return run(arguments.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
