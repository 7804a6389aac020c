"""The session's settings under an app's wishes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest

from gateway.agents.base import Interruptible
from gateway.agents.conversation_relay.settings import RelaySettings
from gateway.agents.conversation_relay.tuning import tuned
from gateway.calls.endpointing import Endpointer
from gateway.calls.settings import SessionSettings
from gateway.calls.turn_settings import BargeIn, GuardSettings, TurnSettings

SESSION = SessionSettings(hot_words=("Offhook",), language="en-GB", voice="anna")


def asked(**fields: Any) -> SessionSettings:
    return tuned(SESSION, RelaySettings(**fields))


def test_without_wishes_only_what_the_protocol_needs_changes() -> None:
    turns = asked().turns
    assert (turns.speculate, turns.keys.as_turns) == (False, False)
    assert replace(asked(), turns=SESSION.turns) == SESSION
    assert turns.endpointing == SESSION.turns.endpointing


@pytest.mark.parametrize(
    ("sensitivity", "policy", "words"),
    [("high", BargeIn.VOICE, 1), ("medium", BargeIn.WORDS, 1), ("low", BargeIn.WORDS, 2)],
)
def test_sensitivity(sensitivity: Literal["low", "medium", "high"], policy: BargeIn, words: int) -> None:
    barge_in = asked(interrupt_sensitivity=sensitivity).turns.barge_in
    assert (barge_in.policy, barge_in.words) == (policy, words)


def test_backchannels_count_unless_they_are_to_be_ignored() -> None:
    assert asked().turns.barge_in.backchannels == ()
    kept = asked(ignore_backchannel=True).turns.barge_in.backchannels
    assert kept == SESSION.turns.barge_in.backchannels


@pytest.mark.parametrize("timeout", [600, 900, 5000])
def test_a_speech_timeout_is_waited_whatever_the_words(timeout: int) -> None:
    endpointer = Endpointer(asked(speech_timeout_ms=timeout).turns.endpointing)
    assert {endpointer.delay(text) for text in (None, "I want to", "Yes.")} == {timeout / 1000}


def test_languages_voices_and_words() -> None:
    session = asked(language="de-DE", voice="emil", hints=("Müller",))
    assert (session.language, session.voice, session.hot_words) == ("de-DE", "emil", ("Offhook", "Müller"))


@pytest.mark.parametrize(
    ("report", "overhears"), [("none", False), ("dtmf", False), ("speech", True), ("any", True)]
)
def test_speech_under_a_talk_is_listened_to_when_it_is_reported(report: str, overhears: bool) -> None:
    assert asked(report_input=Interruptible(report)).turns.barge_in.overhear is overhears


def test_silence_is_the_apps_affair_unless_it_is_given_to_the_node() -> None:
    assert asked().turns.guards.no_input > asked().turns.guards.max_duration
    assert asked(no_input_seconds=5.0).turns.guards.no_input == 5.0
    hasty = replace(SESSION, turns=TurnSettings(guards=GuardSettings(failures=1)))
    assert tuned(hasty, RelaySettings()).turns.guards.failures == 3
