"""What Deepgram's clients ask for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from engines.traits import AsrTraits
from gateway.api.deepgram.query import HONOURED, REFUSED, REPORTED, ListenQuery, abilities, read
from gateway.errors import AbilityMissing, RequestUnfit

PLAIN = AsrTraits()
# What livekit-plugins-deepgram 1.8.9 sends when nothing is set.
LIVEKIT = (
    "model=nova-3&punctuate=true&smart_format=false&no_delay=true&interim_results=true&encoding=linear16"
    "&vad_events=true&sample_rate=16000&channels=1&endpointing=25&filler_words=true&profanity_filter=false"
    "&numerals=false&mip_opt_out=false&language=en-US"
)


def asked(text: str, traits: AsrTraits = PLAIN) -> ListenQuery:
    return read(QueryParams(text), traits, "en-US", 200)


def test_nothing_said_is_deepgrams_defaults() -> None:
    found = asked("")
    assert (found.interim, found.punctuate, found.vad_events, found.utterance_end_ms) == (False,) * 3 + (
        None,
    )
    assert found.endpoint_ms == 200 and found.warnings == ()


def test_what_livekit_sends() -> None:
    found = asked(LIVEKIT)
    assert found.punctuate and found.interim and found.vad_events and found.language == "en-US"
    assert [warning.parameter for warning in found.warnings] == ["filler_words", "endpointing"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_is_refused_by_name(name: str) -> None:
    with pytest.raises(AbilityMissing, match=f"^{name}: "):
        asked(f"{name}=true")
    assert asked(f"{name}=false").warnings == ()


@pytest.mark.parametrize("name", REPORTED)
def test_what_is_served_without_is_told(name: str) -> None:
    assert [warning.parameter for warning in asked(f"{name}=true").warnings] == [name]


def test_hot_words_are_honoured_where_the_engine_takes_them() -> None:
    found = asked("keyterm=Offhook&keyterm=PBX&keywords=trunk:2", AsrTraits(hot_words=True))
    assert found.hot_words == ("Offhook", "PBX", "trunk") and found.warnings == ()
    assert "keyterm" in abilities(AsrTraits(hot_words=True))["honoured"]
    assert "keyterm" in abilities(PLAIN)["served_without"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("diarise=true", 'diarise: is not known; did you mean "diarize"'),
        ("sample_rate=fast", "sample_rate: must be a whole number"),
        ("interim_results=perhaps", "interim_results: must be true or false"),
        ("utterance_end_ms=1000", "utterance_end_ms: needs interim_results=true"),
        ("utterance_end_ms=10&interim_results=true", "utterance_end_ms: must be a whole number from 1000"),
        ("utt_split=never", "utt_split: must be a number"),
        ("endpointing=-5", "endpointing: must be"),
    ],
)
def test_mistakes_are_named(text: str, told: str) -> None:
    with pytest.raises(RequestUnfit) as refused:
        asked(text)
    assert str(refused.value).startswith(told)


def test_a_language_that_is_not_served_is_refused() -> None:
    with pytest.raises(AbilityMissing, match="language: 'de' is not served here; served: en-US"):
        asked("language=de")
    assert asked("language=en").language == "en-US"
    assert asked("detect_language=true").language == "en-US"
    with pytest.raises(AbilityMissing):
        asked("language=multi", AsrTraits(languages=("en-US", "de-DE")))


def test_endpointing() -> None:
    assert asked("endpointing=false").endpoint_ms is None
    assert asked("endpointing=500").endpoint_ms == 500
    assert [warning.parameter for warning in asked("endpointing=10").warnings] == ["endpointing"]


@given(st.dictionaries(st.sampled_from([*HONOURED, *REFUSED, *REPORTED]), st.text(max_size=20), max_size=6))
def test_any_query_is_read_or_refused_by_a_name(pairs: dict[str, str]) -> None:
    try:
        found = read(QueryParams(pairs), PLAIN, "en-US", 200)
    except RequestUnfit as refused:
        assert refused.field
    else:
        assert found.endpoint_ms is None or found.endpoint_ms >= 200
