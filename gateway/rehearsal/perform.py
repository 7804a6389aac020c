"""Plays one case: the real reception and route runner, with everything around them scripted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from gateway.actions.flow import Reach
from gateway.actions.webhook import PlanHooks
from gateway.calls.call_events import CallEvent, RouteTaken, StageBegan
from gateway.calls.record import CallRecord
from gateway.calls.registry import CallRegistry, RegistrySettings
from gateway.calls.settings import Engines, SessionSettings
from gateway.dialplan.actions import ConnectAgent, GoToRoute, PlayFile
from gateway.dialplan.actions_ask import Voicemail
from gateway.dialplan.actions_reach import Bridge, Transfer
from gateway.dialplan.plan import Dialplan
from gateway.dialplan.steps import Step, walk
from gateway.live_calls import LiveCalls
from gateway.metrics import Metrics
from gateway.observers import SilentObserver
from gateway.reception import Desk, Reception
from gateway.rehearsal.caller import Caller
from gateway.rehearsal.case import Case
from gateway.rehearsal.engines import RehearsedEars, RehearsedVoice
from gateway.rehearsal.others import AgentScript, RehearsedAgent, RehearsedDialer, RehearsedSender
from gateway.rehearsal.telephone import RATE, Telephone
from gateway.rehearsal.virtual_time import run_virtual
from gateway.route_run import CallParts
from media.frame import Pcm
from media.legs.base import Parties
from media.tones import beep, ringback
from media.wav import read_mono

LONGEST = 3600.0
"""Seconds of a call after which it is ended, and told."""
_SECRET = b"a rehearsal signs with no secret"


@dataclass(slots=True)
class Outcome:
    """What came of a case."""

    routes: list[str] = field(default_factory=list)
    refused: int = 0
    heard: list[str] = field(default_factory=list)
    does: list[str] = field(default_factory=list)
    dials: list[str] = field(default_factory=list)
    asks: list[str] = field(default_factory=list)
    variables: Mapping[str, str] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)
    ends: str = ""
    cause: int = 0
    seconds: float = 0.0
    timeline: list[tuple[float, str]] = field(default_factory=list)

    def note(self, told: str) -> None:
        self.timeline.append((asyncio.get_running_loop().time(), told))


def rehearse(case: Case, plan: Dialplan, session: SessionSettings, metrics: Metrics) -> Outcome:
    """Play the case to its end, in virtual time."""
    with tempfile.TemporaryDirectory(prefix="offhook-rehearsal-") as folder:
        outcome = run_virtual(_call(case, plan, session, metrics, Path(folder)))
        for path in sorted(Path(folder).rglob("*.json")):
            outcome.messages.append(json.loads(path.read_text(encoding="utf-8")))
        return outcome


async def _call(
    case: Case, plan: Dialplan, session: SessionSettings, metrics: Metrics, folder: Path
) -> Outcome:
    loop, outcome = asyncio.get_running_loop(), Outcome()
    given = case.call
    headers = tuple((name.lower(), value) for name, value in given.headers.items())
    voice = RehearsedVoice(fails="tts" in case.fails)
    dialer = RehearsedDialer(case.dial, outcome.dials.append)

    def sent(target: str) -> int:
        outcome.dials.append(target)
        return dialer.code(target) or 603

    sounds = _Sounds(plan, voice, outcome)
    phone = Telephone(Parties(given.caller, given.called, given.trunk, headers=headers), sounds.heard, sent)
    caller = Caller(phone, case.caller, outcome.note)
    sounds.told = caller.spoken_to
    watcher = _Watcher(outcome, caller)
    at = given.at

    def step(step: Step, values: Mapping[str, str]) -> None:
        outcome.variables = values
        told = _shown(step)
        outcome.does.append(told)
        outcome.note(told)

    hooks = PlanHooks(
        RehearsedSender(case.webhooks, outcome.asks.append), _SECRET,
        lambda: at.timestamp() + loop.time(), lambda: "rehearsal", lambda: 0.5,
    )  # fmt: skip
    scripts = {name: AgentScript(script.greeting, script.replies) for name, script in case.agents.items()} | {
        name: AgentScript(fails=True) for name in case.fails if name not in ("asr", "tts")
    }
    registry = CallRegistry(RegistrySettings())
    live = LiveCalls(loop.time)
    parts = CallParts(
        agent=lambda name: RehearsedAgent(name, scripts.get(name, AgentScript())),
        engines=Engines(RehearsedEars(lambda: phone.said, fails="asr" in case.fails), voice),
        session=session,
        observers=(live, watcher),
        metrics=metrics.calls,
        live=live,
        add=registry.add,
        folder=folder,
        wall=lambda: at + timedelta(seconds=loop.time()),
        reach=lambda: Reach(dialer, hooks),
        on_step=step,
        transfers=dialer,
    )
    desk = Desk(lambda: plan, registry, parts, 5, down=lambda: frozenset(case.down))
    reception = Reception(desk)
    acting = loop.create_task(caller.run(), name="caller")
    reception.take(phone)
    await asyncio.sleep(0)
    while len(registry) and loop.time() < LONGEST:  # noqa: ASYNC110 (in virtual time, looking costs nothing)
        await asyncio.sleep(1.0)
    outcome.seconds = outcome.timeline[-1][0] if outcome.timeline else 0.0
    if len(registry):
        outcome.seconds = loop.time()
        outcome.note(f"still going on after {LONGEST:g} s")
        await registry.drain(0.1)
    acting.cancel()
    await asyncio.gather(acting, return_exceptions=True)
    await hooks.aclose(60.0)
    await reception.aclose()
    if phone.refused:
        outcome.refused, outcome.ends = phone.refused, "rejected"
        outcome.note(f"refused with {phone.refused}")
    outcome.cause = phone.cause
    return outcome


class _Watcher(SilentObserver):
    """Notes what happens to the call."""

    def __init__(self, outcome: Outcome, caller: Caller) -> None:
        self._outcome = outcome
        self._caller = caller

    def happened(self, call_id: str, event: CallEvent) -> None:
        if isinstance(event, RouteTaken):
            self._outcome.routes.append(event.route)
            self._outcome.note(f"route {event.route}")
        elif isinstance(event, StageBegan):
            self._caller.asked(event.stage)

    def ended(self, record: CallRecord) -> None:
        self._outcome.ends = str(record.end_reason)
        self._outcome.note(f"ends: {record.end_reason}")


class _Sounds:
    """Knows what the caller hears: the voice's texts, the plan's files, tones."""

    def __init__(self, plan: Dialplan, voice: RehearsedVoice, outcome: Outcome) -> None:
        self._voice = voice
        self._outcome = outcome
        self._names = {beep(RATE, 0.3).tobytes(): "[beep]", ringback(RATE).tobytes(): "[ringing]"}
        for path in _files(plan):
            with contextlib.suppress(OSError, ValueError):
                self._names[read_mono(path, RATE).tobytes()] = f"[{path.name}]"
        self.told: Callable[[], None] = lambda: None

    def heard(self, pcm: Pcm) -> None:
        name = self._voice.text(pcm) or self._names.get(pcm.tobytes(), "[sound]")
        if name == "[ringing]" and self._outcome.heard[-1:] == [name]:
            return
        self._outcome.heard.append(name)
        self._outcome.note(f"   he hears: {name}")
        self.told()


def _files(plan: Dialplan) -> Iterator[Path]:
    for steps in (*(route.steps for route in plan.routes), plan.fallback):
        for step in walk(steps):
            for name in ("file", "play"):
                path = getattr(step.action, name, None)
                if isinstance(path, Path):
                    yield path


def _shown(step: Step) -> str:
    """An action as a timeline and `does` show it."""
    match step.action:
        case ConnectAgent(name) | GoToRoute(name):
            return f"{step.word} {name}"
        case Transfer(to=to) | Bridge(to=to):
            return f"{step.word} {to}"
        case Voicemail(mailbox=mailbox):
            return f"{step.word} {mailbox}"
        case PlayFile(file):
            return f"{step.word} {file.name}"
        case _:
            return step.word
