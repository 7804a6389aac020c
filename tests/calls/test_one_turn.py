"""Whole calls in virtual time: turns that go well, and where the caller pauses."""

from __future__ import annotations

import pytest

from gateway.calls.endpointing import EndpointSettings
from gateway.calls.settings import PhraseSettings
from gateway.calls.timings import Hop
from gateway.calls.turn_events import Phase
from gateway.calls.turn_settings import TurnSettings
from media.legs.base import EndReason
from tests.calls.place_call import place_call
from tests.fakes.agent import ScriptedAgent
from tests.fakes.asr import ScriptedAsr
from tests.fakes.caller import TICK
from tests.fakes.tts import ToneTts

HELLO = (0.5, 1.5, "I want a table.")
DONE = EndpointSettings().done


def test_one_turn_is_answered_and_heard_to_its_end() -> None:
    call = place_call([HELLO], until=5.0)
    assert call.turns == [("I want a table.", "You said I want a table.")]
    assert call.agent.told[-1] == (1, "You said I want a table.", True)
    assert call.phases == [
        Phase.LISTENING, Phase.THINKING, Phase.LISTENING,  # an agent that does not greet
        Phase.HEARING, Phase.ENDPOINTING, Phase.THINKING, Phase.SPEAKING, Phase.LISTENING, Phase.ENDED,
    ]  # fmt: skip
    assert call.record.end_reason is EndReason.CALLER_HUNG_UP
    assert call.tasks_left == [] and call.agent.closed and call.counts == {}


def test_a_reply_that_is_ready_in_time_sounds_with_the_packet_after_the_endpoint() -> None:
    call = place_call([HELLO], agent=ScriptedAgent(takes=0.02), tts=ToneTts(takes=0.01), until=5.0)
    ((start, end),) = call.audible
    assert start == pytest.approx(1.5 + DONE + TICK, abs=TICK / 2)
    assert end - start == pytest.approx(0.6)


def test_a_sentence_is_spoken_though_the_agent_stops_to_think_after_it() -> None:
    call = place_call([HELLO], agent=ScriptedAgent(lambda turn: "Let me check. ~ It is free."), until=9.0)
    (first, filler, second) = call.audible
    assert first[0] < 1.5 + DONE + 0.6 and second[0] > filler[1] > first[1] + 1.0
    assert call.watcher.said == ["Let me check.", PhraseSettings().filler, "It is free."]
    assert call.turns == [("I want a table.", "Let me check. It is free.")] and call.counts == {}


def test_without_speculation_agent_and_voice_add_up() -> None:
    call = place_call([HELLO], turns=TurnSettings(speculate=False), until=5.0)
    assert call.audible[0][0] == pytest.approx(1.5 + DONE + 0.10 + 0.04, abs=TICK + 1e-6)


@pytest.mark.parametrize("speculate", [True, False])
@pytest.mark.parametrize("slow", [0.0, 0.3, 1.2])
def test_the_hops_add_up_to_the_turn(speculate: bool, slow: float) -> None:
    call = place_call(
        [HELLO],
        agent=ScriptedAgent(takes=0.05 + slow),
        asr=ScriptedAsr([HELLO], takes=0.06 + slow),
        turns=TurnSettings(speculate=speculate),
        until=9.0,
    )
    (timings,) = call.watcher.timings
    assert timings.total == pytest.approx(call.audible[0][0] - 1.5, abs=1e-6)
    assert sum(timings.shares().values()) == pytest.approx(timings.total, abs=1e-9)
    assert timings.own()[Hop.AGENT] == pytest.approx(0.05 + slow)
    assert timings.own()[Hop.ASR_FINAL] == pytest.approx(0.06 + slow, abs=TICK + 1e-6)
    assert call.record.ledger()["turn"].p50 == pytest.approx(timings.total)


def test_two_turns() -> None:
    call = place_call([HELLO, (4.0, 4.8, "At noon.")], until=8.0)
    assert call.turns == [
        ("I want a table.", "You said I want a table."),
        ("At noon.", "You said At noon."),
    ]
    assert [turn.number for turn in call.agent.asked] == [1, 2]
    assert len(call.watcher.timings) == 2


def test_the_same_call_is_the_same_call() -> None:
    calls = [place_call([HELLO, (2.6, 3.0, "No, stop.")], until=8.0) for _ in range(3)]
    assert calls[0].audible == calls[1].audible == calls[2].audible
    assert calls[0].record.as_json() == calls[1].record.as_json() == calls[2].record.as_json()


def test_a_pause_before_the_endpoint_leaves_one_turn_and_one_segment() -> None:
    call = place_call([(0.5, 1.5, "I want"), (1.8, 2.5, "a table.")], until=6.0)
    assert call.turns == [("I want a table.", "You said I want a table.")]
    assert call.counts.get("reopened", 0) == 0


def test_a_reply_prepared_for_half_a_turn_is_thrown_away_unheard() -> None:
    call = place_call([(0.5, 1.5, "I want a table."), (1.84, 2.5, "At noon.")], until=6.0)
    assert [turn.text for turn in call.agent.asked] == ["I want a table.", "I want a table. At noon."]
    assert call.turns == [("I want a table. At noon.", "You said I want a table. At noon.")]
    assert len(call.audible) == 1


def test_a_caller_who_goes_on_after_the_commit_had_not_finished() -> None:
    words = [(0.5, 1.5, "I want a table."), (1.95, 2.6, "At noon.")]
    call = place_call(words, agent=ScriptedAgent(takes=0.4), until=6.0)
    assert call.turns == [("I want a table. At noon.", "You said I want a table. At noon.")]
    assert call.counts["reopened"] == 1
    assert [told for told in call.agent.told if told[0] == 1] == [
        (1, "You said I want a table. At noon.", True)
    ]


def test_the_first_syllable_of_a_reply_does_not_part_a_turn() -> None:
    words = [(0.5, 1.5, "I want a table."), (2.1, 2.8, "At noon.")]
    call = place_call(words, until=6.0)
    assert call.audible[0][0] < 2.1 < call.audible[0][1] < 2.3
    assert call.turns == [("I want a table. At noon.", "You said I want a table. At noon.")]


def test_a_noise_after_the_commit_gives_the_reply_back() -> None:
    words = [HELLO, (2.0, 2.2, "")]
    call = place_call(words, agent=ScriptedAgent(takes=0.3), until=6.0)
    assert call.turns == [("I want a table.", "You said I want a table.")]
    assert call.counts["resumed"] == 1
    assert len(call.agent.asked) == 1, "the agent is not asked twice"


def test_a_caller_who_pauses_in_mid_turn_is_waited_for_longer() -> None:
    spans = [(0.5, 1.5, "I want a table."), (1.92, 2.4, "At noon."), (5.0, 6.0, "For two.")]
    patient = place_call(spans, until=9.0).watcher.timings[-1].listened
    hasty = place_call(spans[2:], until=9.0).watcher.timings[-1].listened
    assert patient.speech_end == hasty.speech_end and patient.committed > hasty.committed


def test_words_that_call_for_more_are_waited_for() -> None:
    call = place_call([(0.5, 1.5, "I want to"), (2.5, 3.2, "book a table.")], until=7.0)
    assert call.turns == [("I want to book a table.", "You said I want to book a table.")]


def test_noise_is_no_turn() -> None:
    call = place_call([(0.5, 1.0, "")], until=4.0)
    assert call.turns == [] and call.audible == [] and call.agent.asked == []


def test_a_click_moves_nothing() -> None:
    call = place_call([], coughs=[(0.5, 0.54)], until=3.0)
    assert Phase.HEARING not in call.phases and call.audible == []


def test_the_agent_greets_first() -> None:
    call = place_call([], agent=ScriptedAgent(greeting="Hello, how can I help?"), until=3.0)
    assert call.audible[0][0] < 0.2
    assert call.agent.told == [(0, "Hello, how can I help?", True)]
    assert call.record.turns[0].heard == "Hello, how can I help?"
