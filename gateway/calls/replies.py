"""One reply on its way from the agent to the caller: its text as it comes, and how far it got."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from gateway.agents.base import Do, FaultKind, Interruptible, PlaySound, UserTurn
from gateway.calls.heard import HeardTracker
from gateway.calls.timings import ReplyStamps
from gateway.calls.turn_events import Fault

LONGEST_SCRIPT = 400
"""Sentences; an agent that says more is not listened to any further."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One thing to be heard: a sentence, or a sound."""

    text: str
    """"" for a sound."""
    language: str = ""
    """As in `agents.base.Say`."""
    voice: str = ""
    sound: PlaySound | None = None


class Script:
    """What the agent says, sentence by sentence, as it comes. May be read again after an interruption."""

    def __init__(self) -> None:
        self.passages: list[Passage] = []
        self._orders: deque[tuple[int, Do]] = deque()
        """What is to be done, and before which passage. Each is done once, however often it is read."""
        self.finished = False
        self.hang_up = False
        """The agent wants the call to end after it,"""
        self.keep_call = False
        """or only its own part of the call."""
        self.fault: Fault | None = None
        """What it ends early of."""
        self.fault_kind = FaultKind.BROKEN
        self.starved = False
        """Somebody reads, and has read all there is."""
        self._grown = asyncio.Event()

    @property
    def text(self) -> str:
        """The words of it so far."""
        return self.text_before(len(self.passages))

    def text_before(self, index: int) -> str:
        """The words of its first passages, so many of them."""
        return " ".join(passage.text for passage in self.passages[:index] if passage.text)

    def add(self, sentences: list[str], language: str = "", voice: str = "") -> None:
        """More of it. Raises `OverflowError` when it has grown too long."""
        self._append([Passage(text, language, voice) for text in sentences])

    def play(self, sound: PlaySound) -> None:
        """A sound after all that was added so far. Raises `OverflowError` as `add` does."""
        self._append([Passage("", sound=sound)])

    def _append(self, passages: list[Passage]) -> None:
        self.passages += passages
        self._grown.set()
        if len(self.passages) > LONGEST_SCRIPT:
            raise OverflowError(f"a reply of more than {LONGEST_SCRIPT} sentences")

    def order(self, do: Do) -> None:
        """Something to do after all that was added so far. Raises `OverflowError` as `add` does."""
        self._orders.append((len(self.passages), do))
        self._grown.set()
        if len(self._orders) > LONGEST_SCRIPT:
            raise OverflowError(f"a reply of more than {LONGEST_SCRIPT} orders")

    def begin(self, do: Do) -> None:
        """The order is being done; it is not given out again."""
        self._orders = deque(waiting for waiting in self._orders if waiting[1] is not do)

    def finish(self, fault: Fault | None = None, kind: FaultKind = FaultKind.BROKEN) -> None:
        """No more of it will come."""
        self.fault, self.fault_kind = fault, kind
        self.finished = True
        self._grown.set()

    async def read(self, index: int) -> AsyncIterator[tuple[int, Passage] | Do]:
        """The passages from `index` on and the orders between them, those that are still to come included.

        One reader at a time, who says by `begin` that he does an order; else it stays for the next reader.
        """
        while True:
            while index < len(self.passages) or self._orders:
                while self._orders and self._orders[0][0] <= index:
                    yield self._orders[0][1]
                if index < len(self.passages):
                    yield index, self.passages[index]
                    index += 1
            if self.finished:
                return
            self._grown.clear()
            self.starved = True
            try:
                await self._grown.wait()
            finally:
                self.starved = False


@dataclass(slots=True)
class Reply:
    """One attempt to let the caller hear a script. A reply that goes on after a cut is another attempt."""

    number: int
    turn: UserTurn | None
    """What it answers; None for a phrase of our own."""
    script: Script
    tracker: HeardTracker
    first: int = 0
    """The passage of the script it begins with."""
    before: int = 0
    """Samples that earlier attempts sent."""
    released: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it may sound; a prepared reply waits for it before its first sample."""
    mouth: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a sentence is spoken, so that a filler never falls into one."""
    stamps: ReplyStamps = field(default_factory=ReplyStamps)
    reader: asyncio.Task[None] | None = None
    """Agent → script."""
    speakers: set[asyncio.Task[None]] = field(default_factory=set)
    """Script → playout, and a filler perhaps."""
    voiced: bool = False
    """A sample of its own, no filler, was queued."""
    filled: bool = False
    """The caller was asked for patience ahead of it."""
    sounding: bool = False
    """Its first packet was sent, and it was neither cut nor heard out."""
    sent: int | None = None
    """Samples that were sent, once it is over."""
    words_told: int = 0
    """Words of it that somebody was told had been heard."""
    guard: Interruptible | None = None
    """What the agent said may cut it."""
    complete: bool = False
    """The caller heard it to its end."""

    def silence(self) -> None:
        """Stop making sound of it; its text may still grow."""
        for task in self.speakers:
            task.cancel()
        self.speakers.clear()
        self.sounding = False

    def abandon(self) -> None:
        """Stop all work on it."""
        self.silence()
        if self.reader is not None:
            self.reader.cancel()

    @property
    def next_index(self) -> int:
        """The first sentence that was not heard to its end."""
        return self.tracker.at(self.sent or 0).next_index

    @property
    def heard(self) -> str:
        """The agent's words that the caller heard, earlier attempts included."""
        here = self.tracker.at(self.sent or 0).text
        return " ".join(filter(None, (self.script.text_before(self.first), here)))

    @property
    def resumable(self) -> bool:
        """Whether it makes sense to go on: something is left, and the caller was not asked just now."""
        left = self.next_index < len(self.script.passages) or not self.script.finished
        return left and not self.heard.endswith("?")
