"""How long a caller waits for the answer: true end of speech to the first audible packet of the reply.

Recorded prompts are spoken over live calls to the `echo` agent, at one call and at many that talk half the
time. Both moments are read off the wire: the last voiced sample in the caller's stream, and the first
packet of the gateway's stream that can be heard after it. The call's own record is held against that: do
its hops add up?
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence

import numpy as np

from benchmarks.arguments import parser
from benchmarks.conversations import Conversation, exchanges, hold
from benchmarks.gateway import GatewayProcess
from benchmarks.report import Report, quantiles
from callers.speech import Prompt, Track, build_track, load_prompts

_COLUMNS = ("calls", "prompts", "answered", "cut", "p50 ms", "p95 ms", "p99 ms", "max ms",
            "hops off by at most ms", "record p50 ms", "record p95 ms", "differs p50 ms")  # fmt: skip
_ONE_P50, _ONE_P95, _MANY_P95 = 500.0, 800.0, 1000.0
_CUT_SHARE = 5.0
_SUM_LIMIT_MS = 5.0


def tracks(prompts: Sequence[Prompt], calls: int, each: int, seed: int = 7) -> list[Track]:
    """One track per call: prompts in an order of its own, with room for the echo after each."""
    order = random.Random(seed)
    whole = [order.sample(prompts, len(prompts)) for _ in range(calls * each // len(prompts) + 1)]
    line = [prompt for part in whole for prompt in part]
    parts = [line[number * each : (number + 1) * each] for number in range(calls)]
    return [build_track(part, lead=1.0, gap=2.2, tail=3.0, answer=1.1) for part in parts]


def sums(conversations: Sequence[Conversation]) -> list[float]:
    """How far the hops of each recorded turn are from the turn, in ms."""
    return [
        abs(sum(turn["hops_ms"].values()) - turn["turn_ms"])
        for conversation in conversations
        for turn in conversation.record["turns"]
        if turn["turn_ms"] is not None
    ]


def recorded(conversations: Sequence[Conversation]) -> list[float]:
    """The turns as the calls' own records have them, in ms."""
    return [
        turn["turn_ms"]
        for conversation in conversations
        for turn in conversation.record["turns"]
        if turn["turn_ms"] is not None
    ]


def differences(conversation: Conversation) -> list[float]:
    """The record's turns less the wire's, in ms, where both saw the same turns."""
    mine = recorded([conversation])
    seen = [exchange.answer_ms for exchange in exchanges(conversation)]
    if len(mine) != len(seen) or any(np.isnan(seen)):
        return []
    return [a - b for a, b in zip(mine, seen, strict=True)]


def add(report: Report, conversations: list[Conversation], calls: int) -> None:
    """A row, its bars and every single answer; `calls` ran at the same time."""
    found = [exchange for conversation in conversations for exchange in exchanges(conversation)]
    answers = [exchange.answer_ms for exchange in found if not np.isnan(exchange.answer_ms)]
    cut = sum(exchange.cut for exchange in found)
    off = max(sums(conversations), default=float("nan"))
    differs = [value for conversation in conversations for value in differences(conversation)]
    p50, p95, p99, most = quantiles(answers, 0.5, 0.95, 0.99, 1.0)
    record = quantiles(recorded(conversations), 0.5, 0.95)
    (differ,) = quantiles(differs, 0.5)
    report.row(calls, len(found), len(answers), cut, p50, p95, p99, most, off, *record, differ)
    if calls == 1:
        report.bar("p50 at 1 call", p50, _ONE_P50, "ms")
        report.bar("p95 at 1 call", p95, _ONE_P95, "ms")
    else:
        report.bar(f"p95 at {calls} calls", p95, _MANY_P95, "ms")
    report.bar(f"prompts cut into two at {calls} calls", 100 * cut / len(found), _CUT_SHARE, "%")
    silent = len(found) - len(answers) - cut
    report.bar(f"prompts without an answer at {calls} calls", 100 * silent / len(found), 2.0, "%")
    report.bar(f"hops and turn differ at {calls} calls", off, _SUM_LIMIT_MS, "ms")
    report.details[f"{calls} calls"] = {
        "exchanges": [(e.name, None if np.isnan(e.answer_ms) else e.answer_ms, e.cut) for e in found],
        "hops_p50_ms": _hop_medians(conversations),
    }


def _hop_medians(conversations: Sequence[Conversation]) -> dict[str, float]:
    columns: dict[str, list[float]] = {}
    for conversation in conversations:
        for turn in conversation.record["turns"]:
            for hop, value in turn["hops_ms"].items():
                columns.setdefault(hop, []).append(value)
    return {hop: float(np.median(values)) for hop, values in columns.items()}


def run(options: argparse.Namespace) -> int:
    """One call first, then many."""
    report = Report("turn_latency", _COLUMNS)
    prompts = load_prompts(options.speech)
    with GatewayProcess() as gateway:
        hold(gateway, tracks(prompts[:1], 1, 1))  # the first turn of a process is not the thousandth
        single = [track for part in _parts(prompts, options.prompts) for track in tracks(part, 1, len(part))]
        alone = [conversation for track in single for conversation in hold(gateway, [track])]
        add(report, alone, 1)
        if options.calls > 1:
            add(report, hold(gateway, tracks(prompts, options.calls, options.each)), options.calls)
    return report.finish()


def _parts(prompts: Sequence[Prompt], most: int, size: int = 10) -> list[Sequence[Prompt]]:
    """The first so many prompts, ten per call."""
    chosen = prompts[:most]
    return [chosen[at : at + size] for at in range(0, len(chosen), size)]


def main() -> int:
    arguments = parser("turn_latency", __doc__ or "")
    arguments.add_argument("--prompts", type=int, default=60, help="prompts spoken at one call")
    arguments.add_argument("--calls", type=int, default=20, help="concurrent calls of the second part")
    arguments.add_argument("--each", type=int, default=6, help="prompts in each of them")
    return run(arguments.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
