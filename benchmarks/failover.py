"""What callers notice when speech engines break under their calls.

A gateway with two recogniser workers and two voice workers, each a process of its own behind a wire of its
own, and the embedded engines as the last resort. Callers speak prompts, the `echo` agent answers in speech,
and at random (seeded) moments of theirs a recogniser and a voice are killed, stopped, slowed, garbled,
refused or cut off in silence. All is judged from the RTP at the caller's side, against the same prompts over
the same workers without faults:

* gap: how much longer than without faults the caller waited for the reply, or heard silence within it;
* words: those of utterances during which the recogniser was changed;
* calls that ended, and changes of engine in the calls' records and in the metrics.
"""

from __future__ import annotations

import argparse
import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import numpy as np

from benchmarks.arguments import parser
from benchmarks.conversations import Conversation, exchanges, hold
from benchmarks.faults import Fault, Worker
from benchmarks.gateway import GatewayProcess
from benchmarks.report import Report, quantiles
from benchmarks.wer import word_errors
from callers.speech import RATE, Prompt, Track, build_track, load_prompts

T = TypeVar("T")

_GAP_P95 = 700.0
_WORSE_BY = 2.0
_LEAD, _TAIL, _ANSWER = 0.8, 3.0, 1.2
_STAGGER = 0.5
_BACK_LIMIT = 40.0
_PREFERRED = 0.8
"""Share of faults that hit the engine in use; the others hit its standby."""
_COLUMNS = ("what", "calls", "changed", "p50 gap ms", "p95 gap ms", "max gap ms", "no reply")


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault of one worker, in seconds from the beginning of a round of calls."""

    kind: str
    worker: int
    fault: Fault
    at: float
    until: float


@dataclass(frozen=True, slots=True)
class Call:
    """What one caller met with."""

    prompt: str
    answer_ms: float
    """NaN: no reply came, or the prompt was taken for two."""
    hole_ms: float
    """The longest silence between two audible packets of the reply."""
    cut: bool
    said: str
    errors: int
    words: int
    ended: str
    switches: tuple[dict[str, Any], ...]
    strikes: tuple[Strike, ...] = ()

    def changed(self, kind: str = "") -> list[dict[str, Any]]:
        """Changes of engine that a fault caused."""
        return [s for s in self.switches if s["why"] != "preferred" and kind in ("", s["kind"])]


@dataclass
class Clean:
    """The same prompts without faults."""

    calls: list[Call] = field(default_factory=list)

    def of(self, prompt: str) -> list[Call]:
        return [call for call in self.calls if call.prompt == prompt]

    def gap(self, call: Call) -> float:
        """How much longer than usual the caller waited; infinite where no reply came."""
        usual = self.of(call.prompt)
        answers = [c.answer_ms for c in usual if not math.isnan(c.answer_ms)]
        late = call.answer_ms - float(np.median(answers)) if answers else 0.0
        if math.isnan(call.answer_ms):
            late = 0.0 if call.cut else math.inf
        hole = call.hole_ms - max(c.hole_ms for c in usual)
        return max(0.0, late, hole)


class Site:
    """The workers and the gateway that uses them."""

    def __init__(self, pace: float, workers: int = 2) -> None:
        """`workers`: of each kind."""
        self._stack = ExitStack()
        self.workers: dict[str, list[Worker]] = {
            kind: [Worker(kind, pace if kind == "tts" else 0.0) for _ in range(workers)]
            for kind in ("asr", "tts")
        }

    def __enter__(self) -> Site:
        try:
            everybody = [worker for both in self.workers.values() for worker in both]
            for worker in everybody:
                self._stack.enter_context(worker)
            for worker in everybody:
                worker.await_ready()
            self.gateway = self._stack.enter_context(GatewayProcess(self.settings()))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        self._stack.close()

    def settings(self, *, embedded: bool = True) -> dict[str, Any]:
        """Of a gateway that uses the workers, and the embedded engines after them."""
        sections: dict[str, Any] = {}
        for kind, last in (("asr", "moonshine"), ("tts", "hibari")):
            entries: list[dict[str, Any]] = [
                {"engine": "riva", "settings": {"address": w.address}} for w in self.workers[kind]
            ]
            sections[kind] = {"engines": [*entries, {"engine": last}] if embedded else entries}
        # Every reply shall come from a voice, none from memory.
        sections["tts"]["cache"] = {"watched": 1}
        return sections

    def converse(self, tracks: Sequence[Track], strikes: Sequence[Strike] = ()) -> list[Conversation]:
        """Hold the calls while the faults happen; all is mended afterwards."""
        return self.under(strikes, lambda: hold(self.gateway, tracks, stagger=_STAGGER))

    def under(self, strikes: Sequence[Strike], calls: Callable[[], T]) -> T:
        """What the calls give, the faults happening meanwhile; times count from here."""
        over = threading.Event()
        striking = threading.Thread(target=self._strike, args=(strikes, over))
        striking.start()
        try:
            return calls()
        finally:
            over.set()
            striking.join()

    def await_whole(self) -> None:
        """Wait until both preferred engines serve again."""
        for kind in ("asr", "tts"):
            for worker in self.workers[kind]:
                worker.await_ready()
        until = time.monotonic() + _BACK_LIMIT
        while time.monotonic() < until:
            told = self.gateway.metrics()
            names = [
                f'offhook_{kind}_engine{{what="{name}.usable"}}'
                for kind, workers in self.workers.items()
                for name in ("riva", "riva-2")[: len(workers)]
            ]
            if all(told.get(name) == 1.0 for name in names):
                return
            time.sleep(0.1)
        raise TimeoutError(f"the engines did not come back; {self.gateway.last_words()}")

    def _strike(self, strikes: Sequence[Strike], over: threading.Event) -> None:
        began = time.monotonic()
        events = [(s.at, s, True) for s in strikes] + [(s.until, s, False) for s in strikes]
        for at, strike, breaks in sorted(events, key=lambda event: event[0]):
            over.wait(max(0.0, began + at - time.monotonic()))
            worker = self.workers[strike.kind][strike.worker]
            if breaks and not over.is_set():
                worker.breaks(strike.fault)
            elif not breaks:
                worker.mends()


def plan(
    chance: random.Random, tracks: Sequence[Track], faults: Mapping[str, Fault], *, standby: bool = True
) -> list[Strike]:
    """A recogniser breaks while some caller speaks or waits, a voice while one waits or is spoken to.

    `faults`: of each kind; when, to whom and for how long is up to chance. `standby`: whether it may be the
    standby that breaks.
    """
    strikes: list[Strike] = []
    for kind in ("asr", "tts"):
        caller = chance.randrange(len(tracks))
        spoken = tracks[caller].spoken[0]
        begins, ends = (_STAGGER * caller + sample / RATE for sample in (spoken.start, spoken.end))
        if kind == "asr":
            at = chance.uniform(begins, ends + 0.6)
        else:
            at = chance.uniform(ends, 2 * ends - begins + 1.0)
        worker = 0 if not standby or chance.random() < _PREFERRED else 1
        strikes.append(Strike(kind, worker, faults[kind], at, at + chance.uniform(3.0, 8.0)))
    return strikes


def deals(chance: random.Random) -> Iterator[Fault]:
    """Faults without end, in an order of chance, none of them much more often than the others."""
    while True:
        deck = list(Fault)
        chance.shuffle(deck)
        yield from deck


def track(prompt: Prompt) -> Track:
    """One prompt, and room for the reply."""
    return build_track([prompt], lead=_LEAD, gap=0.0, tail=_TAIL, answer=_ANSWER)


def judged(conversation: Conversation, strikes: Sequence[Strike] = ()) -> Call:
    """What the wire and the record say of a call."""
    (exchange,) = exchanges(conversation)
    spoken = conversation.track.spoken[0]
    reply = conversation.reply
    audible = reply.arrived_ns[reply.audible_packets() & (reply.arrived_ns >= conversation.end_ns(spoken))]
    hole = float(np.diff(audible).max()) / 1e6 if len(audible) > 1 else 0.0
    said = conversation.said()
    errors, words = word_errors(spoken.prompt.text, said)
    return Call(
        spoken.prompt.name, exchange.answer_ms, hole, exchange.cut, said, errors, words,
        conversation.record["end_reason"], tuple(conversation.record["switches"]), tuple(strikes),
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Calls without faults, then calls with them."""
    report = Report("failover", _COLUMNS)
    chance = random.Random(options.seed)
    prompts = [p for p in load_prompts(options.speech) if len(p.pcm) / RATE <= options.longest]
    clean, calls = Clean(), list[Call]()
    decks = {kind: deals(chance) for kind in ("asr", "tts")}
    with Site(options.pace) as site:
        for at in range(0, 2 * len(prompts), options.at_once):
            part = [prompts[n % len(prompts)] for n in range(at, min(at + options.at_once, 2 * len(prompts)))]
            clean.calls += [judged(one) for one in site.converse([track(prompt) for prompt in part])]
        while len(calls) < options.calls:
            part = [chance.choice(prompts) for _ in range(min(options.at_once, options.calls - len(calls)))]
            tracks = [track(prompt) for prompt in part]
            strikes = plan(chance, tracks, {kind: next(decks[kind]) for kind in decks})
            calls += [judged(one, strikes) for one in site.converse(tracks, strikes)]
            site.await_whole()
        told = site.gateway.metrics()
    _rows(report, clean, calls)
    _bars(report, clean, calls, told)
    report.details["calls"] = [{**asdict(call), "gap_ms": clean.gap(call)} for call in calls]
    report.details["clean"] = [asdict(call) for call in clean.calls]
    report.note(
        f"seed {options.seed}, {options.at_once} calls at once, voices at {options.pace:g} x real time"
    )
    return report.finish()


def _rows(report: Report, clean: Clean, calls: Sequence[Call]) -> None:
    groups: dict[str, list[Call]] = {"all": list(calls), "changed engine": [c for c in calls if c.changed()]}
    for kind in ("asr", "tts"):
        for fault in Fault:
            struck = [c for c in calls if any(s.kind == kind and s.fault is fault for s in c.strikes)]
            groups[f"{kind} {fault.value}"] = [c for c in struck if c.changed(kind)]
    for name, group in groups.items():
        gaps = [clean.gap(call) for call in group]
        finite = [gap for gap in gaps if not math.isinf(gap)]
        p50, p95, most = quantiles(finite, 0.5, 0.95, 1.0)
        changed = sum(bool(call.changed()) for call in group)
        report.row(name, len(group), changed, p50, p95, most, len(gaps) - len(finite))


def _bars(report: Report, clean: Clean, calls: Sequence[Call], told: dict[str, float]) -> None:
    changed = [call for call in calls if call.changed()]
    for name, group in (("of all calls", calls), ("of calls whose engine changed", changed)):
        (p95,) = quantiles([clean.gap(call) for call in group], 0.95)
        report.bar(f"gap that the caller hears, p95 {name}", p95, _GAP_P95, "ms")
    report.bar("calls that did not go on to the caller's hang-up",
               sum(call.ended != "caller_hung_up" for call in calls), 0)  # fmt: skip
    heard = [call for call in calls if call.changed("asr")]
    words = sum(call.words for call in heard)
    errors = sum(call.errors for call in heard)
    usual = sum(float(np.mean([c.errors for c in clean.of(call.prompt)])) for call in heard)
    report.bar("failed-over utterances: WER over the same without faults",
               100 * (errors - usual) / words if words else math.nan, _WORSE_BY, "points")  # fmt: skip
    report.note(f"WER of {len(heard)} failed-over utterances: {errors} of {words} words wrong, "
                f"{usual:.1f} without faults")  # fmt: skip
    report.bar("calls whose engine changed", len(changed), 1, at_least=True)
    counted = sum(value for name, value in told.items() if name.startswith("offhook_engine_switches_total"))
    recorded = sum(len(call.switches) for call in [*calls, *clean.calls])
    report.bar("changes in the records that the metrics did not count", max(0.0, recorded - counted), 0)
    report.note(f"{recorded} changes of engine in the records, {counted:.0f} in the metrics")


def main() -> int:
    arguments = parser("failover", __doc__ or "")
    arguments.add_argument("--calls", type=int, default=200, help="calls with faults")
    arguments.add_argument("--at-once", type=int, default=10, help="calls at the same time")
    arguments.add_argument("--seed", type=int, default=1, help="of faults, moments and prompts")
    arguments.add_argument("--pace", type=float, default=1.4, help="speed of the voices, times real time")
    arguments.add_argument("--longest", type=float, default=3.3, help="seconds of the longest prompt used")
    return run(arguments.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
