"""Whole calls in virtual time: agents, voices and recognisers that are slow, break or vanish."""

from __future__ import annotations

import pytest

from gateway.agents.base import UserTurn
from gateway.calls.settings import PhraseSettings
from gateway.calls.turn_settings import TurnSettings
from media.legs.base import EndReason
from tests.calls.place_call import place_call
from tests.fakes.agent import ScriptedAgent
from tests.fakes.asr import ScriptedAsr
from tests.fakes.tts import ToneTts

PHRASES = PhraseSettings()
ASK = (0.5, 1.5, "I want a table.")
AGAIN = (14.0, 15.0, "I want a table, please.")
ONCE_MORE = (28.0, 29.0, "A table I want.")


def test_a_slow_agent_gets_a_filler_and_is_heard_after_it() -> None:
    call = place_call([ASK], agent=ScriptedAgent(takes=3.0), until=12.0)
    assert call.watcher.said == [PHRASES.filler, "You said I want a table."]
    assert call.turns == [("I want a table.", "You said I want a table.")], "the agent did not say the filler"
    (timings,) = call.watcher.timings
    assert timings.filled and timings.total == pytest.approx(call.audible[0][0] - 1.5)
    assert sum(timings.shares().values()) == pytest.approx(timings.total)


def test_an_agent_that_is_too_slow_gets_an_apology_and_the_caller_the_floor() -> None:
    call = place_call([ASK], agent=ScriptedAgent(takes=30.0), until=12.5)
    assert call.watcher.said == [PHRASES.filler, PHRASES.apology]
    assert call.agent.open == 0 and call.counts["dead_air"] == 1
    assert call.record.end_reason is EndReason.CALLER_HUNG_UP


def test_an_agent_that_is_always_too_slow_ends_the_call() -> None:
    agent = ScriptedAgent(takes=30.0)
    call = place_call([ASK, AGAIN, ONCE_MORE], agent=agent)
    assert call.record.end_reason is EndReason.DEAD_AIR
    assert call.watcher.said[-1] == PHRASES.failure_goodbye and call.tasks_left == []


def test_an_agent_that_fails_is_apologised_for() -> None:
    agent = ScriptedAgent(says=lambda turn: "!" if turn.number == 1 else "Very well.")
    call = place_call([ASK, (6.0, 7.0, "I want a table.")], agent=agent, until=10.0)
    assert call.watcher.said == [PHRASES.apology, "Very well."]
    assert call.counts["failed_agent"] >= 1


def test_a_failure_ahead_of_time_costs_nothing_when_the_second_try_works() -> None:
    failures = iter(["!", "Very well."])
    call = place_call([ASK], agent=ScriptedAgent(says=lambda turn: next(failures), takes=0.01), until=6.0)
    assert call.watcher.said == ["Very well."]


def test_what_an_agent_said_before_it_failed_is_heard_before_the_apology() -> None:
    agent = ScriptedAgent(says=lambda turn: "I have found a table. Now I will ! book it.")
    call = place_call([ASK], agent=agent, until=8.0)
    assert call.watcher.said == ["I have found a table.", PHRASES.apology]
    assert call.turns == [("I want a table.", "I have found a table.")]
    assert (1, "I have found a table.", False) in call.agent.told


def test_a_voice_that_fails_once_is_apologised_for() -> None:
    """Its first failure was of a reply made ahead of time, so it fails twice before anybody hears of it."""
    call = place_call([ASK, (6.0, 7.0, "I want a table.")], tts=ToneTts(fails=2), until=10.0)
    assert call.watcher.said == [PHRASES.apology, "You said I want a table."]


def test_a_voice_that_fails_in_mid_sentence_plays_what_it_has() -> None:
    call = place_call([ASK], tts=ToneTts(fails=1, half=True), until=8.0)
    assert call.watcher.said == ["You said I want a table.", PHRASES.apology]
    assert call.agent.told[-1][1] == "You said I"


def test_a_dead_voice_ends_the_call() -> None:
    spans = [(0.5 + n * 5, 1.5 + n * 5, "I want a table.") for n in range(6)]
    call = place_call(spans, tts=ToneTts(fails=99))
    assert call.record.end_reason is EndReason.ENGINE_FAILED
    assert call.audible == [] and call.tasks_left == []


@pytest.mark.parametrize("at", [1.0, 1.4, 1.72])
def test_a_recogniser_that_breaks_hears_the_whole_segment_again(at: float) -> None:
    call = place_call([ASK], asr=ScriptedAsr([ASK], dies_at=[at]), until=6.0)
    assert call.turns == [("I want a table.", "You said I want a table.")]
    assert call.watcher.said == ["You said I want a table."]


def test_a_dead_recogniser_ends_the_call_with_a_goodbye() -> None:
    asr = ScriptedAsr([ASK], dies_at=[0.6, 0.7, 1.1, 1.2, 1.3])
    call = place_call([(0.5, 9.0, "I want a table.")], asr=asr)
    assert call.record.end_reason is EndReason.ENGINE_FAILED
    assert call.watcher.said == [PHRASES.failure_goodbye]


def test_a_final_that_does_not_come_is_replaced_by_the_words_so_far() -> None:
    call = place_call([ASK], asr=ScriptedAsr([ASK], takes=9.0), until=30.0, turns=TurnSettings())
    assert call.counts["final_overdue"] >= 1
    assert call.watcher.said[0] == PHRASES.apology, "there were no words so far"


def test_a_bug_in_an_agent_is_a_failed_reply_and_no_more() -> None:
    def explode(turn: UserTurn) -> str:
        raise RuntimeError("a bug in an agent")

    call = place_call([ASK], agent=ScriptedAgent(says=explode), until=6.0)
    assert call.watcher.said == [PHRASES.apology]
    assert call.record.end_reason is EndReason.CALLER_HUNG_UP
