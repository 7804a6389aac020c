"""What lasts from a call's first ring to its record: the leg, who hears it now, the numbering, the end.

A call is served by one stage after another (`stage.py`), each of which is lent the leg. The leg itself knows
the call alone, so that nothing is lost between two stages, least of all that the far end is gone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

import structlog

from gateway.calls.call_events import CallEvent, HoldChanged, KeyPressed, Ringing
from gateway.calls.ledger import CallLedger
from gateway.calls.lifecycle import CallState, Lifecycle
from gateway.calls.observer import Observers, SessionObserver
from gateway.calls.record import CallRecord
from gateway.calls.settings import CallFacts
from media.clock import now
from media.frame import AudioFrame, Voice
from media.legs.base import (
    Direction,
    DtmfReceived,
    EndReason,
    Leg,
    LegAnswered,
    LegClosed,
    LegEvent,
    LegHeld,
    LegListener,
    LegResumed,
    LegRinging,
    TransferAsked,
)
from media.legs.overheard import OverheardLeg

log = structlog.get_logger(__name__)

_KEYS_AHEAD = 32
"""Keys kept that were pressed while nobody took keys."""


class Call:
    """One call's leg and record, on loan to its stages. Serves `LegListener`."""

    def __init__(self, leg: Leg, facts: CallFacts, observers: Sequence[SessionObserver] = ()) -> None:
        self.leg = OverheardLeg(leg)
        self.facts = facts
        self.observers = Observers(observers)
        parties = leg.parties.keeping(facts.headers)
        self.ledger = CallLedger(
            CallRecord(facts.call_id, leg.direction, parties, facts.route, facts.started)
        )
        self.ledger.started(now())
        self.replies = 0
        """Reply numbers used on the leg's playout so far; whoever speaks next counts on from here."""
        self.turns = 0
        """Turns of the caller so far; a later conversation counts on from here."""
        self.keys_ahead: deque[DtmfReceived] = deque(maxlen=_KEYS_AHEAD)
        """Keys that were pressed while no stage had the leg, for the first one that wants them."""
        self._lifecycle = Lifecycle()
        self._listener: LegListener | None = None
        self._watchers: list[LegListener] = []
        self._answered: LegAnswered | None = None
        self._closed: LegClosed | None = None
        self.gone = asyncio.Event()
        """The leg is over."""
        self.asked: Callable[[TransferAsked], None] | None = None
        """Who decides when the far end asks for a call in its place; without, the leg refuses."""

    @property
    def call_id(self) -> str:
        """The call's name in logs, records and the API."""
        return self.facts.call_id

    @property
    def record(self) -> CallRecord:
        """What will remain of it."""
        return self.ledger.record

    @property
    def state(self) -> CallState:
        """Where it stands."""
        return self._lifecycle.state

    @property
    def answered(self) -> LegAnswered | None:
        """When audio began to flow both ways, and how; None before."""
        return self._answered

    @property
    def closed(self) -> LegClosed | None:
        """How the leg ended; None while it lasts."""
        return self._closed

    # ---------------------------------------------------------------------------------------- its leg

    def open(self) -> None:
        """Begin to hear the leg."""
        self.leg.attach(self)

    def lend(self, listener: LegListener | None) -> None:
        """Hand what the leg says to this stage from now on. A leg that is closed says so at once, again."""
        self._listener = listener
        if listener is not None and self._closed is not None:
            listener.notice(self._closed)

    def watch(self, watcher: LegListener) -> None:
        """Let somebody hear and notice everything too, whichever stage has the leg."""
        self._watchers.append(watcher)

    def unwatch(self, watcher: LegListener) -> None:
        """No longer. Idempotent."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    async def answer(self) -> None:
        """Take an inbound call. Idempotent; an outbound one is taken by the far end. Raises `LegError`."""
        if self.leg.direction is Direction.INBOUND and self._answered is None:
            await self.leg.answer()

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        """One frame, for the stage that has the leg."""
        for watcher in self._watchers:
            watcher.hear(frame, voice)
        if self._listener is not None:
            self._listener.hear(frame, voice)

    def notice(self, event: LegEvent) -> None:
        """Something happened on the leg: remembered here, then told to the stage that has it."""
        if self._closed is not None:
            return
        match event:
            case LegAnswered():
                self._answer(event)
            case LegClosed():
                self._closed = event
                self.record.sip_code = event.sip_code
                self.gone.set()
            case LegRinging(at=at):
                self.happened(Ringing(at))
            case LegHeld(at=at) | LegResumed(at=at):
                self.happened(HoldChanged(at, on=isinstance(event, LegHeld), by_us=False))
            case DtmfReceived():
                self.happened(KeyPressed(event.at, event.digit))
                if self._listener is None:
                    self.keys_ahead.append(event)
            case TransferAsked() if self.asked is not None:
                self.asked(event)
        for watcher in tuple(self._watchers):
            watcher.notice(event)
        if self._listener is not None:
            self._listener.notice(event)

    def _answer(self, event: LegAnswered) -> None:
        self.record.codec = event.codec
        if self._answered is None and self._lifecycle.answered():
            self._answered = event
            self.ledger.answered(now(), event.codec, event.sample_rate)
            self.observers.tell(lambda o: o.answered(self.call_id, event.codec, event.sample_rate))

    # ------------------------------------------------------------------------------------ what is told

    def happened(self, event: CallEvent) -> None:
        """Tell everybody who watches, and the record."""
        self.record.note(event)
        self.observers.tell(lambda o: o.happened(self.call_id, event))

    # ----------------------------------------------------------------------------------------- its end

    async def close(self, reason: EndReason, *, cause: int = 0, limit: float = 2.0) -> CallRecord:
        """Hang up, wait no longer than `limit` seconds for the leg, and tell the record. Happens once."""
        if not self._lifecycle.claim(reason):
            return self.record
        ended = now()
        self.lend(None)
        try:
            async with asyncio.timeout(limit):
                await self.leg.hangup(reason, cause=cause)
                await self.gone.wait()
        except Exception as error:
            log.warning("closing was not clean", error=type(error).__name__)
        record = self.ledger.finished(ended, self._lifecycle.ended())
        record.leg = self.leg.stats()
        record.note_switches(self.facts.switches)
        self.observers.tell(lambda o: o.ended(record))
        return record
