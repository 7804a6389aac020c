"""Places a whole call in virtual time and tells what was heard, said and recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.agents.base import Agent
from gateway.calls.call_events import CallEvent
from gateway.calls.record import CallRecord
from gateway.calls.settings import Engines, SessionSettings
from gateway.calls.timings import BargeInTimings, TurnTimings
from gateway.calls.turn_events import Phase
from gateway.calls.turn_settings import TurnSettings
from media.legs.base import EndReason, LegClosed, LegEvent
from tests.calls.converse import converse
from tests.fakes.agent import ScriptedAgent
from tests.fakes.asr import ScriptedAsr
from tests.fakes.caller import TICK, ScriptedCaller
from tests.fakes.tts import ToneTts
from tests.virtual_time import run_virtual


@dataclass
class Watcher:
    """An observer that remembers."""

    phases: list[tuple[float, Phase]] = field(default_factory=list)
    finals: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    timings: list[TurnTimings] = field(default_factory=list)
    barge_ins: list[BargeInTimings] = field(default_factory=list)
    records: list[CallRecord] = field(default_factory=list)

    def answered(self, call_id: str, codec: str, sample_rate: int) -> None:
        self.phases.append((0.0, Phase.LISTENING))

    def phase(self, call_id: str, phase: Phase, at: float) -> None:
        self.phases.append((at, phase))

    def words(self, call_id: str, text: str, *, is_final: bool) -> None:
        self.finals += [text] if is_final else []

    def saying(self, call_id: str, reply: int, sentence: str) -> None:
        self.said.append(sentence)

    def happened(self, call_id: str, event: CallEvent) -> None:
        """Something beside the conversation."""

    def barged_in(self, call_id: str, timings: BargeInTimings) -> None:
        self.barge_ins.append(timings)

    def timed(self, call_id: str, timings: TurnTimings) -> None:
        self.timings.append(timings)

    def ended(self, record: CallRecord) -> None:
        self.records.append(record)


@dataclass
class Outcome:
    """What came of a call."""

    record: CallRecord
    caller: ScriptedCaller
    agent: Any
    watcher: Watcher
    tasks_left: list[str]
    counts: dict[str, int]

    @property
    def audible(self) -> list[tuple[float, float]]:
        """When the caller heard us, in seconds: arrival of the first packet to the end of the last."""
        spans: list[list[float]] = []
        for at, _, _ in self.caller.playout.heard:
            if spans and at - spans[-1][1] < TICK / 2:
                spans[-1][1] = at + TICK
            else:
                spans.append([at, at + TICK])
        return [(round(start, 3), round(end, 3)) for start, end in spans]

    @property
    def phases(self) -> list[Phase]:
        return [phase for _, phase in self.watcher.phases]

    @property
    def turns(self) -> list[tuple[str, str]]:
        """What was said and what was heard, turn by turn."""
        return [(turn.said or turn.dtmf, turn.heard) for turn in self.record.turns if turn.number]


def place_call(
    says: Sequence[tuple[float, float, str]] = (),
    *,
    until: float = 60.0,
    coughs: Sequence[tuple[float, float]] = (),
    does: Sequence[tuple[float, LegEvent]] = (),
    silent_after: float = 1e9,
    vanishes_at: float = 1e9,
    agent: Agent | None = None,
    asr: ScriptedAsr | None = None,
    tts: ToneTts | None = None,
    turns: TurnSettings | None = None,
    settings: SessionSettings | None = None,
) -> Outcome:
    """The caller says each (start, end, words), does this and that, and hangs up at `until`."""
    watcher = Watcher()
    agent = agent or ScriptedAgent()
    settings = replace(settings or SessionSettings(), turns=turns or TurnSettings())

    async def call() -> Outcome:
        does_all = [*does, (until, LegClosed(EndReason.CALLER_HUNG_UP, until))]
        caller = ScriptedCaller([span[:2] for span in says], coughs, does_all, silent_after, vanishes_at)
        engines = Engines(asr or ScriptedAsr(says), tts or ToneTts())
        record = await converse(caller, engines, agent, settings, [watcher])
        await asyncio.sleep(0)
        mine = asyncio.current_task()
        left = [task.get_name() for task in asyncio.all_tasks() if task is not mine]
        return Outcome(record, caller, agent, watcher, left, record.counts)

    return run_virtual(call())
