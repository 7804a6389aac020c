"""Calls that come and go by the thousand, and what they leave behind: nothing, or it is a leak.

A share of the callers gives up with CANCEL, a share vanishes without BYE. Afterwards the process's threads,
descriptors, calls, legs and memory are compared with a moment after a first, smaller wave, when pools are
filled and models are loaded. Then one wave more than the node may carry: exactly the surplus must hear 503.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.arguments import parser
from benchmarks.gateway import GatewayProcess
from benchmarks.load import looped_speech
from benchmarks.processes import Usage, usage
from benchmarks.report import Report
from callers.sipp import CallCounts, CallPlan, Sipp
from callers.speech import load_prompts

_MEDIA_LOST_S = 4.0
_QUIET_LIMIT_S = 60.0
_SETTLE_S = 36.0
"""SIP keeps an ended transaction for 32 s (RFC 3261 section 17, timers B, D and J), and so its memory."""
_QUICK_SETTLE_S = 2.0
_GROWTH_MIB = 16.0
_LEVELS = ("calls", "legs", "bus_open")
"""Gauges of the SIP side that must be zero when nobody calls."""


@dataclass(frozen=True, slots=True)
class Rest:
    """The process when nobody calls."""

    usage: Usage
    levels: dict[str, float]


def rest(gateway: GatewayProcess, settle_s: float = _SETTLE_S) -> Rest:
    """Wait until no call is left and its transactions are forgotten, then look."""
    until = time.monotonic() + _QUIET_LIMIT_S
    while (levels := _levels(gateway)) and any(levels.values()) and time.monotonic() < until:
        time.sleep(0.5)
    time.sleep(settle_s)
    return Rest(usage(gateway.pid), _levels(gateway))


def _levels(gateway: GatewayProcess) -> dict[str, float]:
    metrics = gateway.metrics()
    levels = {name: metrics.get(f'offhook_media{{what="{name}"}}', float("nan")) for name in _LEVELS}
    return {**levels, "active": gateway.active_calls()}


def wave(gateway: GatewayProcess, calls: int, rate: float, audio: Path) -> CallCounts:
    """Calls of two seconds with cancelled and vanished ones among them."""
    plan = CallPlan(
        gateway.target,
        scenario="churn",
        audio=audio,
        loop=True,
        calls=calls,
        rate=rate,
        hold_s=2.0,
        cancel_share=0.15,
        vanish_share=0.10,
    )
    with Sipp(plan) as sipp:
        return sipp.wait()


def surplus(gateway: GatewayProcess, limit: int, more: int, audio: Path) -> CallCounts:
    """So many calls at once, `more` of them too many."""
    plan = CallPlan(gateway.target, audio=audio, loop=True, calls=limit + more, rate=50.0, hold_s=8.0)
    with Sipp(plan) as sipp:
        return sipp.wait()


def run(options: argparse.Namespace) -> int:
    """Warm up, churn, compare, overload."""
    report = Report(
        "call_churn", ("moment", "threads", "descriptors", "RSS MiB", "calls", "legs", "bus legs")
    )
    calls = 100 if options.quick else options.calls
    settings = {
        "limits": {"max_calls": options.limit},
        # The limit is what is measured here, not how many callers this machine can understand at once.
        "asr": {"settings": {"max_streams": 2 * options.limit, "max_final_wait": 3600.0, "max_busy": 0}},
        "sip": {"port_quarantine_s": 1.0},
        "session": {"turns": {"guards": {"media_lost": _MEDIA_LOST_S}}},
    }
    with GatewayProcess(settings) as gateway, tempfile.TemporaryDirectory(prefix="churn-") as folder:
        audio = looped_speech(load_prompts(options.speech), Path(folder) / "speech.ulaw")
        wave(gateway, max(60, calls // 10), options.rate, audio)
        settle_s = _QUICK_SETTLE_S if options.quick else _SETTLE_S
        before = rest(gateway, settle_s)
        counts = wave(gateway, calls, options.rate, audio)
        after = rest(gateway, settle_s)
        full = surplus(gateway, options.limit, options.surplus, audio)
        add(report, before, after, counts)
        records = gateway.records()
        refusals = {
            name: value
            for name, value in gateway.metrics().items()
            if "refus" in name and "created" not in name and value
        }
    report.details["refusals"] = refusals
    report.note(f"refusals as the gateway counts them: {refusals}")
    report.bar("calls over the limit that heard 503", full.busy, options.surplus, at_least=True)
    report.bar("calls within the limit that heard 503", max(0, full.busy - options.surplus), 0)
    report.bar("calls within the limit answered", full.answered, options.limit, at_least=True)
    reasons = [record["end_reason"] for record in records]
    report.details["end_reasons"] = {reason: reasons.count(reason) for reason in sorted(set(reasons))}
    report.note(f"end reasons: {report.details['end_reasons']}")
    return report.finish()


def add(report: Report, before: Rest, after: Rest, counts: CallCounts) -> None:
    """Two rows and what lies between them."""
    for name, moment in (("after the first wave", before), ("after all", after)):
        at, levels = moment.usage, moment.levels
        report.row(name, at.threads, at.descriptors, at.rss_mib, *(levels[level] for level in _LEVELS))
    report.bar("calls that SIPp saw fail", counts.failed, 0)
    report.bar("threads more than before", after.usage.threads - before.usage.threads, 0)
    report.bar("descriptors more than before", after.usage.descriptors - before.usage.descriptors, 0)
    report.bar("memory more than before", after.usage.rss_mib - before.usage.rss_mib, _GROWTH_MIB, "MiB")
    for level, value in after.levels.items():
        report.bar(f"{level} left over", value, 0)
    report.note(
        f"{counts.begun} calls: {counts.answered} answered, {counts.cancelled} cancelled, "
        f"{counts.too_late} answered before their CANCEL, {counts.vanished} vanished, {counts.busy} busy"
    )
    report.details["sipp_errors"] = list(counts.errors)


def main() -> int:
    arguments = parser("call_churn", __doc__ or "")
    arguments.add_argument("--calls", type=int, default=2000)
    arguments.add_argument("--rate", type=float, default=20.0, help="calls begun per second")
    arguments.add_argument("--limit", type=int, default=100, help="calls that the node may carry at once")
    arguments.add_argument("--surplus", type=int, default=25, help="calls above that in the overload")
    arguments.add_argument("--quick", action="store_true", help="100 calls, as CI runs it")
    return run(arguments.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
