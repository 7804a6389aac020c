"""Every field of a transcription: honoured, reported or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.traits import AsrTraits
from gateway.api.openai.transcription_request import TranscriptionAsk, abilities, read_ask
from gateway.errors import AbilityMissing, ModelUnknown, RequestUnfit
from tests.fakes.asr import ScriptedAsr

ASR = ScriptedAsr([])


def ask(*fields: tuple[str, str], traits: AsrTraits | None = None) -> TranscriptionAsk:
    return read_ask([("model", "whisper-1"), *fields], ASR, traits or AsrTraits(), language="en-US")


def test_what_nobody_asks_for() -> None:
    assert ask() == TranscriptionAsk(language="en-US")


def test_formats_and_granularities() -> None:
    assert ask(("response_format", "srt")).response_format == "srt"
    verbose = ("response_format", "verbose_json")
    assert (ask(verbose).words, ask(verbose).segments) == (False, True)
    only = ask(verbose, ("timestamp_granularities[]", "word"))
    assert (only.words, only.segments) == (True, False)
    both = ask(verbose, *[("timestamp_granularities[]", one) for one in ("word", "segment")])
    assert (both.words, both.segments) == (True, True)


def test_estimated_word_times_are_told() -> None:
    wanted = (("response_format", "verbose_json"), ("timestamp_granularities[]", "word"))
    assert "estimated" in ask(*wanted).not_honoured[0]
    assert ask(*wanted, traits=AsrTraits(word_times=True)).not_honoured == ()


@pytest.mark.parametrize(
    ("given_", "tag"),
    [
        ("en", "en-US"),
        ("en-GB", "en-GB"),
        ("english", "en-US"),
        ("de", "de"),
        ("German", "de"),
        ("", "en-US"),
    ],
)
def test_languages(given_: str, tag: str) -> None:
    assert ask(("language", given_)).language == tag
    assert ask(("languages[]", given_)).language == tag


def test_reported_because_they_make_no_difference() -> None:
    told = ask(("prompt", "Names: Ana"), ("temperature", "0.4")).not_honoured
    assert [line.partition(":")[0] for line in told] == ["prompt", "temperature"]
    assert ask(("prompt", ""), ("temperature", "0")).not_honoured == ()


def test_a_server_vad_is_honoured() -> None:
    strategy = (
        '{"type": "server_vad", "silence_duration_ms": 700, "prefix_padding_ms": 100, "threshold": 0.8}'
    )
    found = ask(("chunking_strategy", strategy))
    assert found.endpoint_ms == 700
    assert (found.segmenter.preroll_ms, found.segmenter.threshold) == (100, 0.8)
    assert ask(("chunking_strategy", "auto")).endpoint_ms is None
    spread = ask(("chunking_strategy[type]", "server_vad"), ("chunking_strategy[silence_duration_ms]", "300"))
    assert spread.endpoint_ms == 300


def test_keywords_need_an_engine_that_takes_them() -> None:
    assert ask(("keywords[]", "Offhook"), traits=AsrTraits(hot_words=True)).hot_words == ("Offhook",)
    with pytest.raises(AbilityMissing, match="keywords"):
        ask(("keywords[]", "Offhook"))


@pytest.mark.parametrize(
    ("field", "value", "refusal"),
    [
        ("response_format", "diarized_json", AbilityMissing),
        ("response_format", "yaml", RequestUnfit),
        ("include[]", "logprobs", AbilityMissing),
        ("include[]", "everything", RequestUnfit),
        ("known_speaker_names[]", "Ana", AbilityMissing),
        ("known_speaker_references[]", "data:", AbilityMissing),
        ("timestamp_granularities[]", "word", RequestUnfit),
        ("temperature", "warm", RequestUnfit),
        ("temperature", "2", RequestUnfit),
        ("temperature", "nan", RequestUnfit),
        ("stream", "perhaps", RequestUnfit),
        ("chunking_strategy", "{", RequestUnfit),
        ("chunking_strategy", '{"type": "server_vad", "eagerness": 1}', RequestUnfit),
        ("chunking_strategy", '{"type": "server_vad", "threshold": 7}', RequestUnfit),
        ("chunking_strategy", '{"type": "semantic_vad"}', RequestUnfit),
        ("language", "../../etc", RequestUnfit),
        ("diarize", "true", RequestUnfit),
        ("model", "whisper-1", RequestUnfit),
    ],
)
def test_refusals_name_the_field(field: str, value: str, refusal: type[RequestUnfit]) -> None:
    with pytest.raises(refusal) as caught:
        ask((field, value))
    assert caught.value.field.startswith(field.partition("[")[0])


def test_a_stream_is_json_or_text() -> None:
    assert ask(("stream", "true")).stream
    with pytest.raises(RequestUnfit, match="stream"):
        ask(("stream", "true"), ("response_format", "vtt"))


def test_two_languages_at_once() -> None:
    with pytest.raises(AbilityMissing):
        ask(("languages[]", "en"), ("languages[]", "de"))
    with pytest.raises(RequestUnfit):
        ask(("languages[]", "en"), ("language", "en"))


def test_models_by_their_names_and_ours() -> None:
    for name in ("scripted", "gpt-4o-transcribe"):
        read_ask([("model", name)], ASR, AsrTraits(), language="en-US")
    with pytest.raises(ModelUnknown, match="scripted, whisper-1"):
        read_ask([("model", "nova-3")], ASR, AsrTraits(), language="en-US")
    with pytest.raises(RequestUnfit, match="model"):
        read_ask([], ASR, AsrTraits(), language="en-US")


NAMES = (
    "stream temperature chunking_strategy chunking_strategy[type] language include[] response_format".split()
)


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.text(max_size=20))))
def test_any_values_give_a_request_or_a_clear_error(fields: list[tuple[str, str]]) -> None:
    try:
        ask(*fields)
    except RequestUnfit:
        pass


def test_what_is_refused_is_told_beforehand() -> None:
    told = abilities(AsrTraits())
    for name in told["refused"]:
        field, _, value = name.partition("=")
        with pytest.raises(AbilityMissing):
            ask((field, value or {"include[]": "logprobs"}.get(field, "x")))
    for name in told["served_without"]:
        assert ask((name, "0.5")).not_honoured
    assert "keywords[]" in abilities(AsrTraits(hot_words=True))["honoured"]
