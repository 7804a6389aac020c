"""Every field of a recognition's configuration is honoured, or refused by its name."""

from __future__ import annotations

from typing import Any

import pytest

from engines.riva.asr_request import AsrAsk, Bench, read_config, read_pause
from engines.riva.dialect import BY_CALLER, PAUSE, SEGMENTS
from engines.riva.endpointing import EndpointSettings
from engines.riva.refusal import Refused
from engines.riva.wire import Status, asr_pb2
from engines.traits import AsrTraits

ABLE = Bench("telling", AsrTraits(word_times=True, hot_words=True), EndpointSettings(), "en-US")
UNABLE = Bench("telling", AsrTraits(punctuation=False), EndpointSettings(), "en-US")


def ask(bench: Bench = ABLE, **fields: Any) -> AsrAsk:
    return read_config(asr_pb2.RecognitionConfig(encoding=1, sample_rate_hertz=8000, **fields), True, bench)


def test_what_is_asked_reaches_the_engine() -> None:
    contexts = [
        asr_pb2.SpeechContext(phrases=["Offhook", " trunk "], boost=12.5),
        asr_pb2.SpeechContext(phrases=["", "dial"]),
    ]
    got = ask(
        language_code="de-DE", speech_contexts=contexts, enable_word_time_offsets=True, model="telling",
        enable_automatic_punctuation=True, max_alternatives=3, verbatim_transcripts=True,
        audio_channel_count=1,
    )  # fmt: skip
    assert got.options.language == "de-DE"
    assert got.options.hot_words == ("Offhook", "trunk", "dial")
    assert got.options.boosts == (12.5, 12.5, 0.0)
    assert got.options_at(16000).sample_rate == 16000
    assert got.word_times and got.punctuation and got.options.interim


def test_what_is_left_open_takes_the_workers_defaults() -> None:
    got = ask()
    assert got.options.language == "en-US"
    assert got.endpoints == EndpointSettings()
    assert ask(speech_contexts=[asr_pb2.SpeechContext(phrases=["one"])]).options.boosts == ()
    # As the help of Riva's own client recommends.
    for boost, counts in ((20.0, 20.0), (50.0, 20.0), (100.0, 20.0)):
        assert ask(speech_contexts=[asr_pb2.SpeechContext(phrases=["one"], boost=boost)]).options.boosts == (
            counts,
        )


def test_endpointing_is_taken_field_by_field() -> None:
    config = asr_pb2.EndpointingConfig(
        start_history=200, stop_history=500, stop_threshold=0.75, stop_threshold_eou=0
    )
    got = ask(endpointing_config=config).endpoints
    assert got == EndpointSettings(start_history=200, stop_history=500, stop_threshold=0.75)
    short = ask(endpointing_config=asr_pb2.EndpointingConfig(stop_history=100)).endpoints
    assert short and short.stop_history_eou == 100


def test_a_client_may_cut_its_segments_itself() -> None:
    assert ask(custom_configuration={SEGMENTS: BY_CALLER}).endpoints is None


@pytest.mark.parametrize(
    ("bench", "fields", "name", "code"),
    [
        (ABLE, {"audio_channel_count": 2}, "audio_channel_count", Status.INVALID_ARGUMENT),
        (ABLE, {"max_alternatives": -1}, "max_alternatives", Status.INVALID_ARGUMENT),
        (ABLE, {"model": "conformer"}, "model", Status.INVALID_ARGUMENT),
        (ABLE, {"profanity_filter": True}, "profanity_filter", Status.UNIMPLEMENTED),
        (ABLE, {"enable_separate_recognition_per_channel": True}, "per_channel", Status.UNIMPLEMENTED),
        (
            ABLE,
            {"diarization_config": asr_pb2.SpeakerDiarizationConfig(enable_speaker_diarization=True)},
            "diarization_config",
            Status.UNIMPLEMENTED,
        ),
        (UNABLE, {"enable_word_time_offsets": True}, "enable_word_time_offsets", Status.UNIMPLEMENTED),
        (UNABLE, {"enable_automatic_punctuation": True}, "punctuation", Status.UNIMPLEMENTED),
        (
            UNABLE,
            {"speech_contexts": [asr_pb2.SpeechContext(phrases=["a"])]},
            "contexts",
            Status.UNIMPLEMENTED,
        ),
        (ABLE, {"speech_contexts": [asr_pb2.SpeechContext(boost=-1)]}, "boost", Status.INVALID_ARGUMENT),
        (
            ABLE,
            {"speech_contexts": [asr_pb2.SpeechContext(boost=float("nan"))]},
            "boost",
            Status.INVALID_ARGUMENT,
        ),
        (
            ABLE,
            {"speech_contexts": [asr_pb2.SpeechContext(phrases=["a"] * 501)]},
            "501",
            Status.INVALID_ARGUMENT,
        ),
        (
            ABLE,
            {"speech_contexts": [asr_pb2.SpeechContext(phrases=["a" * 101])]},
            "phr",
            Status.INVALID_ARGUMENT,
        ),
        (ABLE, {"custom_configuration": {"beam": "4"}}, "beam", Status.UNIMPLEMENTED),
        (ABLE, {"custom_configuration": {SEGMENTS: "mine"}}, SEGMENTS, Status.INVALID_ARGUMENT),
        (
            ABLE,
            {"endpointing_config": asr_pb2.EndpointingConfig(stop_history=-5)},
            "endpointing_config.stop_history",
            Status.INVALID_ARGUMENT,
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(
    bench: Bench, fields: dict[str, Any], name: str, code: Status
) -> None:
    with pytest.raises(Refused, match=name) as refused:
        ask(bench, **fields)
    assert refused.value.code is code


def test_pauses_are_read_and_other_runtime_settings_refused() -> None:
    def read(**config: str) -> bool | None:
        return read_pause(asr_pb2.StreamingRecognizeRequest(runtime_config=config))

    assert read() is None
    assert read(**{PAUSE: "true"}) is True
    assert read(**{PAUSE: "false"}) is False
    with pytest.raises(Refused, match=PAUSE):
        read(**{PAUSE: "perhaps"})
    with pytest.raises(Refused, match="speed"):
        read(speed="2")
