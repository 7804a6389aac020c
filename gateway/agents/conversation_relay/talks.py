"""What the app wants said: its messages, put together into talks that wait until they are read.

A talk is everything up to a text that says `last`; a sound, keys or the end of the session that come between
two talks are talks of their own. Talks are read one after another, by at most one reader: the reply to what
the caller said, or, when the call is free for it, a talk that nobody asked for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Protocol

from gateway.agents.base import AgentError, FaultKind, Finish, PlaySound, ReplyPart, Say

_SILENCE = 1.0
"""Seconds without text after which an interrupted talk that never said `last` counts as over."""


class TalkUnfit(ValueError):
    """The app said too much; the text says so, in words for its developer."""


class Offers(Protocol):
    """Whom the talks tell that somebody should read them."""

    def offer(self, *, preempts: bool, urgent: bool) -> None: ...


@dataclass(slots=True)
class Talk:
    """One thing the app says."""

    after: int
    """How many prompts the app had been sent when it began."""
    preemptible: bool
    parts: deque[ReplyPart] = field(default_factory=deque)
    """What of it was not read yet."""
    whole: bool = False
    """Nothing more will be added."""
    urgent: bool = False
    """It ends the session: the caller is not waited for."""
    broken: str = ""
    """Why it ends before its end: whoever reads it is told so after what there is of it."""
    characters: int = 0
    offered: bool = False

    @property
    def speaks(self) -> bool:
        """Whether there is something in it to read."""
        return bool(self.parts or self.broken)


class Talks:
    """The talks of one session. Times are loop seconds and come in as arguments."""

    def __init__(self, offers: Offers, *, most: int, characters: int, preemptible: bool) -> None:
        """`most`: talks that may wait; `characters`: of one talk; `preemptible`: what sounds at first."""
        self._offers = offers
        self._most = most
        self._characters = characters
        self._queue: deque[Talk] = deque()
        self._grown = asyncio.Event()
        self._reader: object | None = None
        self._prompts = 0
        self._preemptible = preemptible
        """Whether what was read last may be cut for what comes next."""
        self._endless = False
        """What was read last never ends by itself."""
        self._given_up = ""
        self._dropping: float | None = None
        """Since when the rest of a talk is passed over: it was interrupted, or too long."""

    def prompted(self) -> int:
        """The app is told what the caller said: what it begins to say from now on answers that."""
        self._prompts += 1
        self._dropping = None
        return self._prompts

    def say(self, part: Say | None, now: float, *, last: bool, preemptible: bool) -> None:
        """More text of the talk under way, or of a new one. Raises `TalkUnfit`."""
        if self._passed_over(now, last=last):
            return
        talk = self._open(preemptible)
        if part is not None:
            talk.characters += len(part.text)
            if talk.characters > self._characters:
                talk.whole = True
                self._dropping = None if last else now
                self._tell()
                raise TalkUnfit(f"a talk of more than {self._characters} characters; the rest is not spoken")
            talk.parts.append(part)
        talk.whole = last
        self._tell()

    def add(self, part: ReplyPart, *, preemptible: bool) -> None:
        """Something between the words of the talk under way, or on its own. Raises `TalkUnfit`."""
        alone = not (self._queue and not self._queue[-1].whole)
        talk = self._open(preemptible)
        talk.parts.append(part)
        talk.whole = alone or isinstance(part, Finish)
        talk.urgent = talk.urgent or isinstance(part, Finish)
        self._tell()

    def forget(self, now: float) -> None:
        """The caller cut in: what waits is not said any more, and neither is the rest of what was begun."""
        if self._queue and not self._queue[-1].whole:
            self._dropping = now
        self._queue = deque(talk for talk in self._queue if talk.urgent)
        self._endless = False

    def break_off(self, why: str) -> None:
        """The app was lost: what it had begun to say ends here, and whoever reads it is told why."""
        if self._queue and not self._queue[-1].whole:
            self._queue[-1].whole = True
            self._queue[-1].broken = why
            self._tell()

    def give_up(self, why: str) -> None:
        """Whoever waits for something to read shall not wait any longer."""
        self._given_up = why
        self._grown.set()

    async def read(self, prompt: int = 0) -> AsyncGenerator[ReplyPart, None]:
        """The parts of what waits, to the end of the first talk that began after this prompt (0: any).

        Ends before a talk for which what was read gives way. Raises `AgentError`.
        """
        mine = self._reader = object()
        self._given_up = ""
        latest: Talk | None = None
        try:
            while True:
                talk = self._queue[0] if self._queue else None
                if talk is not None and talk.parts:
                    if latest is not None and latest is not talk:
                        if self._gives_way(talk):
                            return
                        yield Say("\n")  # two talks are two sentences at least
                    latest = talk
                    self._preemptible = talk.preemptible
                    part = talk.parts.popleft()
                    self._endless = isinstance(part, PlaySound) and not part.loops
                    yield part
                elif talk is not None and talk.whole:
                    self._queue.popleft()
                    if talk.broken:
                        raise AgentError(talk.broken, retryable=False, kind=FaultKind.CUT)
                    if talk.after >= prompt:
                        return
                elif self._given_up:
                    raise AgentError(self._given_up)
                else:
                    self._grown.clear()
                    await self._grown.wait()
        finally:
            if self._reader is mine:
                self._reader = None
                for talk in self._queue:
                    talk.offered = False
                self._offer()

    def _gives_way(self, talk: Talk) -> bool:
        """Whether what was read last is cut for this talk; the end of a session waits till it was heard."""
        return self._endless or (self._preemptible and not talk.urgent)

    def _passed_over(self, now: float, *, last: bool) -> bool:
        if self._dropping is None:
            return False
        over = now - self._dropping > _SILENCE
        self._dropping = None if over or last else now
        return not over

    def _open(self, preemptible: bool) -> Talk:
        """The talk under way, or a new one. Raises `TalkUnfit`."""
        if self._queue and not self._queue[-1].whole:
            return self._queue[-1]
        if len(self._queue) >= self._most:
            raise TalkUnfit(f"more than {self._most} talks wait to be spoken; this one is not")
        self._queue.append(Talk(self._prompts, preemptible))
        return self._queue[-1]

    def _tell(self) -> None:
        self._grown.set()
        if self._reader is None:
            self._offer()

    def _offer(self) -> None:
        """Ask for a reader, once for each talk that has something to say."""
        while self._queue and self._queue[0].whole and not self._queue[0].speaks:
            self._queue.popleft()
        if all(talk.offered or not talk.speaks for talk in self._queue):
            return
        for talk in self._queue:
            talk.offered = talk.offered or talk.speaks
        urgent = any(talk.urgent for talk in self._queue)
        self._offers.offer(preempts=self._gives_way(self._queue[0]), urgent=urgent)
