"""Whole calls in virtual time: the caller speaks while we do."""

from __future__ import annotations

import pytest

from gateway.calls.turn_events import Phase
from gateway.calls.turn_settings import BargeIn, BargeInSettings, TurnSettings
from media.legs.base import EndReason, LegClosed
from tests.calls.place_call import place_call
from tests.fakes.agent import ScriptedAgent
from tests.fakes.caller import TICK

SENTENCES = (
    "There once was a miller who had three sons.",
    "He left his mill to the first, and his donkey to the second.",
    "The youngest got nothing but the cat.",
)
STORY = " ".join(SENTENCES)
ASK = (0.5, 1.5, "Tell me a story.")
WORDS = TurnSettings(barge_in=BargeInSettings(policy=BargeIn.WORDS))
OFF = TurnSettings(barge_in=BargeInSettings(policy=BargeIn.OFF))


def storyteller() -> ScriptedAgent:
    return ScriptedAgent(says=lambda turn: STORY if turn.number == 1 else "Very well.")


def test_the_reply_stops_with_the_frame_that_holds_the_voice() -> None:
    call = place_call([ASK, (3.0, 3.8, "Please stop.")], agent=storyteller(), until=8.0)
    assert call.audible[0][1] == pytest.approx(3.0 + TICK, abs=TICK)
    (barge_in,) = call.watcher.barge_ins
    assert 0 <= barge_in.stop <= TICK + 1e-6
    assert call.phases.count(Phase.HEARING) == 2


def test_the_agent_is_told_what_was_heard_cut_at_the_word() -> None:
    call = place_call([ASK, (3.0, 3.8, "Please stop.")], agent=storyteller(), until=8.0)
    spoken = call.audible[0][1] - call.audible[0][0]
    words = int(spoken / 0.1 + 1e-6)
    assert call.agent.told[1] == (1, " ".join(STORY.split()[:words]), False)
    assert call.turns[1] == ("Please stop.", "Very well.")
    assert call.record.turns[0].interrupted and not call.record.turns[1].interrupted


def test_no_stale_sample_sounds_after_the_cut() -> None:
    call = place_call([ASK, (3.0, 3.8, "Please stop.")], agent=storyteller(), until=8.0)
    replies = [reply for _, reply, _ in call.caller.playout.heard]
    assert replies == sorted(replies)
    assert not any(3.04 < at < 4.0 for at, _, _ in call.caller.playout.heard)


def test_a_cough_in_the_gate_only_ducks() -> None:
    call = place_call([ASK], coughs=[(3.0, 3.06)], agent=storyteller(), until=8.0)
    gains = [gain for _, gain in call.caller.playout.gains]
    assert gains[:2] == [0.25, 1.0]
    assert call.turns == [("Tell me a story.", STORY)]
    assert Phase.SPEAKING in call.phases and call.counts == {}


@pytest.mark.parametrize("noise", ["", "Mm-hm.", "Okay", "Yeah."])
def test_after_a_false_barge_in_the_reply_goes_on_from_the_sentence_that_was_cut(noise: str) -> None:
    call = place_call([ASK, (3.0, 3.3, noise)], agent=storyteller(), until=12.0)
    assert call.turns == [("Tell me a story.", STORY)]
    one, two, three = SENTENCES
    assert call.watcher.said == [one, two, three, two, three]
    assert call.counts["resumed"] == 1
    assert [told for told in call.agent.told if told[0] == 1] == [(1, STORY, True)]
    assert len(call.agent.asked) == 1


def test_an_answer_to_our_question_is_no_backchannel() -> None:
    agent = ScriptedAgent(
        says=lambda turn: "Do you want it? Please say so now." if turn.number == 1 else "Very well."
    )
    question_ends = place_call([ASK], agent=agent, until=4.0).audible[0][0] + 0.4
    again = ScriptedAgent(says=agent.says)
    call = place_call([ASK, (question_ends + 0.02, question_ends + 0.4, "Yeah.")], agent=again, until=8.0)
    assert call.turns[-1] == ("Yeah.", "Very well.")


def test_backchannels_may_be_turned_into_turns() -> None:
    settings = TurnSettings(barge_in=BargeInSettings(resume=False))
    call = place_call([ASK, (3.0, 3.3, "Yeah.")], agent=storyteller(), turns=settings, until=8.0)
    assert call.turns[-1] == ("Yeah.", "Very well.")


def test_under_the_policy_words_voice_only_ducks_until_there_are_words() -> None:
    call = place_call([ASK, (3.0, 3.4, "Stop it.")], agent=storyteller(), turns=WORDS, until=8.0)
    assert Phase.CONTESTED in call.phases
    assert 3.4 < call.audible[0][1] < 3.8
    assert call.turns[1] == ("Stop it.", "Very well.")
    assert (call.caller.playout.gains[0][1], call.caller.playout.gains[-1][1]) == (0.25, 1.0)


@pytest.mark.parametrize("noise", ["", "Mm-hm."])
def test_under_the_policy_words_noise_never_stops_the_reply(noise: str) -> None:
    call = place_call([ASK, (3.0, 3.4, noise)], agent=storyteller(), turns=WORDS, until=8.0)
    assert len(call.audible) == 1 and call.turns == [("Tell me a story.", STORY)]
    assert [gain for _, gain in call.caller.playout.gains][:2] == [0.25, 1.0]


def test_under_the_policy_words_sustained_voice_stops_the_reply() -> None:
    call = place_call([ASK, (3.0, 6.0, "Blah blah.")], agent=storyteller(), turns=WORDS, until=9.0)
    assert call.audible[0][1] == pytest.approx(3.0 + WORDS.barge_in.sustained, abs=0.06)


def test_a_reply_that_may_not_be_interrupted_is_heard_to_its_end() -> None:
    call = place_call([ASK, (3.0, 3.8, "Please stop.")], agent=storyteller(), turns=OFF, until=8.0)
    assert call.turns == [("Tell me a story.", STORY)]
    assert call.caller.playout.gains == [] or all(gain == 1.0 for _, gain in call.caller.playout.gains)


def test_a_caller_who_speaks_over_the_end_of_such_a_reply_is_heard() -> None:
    agent = storyteller()
    end = place_call([ASK], agent=agent, until=9.0).audible[0][1]
    call = place_call([ASK, (end - 0.5, end + 1.0, "And then?")], agent=storyteller(), turns=OFF, until=12.0)
    assert call.record.turns[-1].number == 2


def test_hanging_up_in_mid_reply_leaves_nothing_behind() -> None:
    does = [(3.0, LegClosed(EndReason.CALLER_HUNG_UP, 3.0))]
    call = place_call([ASK], agent=storyteller(), does=does)
    assert call.tasks_left == [] and call.agent.open == 0 and call.agent.closed
    assert call.record.end_reason is EndReason.CALLER_HUNG_UP
    assert call.record.turns[-1].interrupted and call.agent.told[-1][2] is False


def test_a_second_barge_in_into_a_resumed_reply_is_a_barge_in() -> None:
    call = place_call([ASK, (3.0, 3.3, ""), (5.0, 5.6, "Please stop.")], agent=storyteller(), until=9.0)
    assert call.turns[-1] == ("Please stop.", "Very well.")
    heard = call.turns[0][1]
    assert STORY.startswith(heard) and len(heard) < len(STORY)
