"""Whole calls in virtual time: silence, duration, lost media, keys, hold, and who ends the call."""

from __future__ import annotations

from typing import TypeAlias

import pytest

from gateway.calls.settings import PhraseSettings
from gateway.calls.turn_events import Phase
from gateway.calls.turn_settings import GuardSettings, TurnSettings
from media.legs.base import DtmfReceived, EndReason, LegClosed, LegEvent, LegHeld, LegResumed
from tests.calls.place_call import place_call
from tests.fakes.agent import ScriptedAgent

PHRASES = PhraseSettings()
ASK = (0.5, 1.5, "I want a table.")

Does: TypeAlias = list[tuple[float, LegEvent]]


def keys(digits: str, at: float, gap: float = 0.3) -> Does:
    return [(at + n * gap, DtmfReceived(digit, at + n * gap)) for n, digit in enumerate(digits)]


def test_a_silent_caller_is_asked_again_and_then_let_go() -> None:
    call = place_call([])
    assert call.watcher.said == [PHRASES.reprompt, PHRASES.reprompt, PHRASES.no_input_goodbye]
    assert call.record.end_reason is EndReason.NO_INPUT
    assert 24 < call.record.duration < 28
    assert call.caller.hung_up == [EndReason.NO_INPUT] and call.tasks_left == []


def test_a_caller_who_answers_the_reprompt_is_asked_anew_later() -> None:
    call = place_call([(9.5, 10.5, "I want a table.")])
    assert call.watcher.said.count(PHRASES.reprompt) == 3
    assert call.turns == [("I want a table.", "You said I want a table.")]


def test_the_caller_is_warned_and_the_call_ends_when_it_is_too_long() -> None:
    turns = TurnSettings(guards=GuardSettings(max_duration=20, warning=5))
    call = place_call([(2.0, 3.0, "I want a table."), (9.0, 10.0, "At noon.")], turns=turns)
    assert PHRASES.warning in call.watcher.said and call.watcher.said[-1] == PHRASES.duration_goodbye
    assert call.record.end_reason is EndReason.MAX_DURATION
    assert 20 < call.record.duration < 22


def test_lost_media_ends_the_call() -> None:
    call = place_call([ASK], silent_after=3.0, turns=TurnSettings(guards=GuardSettings(media_lost=5)))
    assert call.record.end_reason is EndReason.MEDIA_LOST
    assert call.record.duration == pytest.approx(8.0, abs=0.05)


def test_frames_that_nobody_sent_keep_no_call_alive() -> None:
    call = place_call([ASK], vanishes_at=3.0, turns=TurnSettings(guards=GuardSettings(media_lost=5)))
    assert call.record.end_reason is EndReason.MEDIA_LOST
    assert call.record.duration == pytest.approx(8.0, abs=0.05)


def test_the_clocks_run_on_when_the_media_stops() -> None:
    """The turn is committed and answered although no frame comes after the hangover."""
    call = place_call([ASK], silent_after=1.8, until=5.0)
    assert call.turns == [("I want a table.", "You said I want a table.")]


def test_the_agent_hangs_up_when_everything_it_said_was_heard() -> None:
    call = place_call([ASK], agent=ScriptedAgent(says=lambda turn: "Goodbye then. #"))
    assert call.record.end_reason is EndReason.AGENT_HUNG_UP
    assert call.agent.told[-1] == (1, "Goodbye then.", True)
    assert call.record.duration == pytest.approx(call.audible[-1][1], abs=0.03)


def test_an_agent_may_hang_up_without_a_word() -> None:
    call = place_call([ASK], agent=ScriptedAgent(says=lambda turn: "#"))
    assert call.record.end_reason is EndReason.AGENT_HUNG_UP


def test_a_caller_who_objects_to_the_goodbye_goes_on() -> None:
    goodbye = "Goodbye then, my friend, it was a joy to talk. #"
    agent = ScriptedAgent(says=lambda turn: goodbye if turn.number == 1 else "Yes?")
    call = place_call([ASK, (2.4, 3.2, "Wait a moment.")], agent=agent, until=6.0)
    assert call.turns[-1] == ("Wait a moment.", "Yes?")
    assert call.record.end_reason is EndReason.CALLER_HUNG_UP


def test_keys_are_a_turn() -> None:
    call = place_call([], does=keys("1234", at=1.0), until=8.0)
    assert [turn.dtmf for turn in call.agent.asked] == ["1234"]
    assert call.turns == [("1234", "You said 1234")]


def test_the_terminator_ends_the_number_at_once() -> None:
    slow = place_call([], does=keys("42", at=1.0), until=8.0).audible[0][0]
    quick = place_call([], does=keys("42#", at=1.0), until=8.0)
    assert quick.agent.asked[0].dtmf == "42"
    assert slow - quick.audible[0][0] == pytest.approx(2.5 - 0.3, abs=0.05)


def test_a_key_silences_the_reply_and_the_voice() -> None:
    agent = ScriptedAgent(greeting="Please enter your number followed by the pound key, and take your time.")
    call = place_call([(0.9, 1.2, "Uh.")], agent=agent, does=keys("7#", at=1.0), until=4.0)
    assert call.audible[0][1] == pytest.approx(0.92, abs=0.04)
    assert [(turn.dtmf, turn.text) for turn in agent.asked] == [("7", "")]


def test_while_the_caller_holds_we_are_silent_and_nothing_runs_out() -> None:
    does: Does = [(3.0, LegHeld(3.0)), (40.0, LegResumed(40.0))]
    story = "First I will tell you this. And then that. " * 2 + "And now you know all of it."
    agent = ScriptedAgent(says=lambda turn: story)
    call = place_call([ASK], agent=agent, does=does, until=46.0)
    assert not any(3.02 < at < 40.0 for at, _, _ in call.caller.playout.heard)
    assert call.agent.told[-1] == (1, story, True), "the reply goes on after the hold"
    assert call.record.end_reason is EndReason.CALLER_HUNG_UP


def test_what_was_asked_before_a_hold_is_answered_after_it() -> None:
    does: Does = [(1.6, LegHeld(1.6)), (10.0, LegResumed(10.0))]
    call = place_call([ASK], does=does, until=14.0)
    assert call.turns == [("I want a table.", "You said I want a table.")]
    assert call.audible[0][0] > 10.0


def test_a_hold_does_not_outlive_the_longest_call() -> None:
    guards = GuardSettings(max_duration=20, warning=0)
    call = place_call([], does=[(1.0, LegHeld(1.0))], turns=TurnSettings(guards=guards))
    assert call.record.end_reason is EndReason.MAX_DURATION
    assert call.record.duration == pytest.approx(20.0, abs=0.05)


def test_a_caller_who_hangs_up_during_our_goodbye_does_not_change_the_reason() -> None:
    end = place_call([]).record.duration
    does = [(end - 0.5, LegClosed(EndReason.CALLER_HUNG_UP, end - 0.5))]
    assert place_call([], does=does).record.end_reason is EndReason.NO_INPUT


def test_phases_are_told_in_order() -> None:
    call = place_call([ASK], until=5.0)
    times = [at for at, _ in call.watcher.phases]
    assert times == sorted(times) and call.phases[-1] is Phase.ENDED
    assert call.watcher.records == [call.record]
