"""Whatever happens in whatever order: one live reply, no stuck state, one end, and an honest table."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engines.base import Transcript
from gateway.calls.turn_events import (
    AgentLost,
    AsrLost,
    CallStarted,
    CloseReply,
    CommitTurn,
    DropReply,
    DropSegment,
    EndCall,
    EndRequested,
    Fault,
    HangUpAsked,
    OpenSegment,
    Phase,
    PrepareReply,
    ReleaseReply,
    ReplyCut,
    ReplyEmpty,
    ReplyFailed,
    ReplyGuarded,
    ReplyVoiced,
    ResumeReply,
    SayPhrase,
    StartReply,
    StopReply,
    TalkOffered,
    TurnAction,
    TurnEvent,
)
from gateway.calls.turn_settings import BargeIn, BargeInSettings, KeySettings, TurnSettings
from gateway.calls.turn_table import TABLE, Trigger
from gateway.calls.turns import TurnTaker
from media.legs.base import (
    DtmfReceived,
    EndReason,
    LegClosed,
    LegHeld,
    LegResumed,
    PlayoutDrained,
    PlayoutStarted,
)
from media.segmenter import SpeechEnded, SpeechStarted, VoiceDismissed, VoiceSuspected

WORDS = ["", "yeah", "stop", "I want to", "I want a table.", "555 12", "No. 4."]


class Watched(TurnTaker):
    """Holds every step against the table."""

    def _step(self, trigger: Trigger, event: object, now: float) -> None:
        before = self.phase
        super()._step(trigger, event, now)  # type: ignore[arg-type]
        step = TABLE[before].get(trigger)
        if step is None:
            assert self.phase is before
        else:
            assert self.phase in (before, *step.to), f"{trigger} led from {before} to {self.phase}"


class AnyCall(RuleBasedStateMachine):
    """A caller, a recogniser, an agent, a voice and a network that do what they like."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.speaking = False
        self.suspected = False
        self.segments: list[int] = []
        self.numbers: set[int] = set()
        self.prepared: set[int] = set()
        self.live: int | None = None
        self.stopped: set[int] = set()
        self.ends: list[EndReason] = []
        self.once: set[tuple[int, str]] = set()

    @initialize(
        policy=st.sampled_from(BargeIn),
        speculate=st.booleans(),
        resume=st.booleans(),
        overhear=st.booleans(),
        as_turns=st.booleans(),
    )
    def answer_the_call(
        self, policy: BargeIn, speculate: bool, resume: bool, overhear: bool, as_turns: bool
    ) -> None:
        barge_in = BargeInSettings(policy=policy, resume=resume, overhear=overhear)
        keys = KeySettings(as_turns=as_turns)
        self.turns = Watched(TurnSettings(barge_in=barge_in, keys=keys, speculate=speculate))
        self.feed(CallStarted())

    # ------------------------------------------------------------------------------------- what happens

    def feed(self, event: TurnEvent) -> None:
        self.check(self.turns.handle(event, self.now))

    @rule(seconds=st.sampled_from([0.02, 0.1, 0.3, 0.5, 1.0, 3.0, 9.0]), media=st.booleans())
    def time_passes(self, seconds: float, media: bool) -> None:
        self.now += seconds
        self.check(self.turns.handle_frame(self.now) if media else self.turns.handle_timeout(self.now))

    @rule(sure=st.booleans())
    def voice(self, sure: bool) -> None:
        if self.speaking:
            self.speaking = False
            self.feed(SpeechEnded(0, self.now, 0, self.now - 0.2))
        elif sure:
            self.speaking, self.suspected = True, False
            self.feed(SpeechStarted(0, self.now, 0, self.now - 0.06))
        elif self.suspected:
            self.suspected = False
            self.feed(VoiceDismissed(0, self.now))
        else:
            self.suspected = True
            self.feed(VoiceSuspected(0, self.now))

    @precondition(lambda self: self.segments)
    @rule(
        text=st.sampled_from(WORDS),
        kind=st.sampled_from(["interim", "early", "final"]),
        back=st.integers(0, 2),
    )
    def transcript(self, text: str, kind: str, back: int) -> None:
        segment = self.segments[-1 - min(back, len(self.segments) - 1)]
        self.feed(Transcript(segment, text, is_final=kind == "final", early=kind == "early"))

    @rule(digit=st.sampled_from("15#"))
    def key(self, digit: str) -> None:
        self.feed(DtmfReceived(digit, self.now))

    @precondition(lambda self: self.numbers)
    @rule(
        kind=st.sampled_from(
            ["voiced", "started", "drained", "empty", "agent", "tts", "hang_up", "cut", "rest"]
        ),
        back=st.integers(0, 1),
    )
    def reply(self, kind: str, back: int) -> None:
        number = max(self.numbers) - back
        if number in self.prepared and kind in ("voiced", "started", "drained", "empty"):
            return
        if (number, kind) in self.once or (kind == "empty" and (number, "voiced") in self.once):
            return
        if kind in ("voiced", "started", "empty"):
            self.once.add((number, kind))
        events: dict[str, TurnEvent] = {
            "voiced": ReplyVoiced(number),
            "started": PlayoutStarted(number, self.now),
            "drained": PlayoutDrained(number, 8000, self.now),
            "empty": ReplyEmpty(number),
            "agent": ReplyFailed(number, Fault.AGENT),
            "tts": ReplyFailed(number, Fault.TTS),
            "hang_up": HangUpAsked(number),
            "cut": ReplyCut(number, resumable=False),
            "rest": ReplyCut(number, resumable=True),
        }
        self.feed(events[kind])

    @precondition(lambda self: self.numbers)
    @rule(by_voice=st.booleans(), by_keys=st.booleans(), back=st.integers(0, 1))
    def guarded(self, by_voice: bool, by_keys: bool, back: int) -> None:
        self.feed(ReplyGuarded(max(self.numbers) - back, by_voice, by_keys))

    @rule(preempts=st.booleans(), urgent=st.booleans())
    def offered(self, preempts: bool, urgent: bool) -> None:
        self.feed(TalkOffered(preempts, urgent))

    @rule(held=st.booleans())
    def hold(self, held: bool) -> None:
        self.feed(LegHeld(self.now) if held else LegResumed(self.now))

    @precondition(lambda self: self.now > 20)
    @rule(event=st.sampled_from([AsrLost(), AgentLost(), EndRequested(EndReason.DRAINED)]))
    def rare(self, event: TurnEvent) -> None:
        self.feed(event)

    # ------------------------------------------------------------------------------------- what must hold

    def check(self, actions: list[TurnAction]) -> None:
        for action in actions:
            assert not self.ends, f"{action} after the end"
            match action:
                case OpenSegment(segment):
                    assert segment not in self.segments
                    self.segments.append(segment)
                case CommitTurn(segment=segment) | DropSegment(segment):
                    assert segment in self.segments
                case PrepareReply(number, _):
                    self.new(number)
                    assert not self.prepared, "two prepared replies"
                    self.prepared.add(number)
                case ReleaseReply(number):
                    self.prepared.remove(number)
                    self.go_live(number)
                case StartReply(number, _) | SayPhrase(number, _):
                    self.new(number)
                    self.go_live(number)
                case ResumeReply(number, stopped):
                    self.stopped.remove(stopped)
                    self.new(number)
                    self.go_live(number)
                case StopReply(number):
                    assert number == self.live, "stopped a reply that was not live"
                    self.live = None
                    self.stopped.add(number)
                    assert len(self.stopped) == 1
                case CloseReply(number):
                    assert number == self.live or number in self.stopped
                    self.live = None if number == self.live else self.live
                    self.stopped.discard(number)
                case DropReply(number):
                    assert number in self.prepared | self.stopped
                    self.prepared.discard(number)
                    self.stopped.discard(number)
                case EndCall(reason):
                    self.ends.append(reason)

    def new(self, number: int) -> None:
        assert number > max(self.numbers, default=0), "reply numbers must grow"
        self.numbers.add(number)

    def go_live(self, number: int) -> None:
        assert self.live is None, "two live replies"
        self.live = number

    @invariant()
    def never_stuck(self) -> None:
        if hasattr(self, "turns"):
            ended = self.turns.phase is Phase.ENDED
            assert ended == bool(self.ends) and (not ended or self.turns.reason == self.ends[0])
            assert ended or self.turns.next_timeout() is not None, f"stuck in {self.turns.phase}"
            assert not ended or (self.live is None and not self.prepared and not self.stopped)

    @invariant()
    def the_table_knows_all(self) -> None:
        if hasattr(self, "turns"):
            assert [name for name in self.turns.counts if name.startswith("unexpected")] == []

    def teardown(self) -> None:
        if hasattr(self, "turns") and not self.ends:
            self.feed(LegClosed(EndReason.CALLER_HUNG_UP, self.now))
            self.never_stuck()
            assert len(self.ends) == 1, "hang-up must be possible in every phase"


AnyCall.TestCase.settings = settings(max_examples=120, stateful_step_count=60, deadline=None)
TestAnyCall = AnyCall.TestCase
