"""The state of who has the floor, and the few verbs that change it.

Only the moves (`moves.py`) call these verbs, and only the table (`turn_table.py`) calls the moves, so every
change of state starts at one row of the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from engines.base import Transcript
from gateway.agents.base import FaultKind, UserTurn
from gateway.calls.endpointing import Endpointer
from gateway.calls.turn_events import (
    CloseReply,
    CommitTurn,
    DropReply,
    DropSegment,
    Duck,
    EndCall,
    Fault,
    OpenSegment,
    Phase,
    Phrase,
    PrepareReply,
    ReleaseReply,
    ResumeReply,
    SayPhrase,
    StartReply,
    StopReply,
    TalkOffered,
    Timer,
    TurnAction,
    Unduck,
)
from gateway.calls.turn_settings import BargeIn, TurnSettings
from gateway.calls.words import bare
from media.legs.base import EndReason


@dataclass(slots=True)
class CallerTurn:
    """What the caller is saying, or has just said: one segment, or several when the turn was re-opened."""

    number: int
    segment: int = 0
    """The open segment, or the last one."""
    texts: dict[int, str] = field(default_factory=dict)
    """Latest words of each segment."""
    awaiting: set[int] = field(default_factory=set)
    """Segments that were claimed and whose final has not come."""
    speech_ended_at: float = 0.0
    due: float = 0.0
    """When the turn would be over, had no voice been suspected meanwhile."""

    @property
    def reopened(self) -> bool:
        """Whether it holds words of an earlier segment than the latest."""
        return any(text for segment, text in self.texts.items() if segment != self.segment)

    @property
    def text(self) -> str:
        """The words of all its segments."""
        return " ".join(text for _, text in sorted(self.texts.items()) if text)


@dataclass(slots=True)
class ReplyState:
    """One reply as the machine sees it."""

    number: int
    turn: UserTurn | None
    """What it answers; None for a phrase of our own."""
    by_voice: bool
    """The caller's voice may cut it."""
    by_keys: bool
    voiced: bool = False
    """Its own sound is queued."""
    audible_at: float | None = None
    """When something of it, or a filler ahead of it, began to sound."""
    hang_up: bool = False
    keep_call: bool = False
    """... and only the agent's part of it ends."""
    by_caller: bool = False
    """The caller cut it."""
    fault: Fault | None = None
    fault_kind: FaultKind = FaultKind.BROKEN
    resumable: bool = True
    forget: bool = False
    """It was stopped because the caller had not finished: if it is not resumed, it never was."""


@dataclass(slots=True)
class CallerVoice:
    """What the segmenter says of the caller at this moment."""

    speaking: bool = False
    suspected: bool = False


@dataclass(slots=True)
class Tally:
    """What is counted over the call."""

    turns: int = 0
    """Caller's turns that were answered."""
    segments: int = 0
    replies: int = 0
    reprompts: int = 0
    """In a row."""
    failures: int = 0
    """In a row."""


class Floor:
    """Who has the floor, what is being said, and which clocks run."""

    def __init__(self, settings: TurnSettings, clocks: Mapping[Phase, frozenset[Timer]]) -> None:
        self.settings = settings
        self.endpointer = Endpointer(settings.endpointing)
        self.phase = Phase.LISTENING
        self.voice = CallerVoice()
        self.tally = Tally()
        self.turn: CallerTurn | None = None
        self.live: ReplyState | None = None
        self.prepared: ReplyState | None = None
        self.cut: ReplyState | None = None
        self.ducked = False
        self.keys = ""
        self.keys_wanted = 0
        """Keys after which the next number is whole; 0 leaves it to the settings."""
        self.warning_due = False
        self.offered: TalkOffered | None = None
        """The agent waits to say something that nobody asked for."""
        self.reason: EndReason | None = None
        self.timers: dict[Timer, float] = {}
        self.actions: list[TurnAction] = []
        self.counts: Counter[str] = Counter()
        self._clocks = clocks

    # ------------------------------------------------------------------------------------ phase and clocks

    def enter(self, phase: Phase) -> None:
        """Change the phase; clocks that mean nothing in it stop."""
        self.phase = phase
        for timer in self.timers.keys() - self._clocks[phase]:
            del self.timers[timer]

    def arm(self, timer: Timer, at: float) -> None:
        """Set a clock, unless the phase has no use for it."""
        if timer in self._clocks[self.phase]:
            self.timers[timer] = at

    def disarm(self, timer: Timer) -> None:
        self.timers.pop(timer, None)

    # ---------------------------------------------------------------------------------------- the caller

    def open_turn(self, phase: Phase, now: float) -> None:
        """The caller begins a turn of his own; `phase` says whether he has the floor or contests it."""
        self.turn = CallerTurn(self.tally.turns + 1)
        self.enter(phase)
        self.open_segment()
        self.arm(Timer.TURN_LIMIT, now + self.settings.guards.max_turn)

    def open_segment(self) -> None:
        assert self.turn is not None
        self.tally.segments += 1
        self.turn.segment = self.tally.segments
        self.turn.texts[self.turn.segment] = ""
        self.actions.append(OpenSegment(self.turn.segment))

    def drop_segment(self) -> None:
        """Forget the words of the turn's latest segment."""
        if self.turn is not None:
            self.turn.texts.pop(self.turn.segment, None)
            self.turn.awaiting.discard(self.turn.segment)
            self.actions.append(DropSegment(self.turn.segment))

    def claim_segment(self) -> None:
        """The final transcript of the turn's latest segment is wanted."""
        assert self.turn is not None
        self.turn.awaiting.add(self.turn.segment)
        self.actions.append(CommitTurn(self.turn.number, self.turn.segment))

    def commit_turn(self, now: float) -> None:
        """The caller's turn is over: wait for its words, but not for long.

        What he feels as silence began with his last word, not when we took his turn for over.
        """
        assert self.turn is not None
        self.claim_segment()
        self.enter(Phase.THINKING)
        guards, silent_since = self.settings.guards, self.turn.speech_ended_at
        self.arm(Timer.FINAL, now + guards.final)
        self.arm(Timer.FILLER, silent_since + guards.filler_after)
        self.arm(Timer.DEAD_AIR, silent_since + guards.dead_air)

    def expect_end(self, text: str | None) -> None:
        """Set the clock for the end of the turn, counted from the true end of speech."""
        assert self.turn is not None
        self.turn.due = self.turn.speech_ended_at + self.endpointer.delay(text)
        self.arm(Timer.ENDPOINT, self.turn.due)

    def note(self, event: Transcript) -> CallerTurn:
        """Keep the words of one of the turn's segments; returns the turn."""
        assert self.turn is not None
        self.turn.texts[event.segment] = event.text.strip()
        if event.is_final and not event.early:
            self.turn.awaiting.discard(event.segment)
        return self.turn

    def count_turn(self, number: int) -> None:
        """The caller said something that is answered."""
        self.tally.turns = number
        self.tally.reprompts = 0

    # ---------------------------------------------------------------------------------------- our replies

    def start_reply(self, turn: UserTurn, now: float) -> None:
        """Ask the agent, and wait for the sound of its answer; what it offered comes with it."""
        self.offered = None
        self.live = self._new_reply(turn, self._may_interrupt(turn))
        self.actions.append(StartReply(self.live.number, turn))
        self._await_sound(now)

    def prepare_reply(self, turn: UserTurn) -> None:
        """Have an answer made in silence; at most one at a time."""
        self.drop_prepared()
        self.prepared = self._new_reply(turn, self._may_interrupt(turn))
        self.actions.append(PrepareReply(self.prepared.number, turn))

    def drop_prepared(self) -> None:
        if self.prepared is not None:
            self.actions.append(DropReply(self.prepared.number))
            self.prepared = None

    def release_prepared(self, now: float) -> None:
        """What was prepared is right: it becomes the live reply."""
        assert self.prepared is not None
        self.live, self.prepared = self.prepared, None
        self.actions.append(ReleaseReply(self.live.number))
        self._await_sound(now)

    def say(self, phrase: Phrase, now: float, *, phase: Phase = Phase.THINKING) -> None:
        """Say a phrase of our own as a reply; while ending, nothing interrupts it."""
        self.live = self._new_reply(None, phase is not Phase.ENDING and self._barge_in)
        self.actions.append(SayPhrase(self.live.number, phrase))
        self.disarm(Timer.DEAD_AIR)
        self._await_sound(now, phase)
        self.disarm(Timer.FILLER)

    def stop_live(self, *, forget: bool = False, by_caller: bool = False) -> None:
        """Silence the live reply now; whether it goes on later is open."""
        assert self.live is not None
        self.settle_cut()
        self.cut, self.live = self.live, None
        self.cut.forget, self.cut.by_caller = forget, by_caller
        self.ducked = False
        self.actions.append(StopReply(self.cut.number))

    def close_live(self) -> None:
        """The live reply is over, heard out or not."""
        if self.live is not None:
            self.actions.append(CloseReply(self.live.number, self.live.by_caller))
            self.live = None
            self.ducked = False

    def settle_cut(self) -> None:
        """The stopped reply will not go on."""
        if self.cut is not None:
            cut, self.cut = self.cut, None
            if cut.forget:
                self.actions.append(DropReply(cut.number, asked=True))
            else:
                self.actions.append(CloseReply(cut.number, cut.by_caller))

    def resume_cut(self, now: float) -> None:
        """The stopped reply goes on under a new number."""
        assert self.cut is not None
        stopped, self.cut = self.cut, None
        self.live = self._new_reply(stopped.turn, stopped.by_voice)
        self.live.by_keys = stopped.by_keys
        self.live.hang_up, self.live.keep_call = stopped.hang_up, stopped.keep_call
        self.live.fault, self.live.fault_kind = stopped.fault, stopped.fault_kind
        self.actions.append(ResumeReply(self.live.number, stopped.number))
        self._await_sound(now)

    def duck(self) -> None:
        if self.live is not None and not self.ducked:
            self.ducked = True
            self.actions.append(Duck(self.live.number, self.settings.barge_in.duck_gain))

    def unduck(self) -> None:
        if self.live is not None and self.ducked:
            self.ducked = False
            self.actions.append(Unduck(self.live.number))

    # --------------------------------------------------------------------------------------------- the end

    def end(self, reason: EndReason, phrase: Phrase, now: float) -> None:
        """Say goodbye, then hang up. The first reason stays."""
        if self.reason is None:
            self.reason = reason
            self.clear_floor()
            self.say(phrase, now, phase=Phase.ENDING)
            self.arm(Timer.GOODBYE, now + self.settings.guards.goodbye)

    def finish(self, reason: EndReason, *, keep_call: bool = False) -> None:
        """Hang up now, or only end the conversation."""
        self.reason = self.reason or reason
        self.clear_floor()
        self.enter(Phase.ENDED)
        self.actions.append(EndCall(self.reason, keep_call))

    def clear_floor(self) -> None:
        """Nobody says anything any more: close replies, drop what is being heard."""
        if self.segment_open:
            self.drop_segment()
        self.turn = None
        self.disarm(Timer.FINAL)
        self.drop_prepared()
        self.settle_cut()
        self.close_live()

    # ------------------------------------------------------------------------------------------- questions

    @property
    def segment_open(self) -> bool:
        """Whether the recogniser still works on the caller's latest segment."""
        if self.turn is None:
            return False
        hearing = self.phase in (Phase.HEARING, Phase.ENDPOINTING, Phase.CONTESTED)
        return hearing or self.turn.segment in self.turn.awaiting

    def meant_to_interrupt(self, *, decided: bool) -> bool:
        """Whether the words spoken into a reply claim the floor; `decided` ones may be fewer."""
        words = bare(self.turn.texts.get(self.turn.segment, "")) if self.turn is not None else ""
        settings = self.settings.barge_in
        if self.cut is not None and (self.cut.forget or not (self.cut.resumable and settings.resume)):
            return words != ""
        if words in settings.backchannels:
            return False
        return len(words.split()) >= (1 if decided else settings.words)

    def reply(self, number: int) -> ReplyState | None:
        """The live or the prepared reply of this number; None when it is over."""
        for reply in (self.live, self.prepared):
            if reply is not None and reply.number == number:
                return reply
        return None

    @property
    def _barge_in(self) -> bool:
        return self.settings.barge_in.policy is not BargeIn.OFF

    def _may_interrupt(self, turn: UserTurn) -> bool:
        return self._barge_in and (turn.number > 0 or turn.unasked or self.settings.barge_in.greeting)

    def _new_reply(self, turn: UserTurn | None, interruptible: bool) -> ReplyState:
        self.tally.replies += 1
        return ReplyState(self.tally.replies, turn, interruptible, interruptible)

    def _await_sound(self, now: float, phase: Phase = Phase.THINKING) -> None:
        self.enter(phase)
        for timer, seconds in (
            (Timer.FILLER, self.settings.guards.filler_after),
            (Timer.DEAD_AIR, self.settings.guards.dead_air),
        ):
            if timer not in self.timers:  # it runs since the turn was committed
                self.arm(timer, now + seconds)
