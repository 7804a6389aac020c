"""Settings of a realtime session: merged, told back, refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.traits import AsrTraits
from gateway.api.openai.realtime_session import Session, merged
from gateway.errors import AbilityMissing, ModelUnknown, RequestUnfit
from tests.fakes.asr import ScriptedAsr

NOW = Session("en-US", "gpt-4o-transcribe")


def update(session: Any = None, *, traits: AsrTraits | None = None, **sound: Any) -> Session:
    given_ = {"type": "transcription", "audio": {"input": sound}} if session is None else session
    return merged(NOW, given_, ScriptedAsr([]), traits or AsrTraits(), "en-US")


def test_nothing_changes_unasked() -> None:
    assert update() == update({}) == NOW


def test_what_is_in_force_is_told() -> None:
    told = NOW.told("sess_1")
    assert told["type"] == "transcription" and told["id"] == "sess_1"
    sound = told["audio"]["input"]
    assert sound["format"] == {"type": "audio/pcm", "rate": 24000}
    assert sound["turn_detection"]["silence_duration_ms"] == 500
    assert update({"type": "transcription", "audio": {"input": sound}}) == NOW


def test_formats() -> None:
    assert update(format={"type": "audio/pcmu"}).frame_rate == 8000
    assert update(format={"type": "audio/pcm", "rate": 16000}).wire_rate == 16000
    for wrong in (
        {"type": "audio/mp3"},
        {"type": "audio/pcmu", "rate": 16000},
        {"rate": 1},
        {"rate": True},
        7,
    ):
        with pytest.raises(RequestUnfit, match="session.audio.input.format"):
            update(format=wrong)


def test_turns() -> None:
    assert update(turn_detection=None).silence_ms is None
    assert update(turn_detection=None).told("s")["audio"]["input"]["turn_detection"] is None
    assert update(turn_detection={"type": "server_vad", "silence_duration_ms": 300}).silence_ms == 300
    with pytest.raises(AbilityMissing):
        update(turn_detection={"type": "semantic_vad"})


def test_noise_reduction_is_told_to_be_off() -> None:
    session = update(noise_reduction={"type": "near_field"})
    assert session.told("s")["audio"]["input"]["noise_reduction"] is None


def test_transcription() -> None:
    session = update(transcription={"model": "whisper-1", "language": "en", "prompt": "names"})
    assert (session.model, session.language, session.asked_language) == ("whisper-1", "en-US", "en")
    assert update(transcription={"keywords": ["x"]}, traits=AsrTraits(hot_words=True)).keywords == ("x",)


@pytest.mark.parametrize(
    ("session", "refusal"),
    [
        ({"type": "realtime"}, AbilityMissing),
        ({"include": ["item.input_audio_transcription.logprobs"]}, AbilityMissing),
        ({"voice": "alloy"}, RequestUnfit),
        ([], RequestUnfit),
        (None, RequestUnfit),
        ({"audio": {"output": {}}}, RequestUnfit),
        ({"audio": {"input": {"transcription": {"model": "nova-3"}}}}, ModelUnknown),
        ({"audio": {"input": {"transcription": {"keywords": ["x"]}}}}, AbilityMissing),
        ({"audio": {"input": {"transcription": {"languages": ["en", "de"]}}}}, AbilityMissing),
        ({"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 3}}}}, RequestUnfit),
        (
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5}}}},
            AbilityMissing,
        ),
    ],
)
def test_refusals(session: Any, refusal: type[RequestUnfit]) -> None:
    with pytest.raises(refusal):
        merged(NOW, session, ScriptedAsr([]), AsrTraits(), "en-US")


_JSON: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 0.5, 1e308, float("nan"), "", "en", "audio/pcm", "server_vad", [], {}]
)
_FIELDS = st.sampled_from(["format", "transcription", "turn_detection", "noise_reduction"])
_KNOWN = st.dictionaries(
    st.sampled_from(
        ["type", "model", "language", "languages", "keywords", "rate", "threshold", "silence_duration_ms"]
    ),
    _JSON,
)


@given(st.dictionaries(_FIELDS, _JSON | _KNOWN, max_size=4))
def test_any_object_gives_a_session_or_a_clear_error(sound: dict[str, Any]) -> None:
    try:
        update(**sound).told("s")
    except RequestUnfit:
        pass
