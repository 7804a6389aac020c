"""Whom a call can meet in a rehearsal: agents, other telephones, servers; each does what its case says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.agents.base import AgentError, Do, HangUp, ReplyPart, Say, UserTurn
from gateway.calls.orders import GoTo, TransferBlind
from gateway.errors import DialDenied, DialFailed, FetchFailed
from gateway.rehearsal.telephone import Telephone
from media.legs.base import EndReason, Leg, LegAnswered, LegRinging, Parties, TransferAsked

ANSWERS = {"busy": 486, "no_answer": 408, "rejected": 603, "unknown": 404}
"""What somebody who is called may do beside answering, and the SIP code of it."""
TALK = 10.0
"""Seconds after which somebody who answered hangs up."""


@dataclass(frozen=True, slots=True)
class AgentScript:
    """What an agent says."""

    greeting: str = ""
    replies: tuple[str | Mapping[str, str], ...] = ()
    """One for each turn: a text, or `transfer: target`, `goto: route`, `hangup: text`; then it repeats the
    caller's words."""
    fails: bool = False


class RehearsedAgent:
    """An `Agent` that follows its script."""

    def __init__(self, name: str, script: AgentScript) -> None:
        self.name = name
        self._script = script

    async def greet(self) -> AsyncIterator[ReplyPart]:
        if self._script.fails:
            raise AgentError("the agent fails in this case")
        if self._script.greeting:
            yield Say(self._script.greeting)

    async def reply(self, turn: UserTurn) -> AsyncIterator[ReplyPart]:
        await asyncio.sleep(0.1)
        if self._script.fails:
            raise AgentError("the agent fails in this case")
        number = turn.number - 1
        said = turn.text or turn.dtmf
        reply = self._script.replies[number] if number < len(self._script.replies) else f"You said {said}"
        if isinstance(reply, str):
            yield Say(reply)
            return
        if text := reply.get("say", ""):
            yield Say(text)
        if target := reply.get("transfer"):
            yield Do(TransferBlind(target))
        elif route := reply.get("goto"):
            yield Do(GoTo(route))
        else:
            yield HangUp()

    def heard(self, turn: UserTurn, text: str, *, complete: bool) -> None: ...

    async def aclose(self) -> None: ...


class RehearsedDialer:
    """A `Dialer` and a `TransferGuard`. Who is not in the case is denied, as a guard without rules would."""

    def __init__(self, people: Mapping[str, str], told: Callable[[str], None]) -> None:
        """`people`: what each number does: `answers`, or a word of `ANSWERS`; `told` hears of each call."""
        self._people = people
        self._told = told

    def code(self, target: str) -> int:
        """The SIP code of a call, or a transfer, to this target; 0 when nobody may call it."""
        does = self._people.get(target, "denied")
        return 200 if does == "answers" else ANSWERS.get(does, 0)

    async def dial(
        self,
        target: str,
        *,
        trunk: str = "",
        caller: str = "",
        ring_seconds: float = 30.0,
        on_ringing: Callable[[LegRinging], None] | None = None,
    ) -> Leg:
        self._told(target)
        code = self.code(target)
        if not code:
            raise DialDenied("the case does not say what this number does", reason="rehearsal")
        loop = asyncio.get_running_loop()
        if on_ringing is not None and code in (200, 408):
            on_ringing(LegRinging(loop.time(), 180))
        await asyncio.sleep(ring_seconds if code == 408 else 2.0)
        if code != 200:
            raise DialFailed(f"the far end answered {code}", sip_code=code)
        leg = Telephone(Parties(caller, target, trunk), lambda pcm: None, lambda to: 603)
        leg.answered = True
        loop.call_later(TALK, leg.hang_up, EndReason.CALLER_HUNG_UP)
        loop.call_soon(leg._notice, LegAnswered(loop.time(), leg.sample_rate, "PCMU"))
        return leg

    def may_send(self, target: str, *, trunk: str) -> None:
        """See `TransferGuard.may_send`."""
        if not self.code(target):
            raise DialDenied("the case does not say what this number does", reason="rehearsal")

    def may_be_asked(self, target: str, *, trunk: str) -> None:
        """See `TransferGuard.may_be_asked`."""
        self.may_send(target, trunk=trunk)

    def may_be_asked_here(self, target: str, *, trunk: str) -> None:
        """See `TransferGuard.may_be_asked_here`."""

    async def dial_asked(
        self, asked: TransferAsked, *, trunk: str, on_ringing: Callable[[LegRinging], None]
    ) -> Leg:
        """See `TransferGuard.dial_asked`."""
        return await self.dial(asked.target, trunk=trunk, on_ringing=on_ringing)


class RehearsedAnswer:
    """A server's answer."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.headers: dict[str, str] = {}
        self._body = body

    async def body(self) -> AsyncIterator[bytes]:
        yield self._body


class RehearsedSender:
    """A `Sender`. `answers`: by the address, or its beginning; a status, `silence`, or what is decided."""

    def __init__(self, answers: Mapping[str, object], told: Callable[[str], None]) -> None:
        self._answers = answers
        self._told = told

    @asynccontextmanager
    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> AsyncIterator[RehearsedAnswer]:
        self._told(url)
        await asyncio.sleep(0.05)
        found = [key for key in self._answers if url.startswith(key)]
        answer = self._answers[max(found, key=len)] if found else None
        if answer is None:
            raise FetchFailed("the case does not say what this server answers")
        if answer == "silence":
            await asyncio.sleep(3600)
        if isinstance(answer, int):
            yield RehearsedAnswer(answer, b"")
        else:
            yield RehearsedAnswer(200, json.dumps(answer).encode())
