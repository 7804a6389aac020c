"""The machine alone, with literal times: what whole calls do not reach."""

from __future__ import annotations

import pytest

from engines.base import Transcript
from gateway.agents.base import UserTurn
from gateway.calls.turn_events import (
    AsrLost,
    CallStarted,
    CloseReply,
    CommitTurn,
    DecodeEarly,
    DropReply,
    EndCall,
    EndRequested,
    GoOnHearing,
    OpenSegment,
    Phase,
    Phrase,
    PrepareReply,
    ReleaseReply,
    ReplyEmpty,
    ReplyVoiced,
    SayFiller,
    SayPhrase,
    StartReply,
    StopReply,
    TurnAction,
)
from gateway.calls.turn_settings import BargeInSettings, GuardSettings, KeySettings, TurnSettings
from gateway.calls.turns import TurnTaker
from media.legs.base import DtmfReceived, EndReason, LegHeld, LegResumed, PlayoutDrained, PlayoutStarted
from media.segmenter import SpeechEnded, SpeechStarted, VoiceDismissed, VoiceSuspected

SETTINGS = TurnSettings()
WAIT = SETTINGS.endpointing


def listening(settings: TurnSettings = SETTINGS) -> TurnTaker:
    """A call whose agent did not greet."""
    turns = TurnTaker(settings)
    turns.handle(CallStarted(), 0.0)
    turns.handle(ReplyEmpty(1), 0.0)
    assert turns.phase is Phase.LISTENING
    return turns


def starts(turns: TurnTaker, at: float) -> list[TurnAction]:
    return turns.handle(SpeechStarted(0, at, 0, at), at)


def ends(turns: TurnTaker, at: float) -> list[TurnAction]:
    """The last voiced sample was at `at`; we learn of it one hangover later."""
    return turns.handle(SpeechEnded(0, at + 0.2, 0, at), at + 0.2)


def early(turns: TurnTaker, text: str, at: float, segment: int = 1) -> list[TurnAction]:
    return turns.handle(Transcript(segment, text, is_final=False, early=True), at)


def final(turns: TurnTaker, text: str, at: float, segment: int = 1) -> list[TurnAction]:
    return turns.handle(Transcript(segment, text, is_final=True), at)


def test_a_turn_step_by_step() -> None:
    turns = listening()
    assert starts(turns, 1.0) == [OpenSegment(1)]
    assert ends(turns, 2.0) == [DecodeEarly(1)]
    assert early(turns, "I want a table.", 2.27) == [PrepareReply(2, UserTurn(1, "I want a table."))]
    assert turns.next_timeout() == pytest.approx(2.0 + WAIT.done)
    assert turns.handle_timeout(2.0 + WAIT.done) == [CommitTurn(1, 1)]
    assert final(turns, "I want a table.", 2.43) == [ReleaseReply(2)]
    phases = [turns.phase]
    for event in (ReplyVoiced(2), PlayoutStarted(2, 2.45)):
        assert turns.handle(event, 2.45) == []
        phases.append(turns.phase)
    assert turns.handle(PlayoutDrained(2, 800, 3.0), 3.0) == [CloseReply(2)]
    assert [*phases, turns.phase] == [Phase.THINKING, Phase.THINKING, Phase.SPEAKING, Phase.LISTENING]


def test_a_final_that_differs_replaces_the_prepared_reply() -> None:
    turns = listening()
    starts(turns, 1.0), ends(turns, 2.0), early(turns, "I want a table.", 2.27)
    turns.handle_timeout(2.5)
    assert final(turns, "I want the table.", 2.5) == [
        DropReply(2),
        StartReply(3, UserTurn(1, "I want the table.")),
    ]


def test_stops_and_capitals_are_no_difference() -> None:
    turns = listening()
    starts(turns, 1.0), ends(turns, 2.0), early(turns, "i want a table", 2.27)
    turns.handle_timeout(2.0 + WAIT.undecided)
    assert final(turns, "I want a table.", 2.7) == [ReleaseReply(2)]


def test_speech_before_the_endpoint_goes_on_with_the_segment() -> None:
    turns = listening()
    starts(turns, 1.0), ends(turns, 2.0), early(turns, "I want a table.", 2.27)
    assert starts(turns, 2.35) == [DropReply(2), GoOnHearing(1)]


def test_suspected_voice_puts_the_endpoint_off_but_not_for_long() -> None:
    turns = listening()
    starts(turns, 1.0), ends(turns, 2.0), early(turns, "Yes.", 2.27)
    due = 2.0 + WAIT.done
    turns.handle(VoiceSuspected(0, due - 0.02), due - 0.02)
    assert turns.handle_timeout(due) == []
    assert turns.next_timeout() == pytest.approx(due + WAIT.suspicion)
    assert turns.handle(VoiceDismissed(0, due + 0.06), due + 0.06) == [CommitTurn(1, 1)]

    turns = listening()
    starts(turns, 1.0), ends(turns, 2.0), early(turns, "Yes.", 2.27)
    turns.handle(VoiceSuspected(0, due - 0.02), due - 0.02)
    turns.handle_timeout(due)
    assert turns.handle_timeout(due + WAIT.suspicion) == [CommitTurn(1, 1)]


def test_a_late_interim_after_the_commit_is_not_the_final() -> None:
    turns = listening(TurnSettings(speculate=False))
    starts(turns, 1.0), ends(turns, 2.0)
    turns.handle_timeout(2.0 + WAIT.undecided)
    assert turns.handle(Transcript(1, "I want", is_final=False), 2.7) == []
    assert final(turns, "I want a table.", 2.8) == [StartReply(2, UserTurn(1, "I want a table."))]


def test_an_overdue_final_is_replaced_by_the_words_so_far() -> None:
    turns = listening(TurnSettings(speculate=False))
    starts(turns, 1.0)
    turns.handle(Transcript(1, "I want a", is_final=False), 1.8)
    ends(turns, 2.0)
    turns.handle_timeout(2.0 + WAIT.undecided)
    late = 2.0 + WAIT.undecided + SETTINGS.guards.final
    assert turns.handle_timeout(late) == [StartReply(2, UserTurn(1, "I want a"))]
    asked = SayFiller(2, Phrase.FILLER)  # he has waited for his answer since his last word
    assert final(turns, "I want a table.", late + 0.1) == [asked] and turns.counts["stale"] == 1


def test_an_endless_turn_is_answered() -> None:
    turns = listening()
    starts(turns, 1.0)
    assert turns.handle_frame(20.0) == turns.handle_frame(40.0) == turns.handle_frame(60.9) == []
    assert turns.handle_frame(1.0 + SETTINGS.guards.max_turn) == [CommitTurn(1, 1)]
    assert turns.counts["turn_limit"] == 1


def test_stale_replies_are_counted_and_change_nothing() -> None:
    turns = listening()
    before = turns.phase
    assert turns.handle(PlayoutDrained(1, 0, 1.0), 1.0) == []
    assert turns.handle(ReplyVoiced(77), 1.0) == []
    assert turns.phase is before and turns.counts["stale"] == 2


def test_an_event_that_the_table_does_not_list_is_counted_and_changes_nothing() -> None:
    turns = listening()
    assert turns.handle(CallStarted(), 1.0) != []  # listening: it is listed, and greets
    assert turns.handle(CallStarted(), 1.0) == []
    assert turns.counts["unexpected CallStarted while thinking"] == 1


def test_the_end_is_said_once_and_nothing_after_it() -> None:
    turns = listening()
    assert turns.handle(EndRequested(EndReason.DRAINED), 1.0) == [EndCall(EndReason.DRAINED)]
    assert turns.handle(EndRequested(EndReason.CANCELLED), 1.0) == []
    assert turns.handle(AsrLost(), 1.0) == [] and turns.next_timeout() is None
    assert turns.reason is EndReason.DRAINED and turns.counts == {}


def test_the_greeting_may_be_protected() -> None:
    turns = TurnTaker(TurnSettings(barge_in=BargeInSettings(greeting=False)))
    turns.handle(CallStarted(), 0.0)
    turns.handle(ReplyVoiced(1), 0.1), turns.handle(PlayoutStarted(1, 0.1), 0.1)
    assert starts(turns, 0.5) == []
    assert turns.handle(DtmfReceived("4", 0.6), 0.6) == []
    assert turns.handle(PlayoutDrained(1, 800, 2.0), 2.0) == [CloseReply(1)]
    assert turns.phase is Phase.KEYING, "keys pressed ahead are kept"


def test_a_number_of_the_longest_length_ends_itself() -> None:
    turns = listening(TurnSettings(keys=KeySettings(most=2, terminator="")))
    turns.handle(DtmfReceived("4", 1.0), 1.0)
    assert turns.handle(DtmfReceived("#", 1.2), 1.2) == [StartReply(2, UserTurn(1, "", dtmf="4#"))]


def test_a_lone_terminator_is_a_key() -> None:
    turns = listening()
    assert turns.handle(DtmfReceived("#", 1.0), 1.0) == [StartReply(2, UserTurn(1, "", dtmf="#"))]


def test_a_hold_stops_the_reply_and_every_clock_but_the_longest() -> None:
    turns = listening()
    starts(turns, 1.0), ends(turns, 2.0), early(turns, "Yes.", 2.27)
    turns.handle_timeout(2.5), final(turns, "Yes.", 2.5)
    assert turns.handle(LegHeld(2.6), 2.6) == [StopReply(2)]
    assert turns.next_timeout() == SETTINGS.guards.max_duration - SETTINGS.guards.warning
    assert turns.handle(LegResumed(900.0), 900.0) != [] and turns.phase is Phase.THINKING


def test_a_due_warning_waits_until_nobody_speaks() -> None:
    turns = listening(TurnSettings(guards=GuardSettings(max_duration=10.0, warning=8.0)))
    starts(turns, 1.0)
    assert turns.handle_timeout(2.0) == [] and turns.phase is Phase.HEARING
    ends(turns, 2.5)
    assert SayPhrase in [type(action) for action in early(turns, "", 2.8)]


@pytest.mark.parametrize(
    ("settings", "change", "cure"),
    [
        (GuardSettings, {"no_input": 0.0}, "no_input"),
        (GuardSettings, {"filler_after": 9.0}, "filler"),
        (GuardSettings, {"failures": 0}, "failures"),
        (GuardSettings, {"warning": 9999.0}, "warning"),
        (BargeInSettings, {"duck_gain": 2.0}, "duck_gain"),
        (BargeInSettings, {"words": 0}, "words"),
        (BargeInSettings, {"sustained": 99.0}, "sustained"),
        (KeySettings, {"timeout": 0.0}, "timeout"),
        (KeySettings, {"terminator": "x"}, "terminator"),
        (KeySettings, {"most": 0}, "most"),
        (TurnSettings, {"reopen_gap": 9.0}, "reopen_gap"),
        (TurnSettings, {"reopen_heard": 9.0}, "reopen_heard"),
    ],
)
def test_settings_out_of_range_name_the_field(settings: type, change: dict[str, object], cure: str) -> None:
    with pytest.raises(ValueError, match=cure):
        settings(**change)
