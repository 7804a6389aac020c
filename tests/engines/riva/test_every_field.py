"""Nothing that a client can write is ignored in silence: each field of Riva's messages, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from engines.riva.asr_request import AsrAsk, Bench, read_config
from engines.riva.endpointing import EndpointSettings
from engines.riva.newer import refuse_unknown
from engines.riva.refusal import Refused
from engines.riva.tts_request import TtsAsk, read_request
from engines.riva.wire import Message, Status, asr_pb2, tts_pb2
from engines.traits import AsrTraits
from tests.engines.riva.fakes import HummingTts

BENCH = Bench("telling", AsrTraits(("en-US",), word_times=True, hot_words=True), EndpointSettings(), "en-US")

WITHOUT_EFFECT = {
    "max_alternatives": "more may be asked for; there is one",
    "verbatim_transcripts": "figures are written as the engine writes them, asked or not",
    "audio_channel_count": "1 is what there is",
    "model": "the name of the one that is served",
}
"""Fields whose only value that is taken asks for what happens anyway, and why."""

VALUES: dict[str, Any] = {
    "encoding": 2, "sample_rate_hertz": 16000, "language_code": "de-DE", "max_alternatives": 3,
    "profanity_filter": True, "audio_channel_count": 1, "enable_word_time_offsets": True,
    "enable_automatic_punctuation": True, "enable_separate_recognition_per_channel": True, "model": "telling",
    "verbatim_transcripts": True, "start_history": 400, "start_threshold": 0.3, "stop_history": 1000,
    "stop_threshold": 0.9, "stop_history_eou": 300, "stop_threshold_eou": 0.7, "sample_rate_hz": 16000,
    "text": "Hello.", "voice_name": "buzz", "custom_dictionary": "a b",
}  # fmt: skip


def config(**fields: Any) -> Message:
    return asr_pb2.RecognitionConfig(**{"encoding": 1, "sample_rate_hertz": 8000, **fields})


def filled(kind: type[Any], name: str) -> Any:
    """A value for a field that is itself a message, a map or a list."""
    match name:
        case "speech_contexts":
            return [asr_pb2.SpeechContext(phrases=["Offhook"], boost=3.0)]
        case "diarization_config":
            return asr_pb2.SpeakerDiarizationConfig(max_speaker_count=2)
        case "custom_configuration":
            return {"anything": "at all"}
        case "zero_shot_data":
            return tts_pb2.ZeroShotData(quality=1)
        case "id":
            return None
    raise AssertionError(f"{kind.__name__}.{name} is new: read it, and give it a value here")


def fields_of(kind: type[Any]) -> Iterator[tuple[str, Any]]:
    for field in kind.DESCRIPTOR.fields:
        if field.name == "endpointing_config":
            for inner in field.message_type.fields:
                yield field.name, asr_pb2.EndpointingConfig(**{inner.name: VALUES[inner.name]})
        else:
            yield field.name, VALUES[field.name] if field.name in VALUES else filled(kind, field.name)


@pytest.mark.parametrize(("name", "value"), list(fields_of(asr_pb2.RecognitionConfig)))
def test_each_field_of_a_recognition_changes_it_or_is_refused(name: str, value: Any) -> None:
    plain: AsrAsk = read_config(config(), False, BENCH)
    try:
        asked = read_config(config(**{name: value}), False, BENCH)
    except Refused as refused:
        assert str(refused).startswith(name)
        assert refused.code in (Status.UNIMPLEMENTED, Status.INVALID_ARGUMENT)
        assert name not in WITHOUT_EFFECT
        return
    assert (asked == plain) is (name in WITHOUT_EFFECT)


@pytest.mark.parametrize(("name", "value"), list(fields_of(tts_pb2.SynthesizeSpeechRequest)))
def test_each_field_of_a_synthesis_changes_it_or_is_refused(name: str, value: Any) -> None:
    if name == "id":
        return  # comes back with each answer: see test_server_tts
    usual = {"text": "Hi.", "sample_rate_hz": 8000, "encoding": 0}
    plain: TtsAsk = read_request(tts_pb2.SynthesizeSpeechRequest(**usual), HummingTts(), "en-US", 100)
    try:
        request = tts_pb2.SynthesizeSpeechRequest(**{**usual, name: value})
        asked = read_request(request, HummingTts(), "en-US", 100)
    except Refused as refused:
        assert str(refused).startswith(name)
        assert refused.code in (Status.UNIMPLEMENTED, Status.INVALID_ARGUMENT)
        return
    assert asked != plain


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (b"\xf8\x07\x01", "request: its field number 127"),
        (b"\x0a\x03\xf8\x07\x01", r"request\.config: its field number 127"),
    ],
)
def test_fields_of_a_newer_riva_are_refused_by_their_number(octets: bytes, told: str) -> None:
    request = asr_pb2.RecognizeRequest.FromString(octets)
    with pytest.raises(Refused, match=told) as refused:
        refuse_unknown(request, "request")
    assert refused.value.code is Status.UNIMPLEMENTED
    refuse_unknown(asr_pb2.RecognizeRequest(config=config(custom_configuration={"a": "b"})), "request")
