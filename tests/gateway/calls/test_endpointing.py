from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.calls.endpointing import Endpointer, EndpointSettings, Verdict, judge

SETTINGS = EndpointSettings()


@pytest.mark.parametrize(
    "text",
    [
        "I want a table.", "What time is it?", "No!", "Yes.", "Press 4.", "It is in 2024.", "Twenty two.",
        "Take the red one.", "One.", "Come again?", "My name is Ann.", "I said no.",
    ],
)  # fmt: skip
def test_finished(text: str) -> None:
    assert judge(text) is Verdict.DONE


@pytest.mark.parametrize(
    "text",
    [
        "I want to", "I want a", "I want the.", "My number is", "Well,", "Let me", "Um", "So, uh",
        "It's for my.", "I'd like a table for", "Tuesday or", "Yes, and", "five five five", "555 12",
        "555-12", "It is 4 4",
        "you know", "Monday -", "wait...", "Call me at 030 12", "my birthday is the", "Well, then, I",
    ],
)  # fmt: skip
def test_unfinished(text: str) -> None:
    assert judge(text) is Verdict.UNFINISHED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "!",
        "I want a table",
        "To the default level,",
        "Hello.",
        "I am.",
        "I want this.",
        "Goodbye.",
        "555-123-4567",
        "030 1234 5678",
    ],
)
def test_undecided(text: str) -> None:
    assert judge(text) is Verdict.UNDECIDED


@given(st.text(max_size=60))
def test_any_text_has_a_verdict_and_a_bounded_delay(text: str) -> None:
    delay = Endpointer(SETTINGS).delay(text)
    assert SETTINGS.done <= delay <= SETTINGS.unfinished


def test_the_delay_goes_by_the_words() -> None:
    endpointer = Endpointer(SETTINGS)
    assert endpointer.delay("I want a table.") == SETTINGS.done
    assert endpointer.delay(None) == endpointer.delay("I want a table") == SETTINGS.undecided
    assert endpointer.delay("I want a") == SETTINGS.unfinished


def test_fixed_means_fixed() -> None:
    endpointer = Endpointer(EndpointSettings(mode="fixed", undecided=0.7))
    endpointer.paused(1.0)
    assert {endpointer.delay(text) for text in (None, "I want a", "I want a table.")} == {0.7}


def test_a_pause_is_learned_and_forgotten() -> None:
    endpointer = Endpointer(SETTINGS)
    endpointer.paused(0.5)
    assert endpointer.delay("Yes.") == pytest.approx(0.5 * SETTINGS.margin)
    endpointer.turn_ended()
    assert endpointer.delay("Yes.") == pytest.approx(0.5 * SETTINGS.margin), "this turn had the pause"
    for _ in range(10):
        endpointer.turn_ended()
    assert endpointer.delay("Yes.") == SETTINGS.done


@given(st.lists(st.floats(-1, 30)))
def test_patience_has_its_bounds(pauses: list[float]) -> None:
    endpointer = Endpointer(SETTINGS)
    for pause in pauses:
        endpointer.paused(pause)
    assert SETTINGS.done <= endpointer.delay("Yes.") <= SETTINGS.undecided
    assert SETTINGS.undecided <= endpointer.delay(None) <= SETTINGS.unfinished


@pytest.mark.parametrize(
    ("change", "cure"),
    [
        ({"mode": "clever"}, "fixed or adaptive"),
        ({"done": 0.9}, "grow"),
        ({"unfinished": 9.0}, "grow"),
        ({"margin": 0.5}, "margin"),
        ({"forgetting": 2.0}, "forgetting"),
        ({"suspicion": 1.0}, "suspicion"),
    ],
)
def test_settings_out_of_range_say_what_to_do(change: dict[str, object], cure: str) -> None:
    with pytest.raises(ValueError, match=cure):
        EndpointSettings(**change)  # type: ignore[arg-type]
