"""Which event follows which, as an item is heard."""

from __future__ import annotations

from itertools import count
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.api.core.listening import Heard, ListenEvent
from gateway.api.core.utterances import Began, Stopped
from gateway.api.openai.realtime_items import Items


def items(*, by_silence: bool = True) -> Items:
    numbers = count(1)
    return Items(lambda: f"item_{next(numbers)}", by_silence=by_silence)


def heard(text: str, *, final: bool = False, endpoint: bool = False, finalize: bool = False) -> Heard:
    return Heard(1, text, (), 0.9, 1.0, 2.0, final, endpoint, finalize)


def short(events: list[dict[str, Any]]) -> list[str]:
    return [
        event["type"].removeprefix("conversation.item.").removeprefix("input_audio_buffer.")
        for event in events
    ]


def through(made: Items, *events: ListenEvent) -> list[dict[str, Any]]:
    return [out for event in events for out in made.heard(event)]


def test_a_turn_that_ends_by_silence() -> None:
    made = items()
    out = through(made, Began(1.0), heard("hello"), heard("hello there"), Stopped(2.0),
                  heard("hello there", final=True, endpoint=True))  # fmt: skip
    assert short(out) == [
        "speech_started", "input_audio_transcription.delta", "input_audio_transcription.delta",
        "speech_stopped", "committed", "added", "done", "input_audio_transcription.completed",
    ]  # fmt: skip
    assert {event.get("item_id", "item_1") for event in out} == {"item_1"}
    assert (out[0]["audio_start_ms"], out[3]["audio_end_ms"]) == (1000, 2000)
    assert [event["delta"] for event in out[1:3]] == ["hello", " there"]
    assert out[-1]["transcript"] == "hello there"
    assert out[-1]["usage"] == {"type": "duration", "seconds": 1.0}


def test_items_follow_one_another() -> None:
    made = items()
    for _ in range(2):
        out = through(made, Began(1.0), heard("x", final=True, endpoint=True))
    committed = next(event for event in out if event["type"] == "input_audio_buffer.committed")
    assert (committed["previous_item_id"], committed["item_id"]) == ("item_1", "item_2")


def test_a_pause_inside_a_turn_starts_nothing_new() -> None:
    made = items()
    assert short(through(made, Began(1.0), Stopped(1.2), Began(1.4))) == ["speech_started"]


def test_words_taken_back_are_left_to_the_end() -> None:
    out = through(
        items(), Began(1.0), heard("I can"), heard("I can't"), heard("Ice cream", final=True, endpoint=True)
    )
    assert [event["delta"] for event in out if event["type"].endswith("delta")] == ["I can", "'t"]
    assert out[-1]["transcript"] == "Ice cream"


def test_a_turn_that_the_client_commits() -> None:
    made = items(by_silence=False)
    assert short(through(made, Began(1.0), heard("one"), Stopped(2.0))) == ["input_audio_transcription.delta"]
    assert short(made.commit(3.5)) == ["committed", "added", "done"]
    out = through(made, heard("one two", final=True), heard("three", final=True, finalize=True))
    assert out[-1]["transcript"] == "one two three"
    assert out[-1]["usage"]["seconds"] == 3.5


def test_a_commit_in_which_nobody_spoke() -> None:
    made = items(by_silence=False)
    made.commit(0.5)
    assert short(made.heard(heard("", final=True, finalize=True))) == ["input_audio_transcription.completed"]


def test_what_is_cleared_never_completes() -> None:
    made = items()
    through(made, Began(1.0))
    assert short(made.clear()) == ["cleared"]
    assert through(made, Began(5.0))[0]["item_id"] == "item_2"


def test_a_recogniser_that_breaks_fails_what_waits() -> None:
    made = items(by_silence=False)
    made.commit(1.0)
    through(made, heard("x"))
    failed = made.failed({"message": "broken"})
    assert [event["item_id"] for event in failed] == ["item_1"]
    assert made.failed({}) == []


@given(
    st.lists(
        st.sampled_from(["began", "stopped", "interim", "endpoint", "cut", "commit", "finalized", "clear"])
    )
)
def test_every_item_is_committed_before_it_completes_and_completes_once(steps: list[str]) -> None:
    made = items()
    out: list[dict[str, Any]] = []
    owed = 0
    for step in steps:
        match step:
            case "began":
                out += made.heard(Began(1.0))
            case "stopped":
                out += made.heard(Stopped(1.5))
            case "interim":
                out += made.heard(heard("a b"))
            case "endpoint" if not owed:
                out += made.heard(heard("a b c", final=True, endpoint=True))
            case "cut":
                out += made.heard(heard("a b c", final=True))
            case "commit":
                owed += 1
                out += made.commit(1.0)
            case "finalized" if owed:
                owed -= 1
                out += made.heard(heard("a", final=True, finalize=True))
            case "clear":
                out += made.clear()
    committed = [event["item_id"] for event in out if event["type"] == "input_audio_buffer.committed"]
    completed = [event["item_id"] for event in out if event["type"].endswith("completed")]
    assert completed == committed[: len(completed)]
    assert len(set(completed)) == len(completed)
    assert len(committed) - len(completed) == owed
