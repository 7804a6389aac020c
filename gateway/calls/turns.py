"""Who has the floor: the one synchronous machine that decides it.

    events and the time ──> TurnTaker ──> actions, and the time of the next timeout

The caller's speech, its words, the sound of our replies, keys, hold and hang-up go in; what to recognise,
what to say, when to fall silent and when to hang up comes out. Nothing is awaited and no clock is read here,
so a whole call can be replayed with literal times.

    turn_table.py    phase × event → move: all transitions, in one table
    moves_*.py       the moves
    floor.py         the state, and the verbs that change it
    turn_events.py   the phases, events, clocks and actions
    turn_settings.py what an operator may set
"""

from __future__ import annotations

from collections import Counter

from engines.base import Transcript
from gateway.calls.floor import Floor
from gateway.calls.turn_events import (
    HangUpAsked,
    Phase,
    ReplyCut,
    ReplyEmpty,
    ReplyFailed,
    ReplyGuarded,
    ReplyVoiced,
    Timer,
    TurnAction,
    TurnEvent,
)
from gateway.calls.turn_settings import TurnSettings
from gateway.calls.turn_table import CLOCKS, TABLE, Trigger
from media.legs.base import EndReason, PlayoutDrained, PlayoutStarted
from media.segmenter import SpeechEnded, SpeechStarted, VoiceDismissed, VoiceSuspected


class TurnTaker:
    """Who has the floor. Pure: events and the time go in, actions come out, nothing is awaited."""

    def __init__(self, settings: TurnSettings, replies: int = 0, turns: int = 0) -> None:
        """`replies`, `turns`: numbers that were used up before; ours are higher."""
        self._floor = Floor(settings, CLOCKS)
        self._floor.tally.replies = replies
        self._floor.tally.turns = turns

    @property
    def phase(self) -> Phase:
        """Who has the floor now."""
        return self._floor.phase

    @property
    def reason(self) -> EndReason | None:
        """Why the call ends; None while it does not. Set once."""
        return self._floor.reason

    @property
    def replies(self) -> int:
        """Reply numbers used up."""
        return self._floor.tally.replies

    @property
    def turns(self) -> int:
        """Turns of the caller so far."""
        return self._floor.tally.turns

    @property
    def counts(self) -> Counter[str]:
        """What did not go straight: stale and unexpected events, fillers, failures, re-opened turns."""
        return self._floor.counts

    def handle(self, event: TurnEvent, now: float) -> list[TurnAction]:
        """One thing happened at `now`; returns what to do about it, in order."""
        self._perceive(event)
        if self._is_stale(event):
            self._floor.counts["stale"] += 1
        else:
            self._step(type(event), event, now)
        return self.handle_timeout(now)

    def handle_frame(self, arrived: float) -> list[TurnAction]:
        """A frame of the caller's audio arrived: the media clock stands there."""
        self._floor.arm(Timer.MEDIA, arrived + self._floor.settings.guards.media_lost)
        return self.handle_timeout(arrived)

    def handle_timeout(self, now: float) -> list[TurnAction]:
        """Let every clock ring that is due at `now`, the earliest first."""
        timers = self._floor.timers
        while timers and timers[timer := min(timers, key=timers.__getitem__)] <= now:
            del timers[timer]
            self._step(timer, timer, now)
        actions, self._floor.actions = self._floor.actions, []
        return actions

    def collect_keys(self, most: int) -> None:
        """The next number that is keyed in has so many keys at most."""
        self._floor.keys_wanted = most

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is wanted, if nothing happens before; None for never."""
        return min(self._floor.timers.values(), default=None)

    def _step(self, trigger: Trigger, event: TurnEvent | Timer, now: float) -> None:
        step = TABLE[self._floor.phase].get(trigger)
        if step is not None:
            step.move(self._floor, event, now)
        elif self._floor.phase is not Phase.ENDED:
            name = trigger.name if isinstance(trigger, Timer) else trigger.__name__
            self._floor.counts[f"unexpected {name} while {self._floor.phase}"] += 1

    def _perceive(self, event: TurnEvent) -> None:
        """The caller's voice is a fact in every phase, whatever the table makes of it."""
        voice = self._floor.voice
        match event:
            case SpeechStarted():
                voice.speaking, voice.suspected = True, False
            case SpeechEnded():
                voice.speaking = False
            case VoiceSuspected():
                voice.suspected = True
            case VoiceDismissed():
                voice.suspected = False

    def _is_stale(self, event: TurnEvent) -> bool:
        """Whether it speaks of a reply or a segment that is over."""
        match event:
            case Transcript():
                return self._floor.turn is None or event.segment not in self._floor.turn.texts
            case ReplyCut():
                return self._floor.cut is None or self._floor.cut.number != event.reply
            case PlayoutStarted() | PlayoutDrained():
                return self._floor.reply(event.reply) is None
            case ReplyVoiced() | ReplyEmpty() | ReplyFailed() | HangUpAsked() | ReplyGuarded():
                return self._floor.reply(event.reply) is None
            case _:
                return False
