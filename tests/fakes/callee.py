"""Somebody whom we call, with a script: rings, answers or refuses, speaks, hangs up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from media.frame import AudioFrame, Voice
from media.legs.base import (
    Direction,
    EndReason,
    LegAnswered,
    LegClosed,
    LegError,
    LegEvent,
    LegListener,
    LegRinging,
    Parties,
)
from tests.fakes.caller import RATE, ScriptedCaller


class _Inbox:
    """Keeps what comes until somebody is attached, and tells watchers at once."""

    def __init__(self) -> None:
        self.told: list[LegListener] = []
        self.attached: LegListener | None = None
        self.waiting: list[LegEvent] = []

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        for one in (*self.told, *([self.attached] if self.attached else [])):
            one.hear(frame, voice)

    def notice(self, event: LegEvent) -> None:
        for one in self.told:
            one.notice(event)
        if self.attached is not None:
            self.attached.notice(event)
        else:
            self.waiting.append(event)


class Callee(ScriptedCaller):
    """Serves `PlacedLeg`. Seconds of the script count from the call; `says` from the answer."""

    direction = Direction.OUTBOUND

    def __init__(
        self,
        *,
        rings: float | None = 0.5,
        answers: float | None = 2.0,
        refuses: tuple[float, int] | None = None,
        hangs_up: float | None = None,
        says: Sequence[tuple[float, float]] = (),
        name: str = "out1",
    ) -> None:
        super().__init__(says)
        self.leg_id = name
        self.inbox = _Inbox()
        self.listener = self.inbox
        self.up = self.closed = False
        self.digits = ""
        self.causes: list[int] = []
        self.script: list[tuple[float, Callable[[], None]]] = []
        if rings is not None:
            self.script.append((rings, lambda: self.tell(LegRinging(self.now(), 180))))
        if refuses is not None:
            self.script.append((refuses[0], lambda: self.close(EndReason.NOT_ANSWERED, refuses[1])))
        elif answers is not None:
            self.script.append((answers, self.take))
        if hangs_up is not None:
            self.script.append((hangs_up, lambda: self.close(EndReason.CALLER_HUNG_UP)))

    def placed(self, parties: Parties) -> None:
        """The call is under way."""
        self.parties = parties
        loop = asyncio.get_running_loop()
        for seconds, act in self.script:
            loop.call_later(seconds, act)

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def tell(self, event: LegEvent) -> None:
        if not self.closed:
            self.inbox.notice(event)

    def take(self) -> None:
        """The far end answers."""
        if self.closed:
            return
        self.up = True
        began = self.now()
        self.says = [(began + start, began + end) for start, end in self.says]
        self.clock = asyncio.get_running_loop().create_task(self._talk())
        self.tell(LegAnswered(began, RATE, "PCMU"))

    def close(self, reason: EndReason, code: int = 0) -> None:
        """The far end ends it."""
        if self.closed:
            return
        self.inbox_closed(reason, code)

    def inbox_closed(self, reason: EndReason, code: int) -> None:
        if self.up:
            self.clock.cancel()
        event = LegClosed(reason, self.now(), code)
        self.tell(event)
        self.closed = True
        self.last: list[LegEvent] = [event]

    def watch(self, listener: LegListener) -> None:
        for event in self.inbox.waiting:
            listener.notice(event)
        self.inbox.told.append(listener)

    def attach(self, listener: LegListener) -> None:
        self.inbox.attached = listener
        waiting, self.inbox.waiting = self.inbox.waiting, []
        if self.closed and not waiting:
            waiting = self.last
        for event in waiting:
            listener.notice(event)

    async def ring(self, *, early_media: bool = False) -> None:
        raise LegError("cannot ring an outbound call")

    async def answer(self) -> None:
        raise LegError("cannot answer an outbound call")

    async def send_dtmf(self, digits: str) -> None:
        self.digits += digits

    async def hangup(self, reason: EndReason, *, cause: int = 0) -> None:
        if not self.closed:
            self.hung_up.append(reason)
            self.causes.append(cause)
            asyncio.get_running_loop().call_later(0.05, self.inbox_closed, reason, 0)


class CalleeNetwork:
    """Serves `Placer`: each call goes to the next callee of the list, the last one takes all further."""

    def __init__(self, *callees: Callee) -> None:
        self.callees = list(callees)
        self.dialled: list[tuple[str, str, str]] = []
        """URI, trunk and calling number."""
        self.headers: list[tuple[tuple[str, str], ...]] = []
        """What each request would carry beside them."""
        self.error: LegError | None = None

    async def dial(
        self,
        uri: str,
        *,
        trunk: str,
        caller: str = "",
        headers: Sequence[tuple[str, str]] = (),
        replaces: str = "",
    ) -> Callee:
        self.dialled.append((uri, trunk, caller))
        self.headers.append((*headers, *([("Replaces", replaces)] if replaces else [])))
        if self.error is not None:
            raise self.error
        callee = self.callees.pop(0) if len(self.callees) > 1 else self.callees[0]
        callee.placed(Parties(caller, uri.partition(":")[2].partition("@")[0], trunk))
        return callee
