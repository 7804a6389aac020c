"""What is said in a conversation without the caller having asked: ordered from outside, or by a companion.

    obey(SayNow) ── order ──> waiting ── TalkOffered ──> turn-taker ── StartReply ──> parts ──> speaker

It is a reply like any other: it waits for the floor, the caller may interrupt it, the record holds it, and
the agent is told what of it was heard.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial

from gateway.agents.base import PlaySound, ReplyPart, Say
from gateway.agents.companion import Companion
from gateway.calls.orders import MOST_WAITING, OrderRefused, PlayNow, SayNow
from media.frame import Pcm
from media.wav import read_mono


@dataclass(eq=False, slots=True)
class _Ordered:
    order: SayNow | PlayNow
    over: asyncio.Future[None]
    """Done once it was heard, or cut; fails with `OrderRefused`."""


class Unasked:
    """One conversation's talk that answers nothing."""

    def __init__(self, companion: Companion | None, offer: Callable[[], None]) -> None:
        """`offer`: asks the turn-taker for the floor, again."""
        self._companion = companion
        self._offer = offer
        self._waiting: deque[_Ordered] = deque()
        self._taken: list[_Ordered] = []
        """What the present reply says of it."""

    @property
    def waiting(self) -> bool:
        """Something that was ordered still wants the floor."""
        return bool(self._waiting)

    def order(self, order: SayNow | PlayNow) -> asyncio.Future[None]:
        """Have this said in its turn, or before all that waits if it interrupts. Raises `OrderRefused`."""
        if len(self._waiting) >= MOST_WAITING:
            raise OrderRefused(f"{MOST_WAITING} texts wait already; clear them first")
        ordered = _Ordered(order, asyncio.get_running_loop().create_future())
        if order.interrupt:
            self._waiting.appendleft(ordered)
        else:
            self._waiting.append(ordered)
        return ordered.over

    def parts(self) -> AsyncIterator[ReplyPart]:
        """What is to be said now; what was ordered goes first, and the agent's own talk has the next turn."""
        if self._waiting:
            if self._companion is not None:
                self._offer()
            return self._ordered()
        return self._companion.unprompted() if self._companion is not None else _nothing()

    def dropped(self) -> None:
        """The reply was taken back before anybody heard of it: it is said another time."""
        if self._taken:
            self._waiting.extendleft(reversed(self._taken))
            self._taken.clear()
            self._offer()

    def closed(self, *, failed: bool) -> bool:
        """The reply is over, heard out or cut; whether it was one that was ordered."""
        taken, self._taken = self._taken, []
        for ordered in taken:
            _settle(ordered.over, "it could not be spoken" if failed else "")
        return bool(taken)

    def clear(self) -> None:
        """What waits is never said."""
        while self._waiting:
            _settle(self._waiting.popleft().over)

    def close(self) -> None:
        """The conversation is over."""
        for ordered in (*self._taken, *self._waiting):
            _settle(ordered.over, "the conversation ended before it was heard")
        self._taken.clear()
        self._waiting.clear()

    async def _ordered(self) -> AsyncIterator[ReplyPart]:
        while self._waiting:
            ordered = self._waiting.popleft()
            self._taken.append(ordered)
            match ordered.order:
                case SayNow(text):
                    yield Say(f"{text} ")
                case PlayNow() as play:
                    yield PlaySound(_opened(play), told=partial(_failed, ordered.over))


async def _nothing() -> AsyncIterator[ReplyPart]:
    return
    yield


def _opened(play: PlayNow) -> Callable[[int], AsyncGenerator[Pcm, None]]:
    async def sound(sample_rate: int) -> AsyncGenerator[Pcm, None]:
        yield await asyncio.to_thread(read_mono, play.file, sample_rate)

    return sound


def _failed(over: asyncio.Future[None], why: str) -> None:
    if why:
        _settle(over, f"it could not be played: {why}")


def _settle(over: asyncio.Future[None], refused: str = "") -> None:
    """Nobody waits for it any more, perhaps."""
    if over.done():
        return
    if refused:
        over.set_exception(OrderRefused(refused))
        over.exception()  # who gave the order may be gone: nobody need look
    else:
        over.set_result(None)
