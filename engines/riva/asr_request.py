"""What a client asks of a recognition, read from Riva's messages: honoured, or refused by the field."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from engines.base import AsrOptions
from engines.riva.dialect import BY_CALLER, PAUSE, SEGMENTS
from engines.riva.endpointing import EndpointSettings
from engines.riva.intake import AudioForm
from engines.riva.refusal import Refused, unimplemented
from engines.riva.wire import Message
from engines.traits import AsrTraits

MOST_PHRASES = 500
LONGEST_PHRASE = 100
HIGHEST_BOOST = 20.0
"""More lifts no further: Riva's client recommends 20 to 100, and beyond this recognisers invent the words."""
_ENDPOINTS = (
    "start_history", "start_threshold", "stop_history", "stop_threshold", "stop_history_eou",
    "stop_threshold_eou",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bench:
    """What requests are measured against: the engine and its worker's defaults."""

    engine: str
    """Name, which a client may give as the model."""
    traits: AsrTraits
    endpoints: EndpointSettings
    """For what the client leaves open."""
    language: str
    """For clients that name none."""


@dataclass(frozen=True, slots=True)
class AsrAsk:
    """One recognition, as it will be done."""

    form: AudioForm
    options: AsrOptions
    """But for the rate, which the first audio may tell."""
    word_times: bool
    punctuation: bool
    endpoints: EndpointSettings | None
    """None: the client decides where its one segment ends."""

    def options_at(self, sample_rate: int) -> AsrOptions:
        """For the engine, now that the rate is known."""
        return replace(self.options, sample_rate=sample_rate)


def read_config(config: Message, interim: bool, bench: Bench) -> AsrAsk:
    """Raises `Refused`, naming the field, for what cannot be honoured."""
    _check_extras(config, bench)
    hot_words, boosts = _hot_words(config, bench.traits)
    form = AudioForm(config.encoding, config.sample_rate_hertz)
    return AsrAsk(
        form=form,
        options=AsrOptions(
            language=config.language_code or bench.language,
            interim=interim,
            hot_words=hot_words,
            boosts=boosts,
        ),
        word_times=config.enable_word_time_offsets,
        punctuation=config.enable_automatic_punctuation,
        endpoints=None if _by_caller(config) else _endpoints(config, bench.endpoints),
    )


def read_pause(request: Message) -> bool | None:
    """What a message without audio says: pause, no pause, or nothing. Raises `Refused` for all else."""
    told: bool | None = None
    for key, value in request.runtime_config.items():
        if key != PAUSE:
            raise unimplemented(f"runtime_config: {key[:40]!r} is not known; known: {PAUSE}")
        if value not in ("true", "false"):
            raise Refused(f"runtime_config: {PAUSE} must be true or false")
        told = value == "true"
    return told


def _check_extras(config: Message, bench: Bench) -> None:
    traits = bench.traits
    if config.audio_channel_count not in (0, 1):
        raise Refused(f"audio_channel_count: {config.audio_channel_count} channels were announced; send one")
    if config.max_alternatives < 0:
        raise Refused("max_alternatives: must not be negative")
    if config.model not in ("", bench.engine):
        raise Refused(
            f"model: {config.model[:40]!r} is not served here; leave it out or say {bench.engine!r}"
        )
    if config.profanity_filter:
        raise unimplemented("profanity_filter: transcripts are not filtered here; leave it out")
    if config.enable_separate_recognition_per_channel:
        raise unimplemented("enable_separate_recognition_per_channel: send one channel per stream")
    if config.diarization_config != type(config.diarization_config)():
        raise unimplemented("diarization_config: speakers are not told apart here; leave it out")
    if config.enable_word_time_offsets and not traits.word_times:
        raise unimplemented(f"enable_word_time_offsets: {bench.engine} gives no word times; leave it out")
    if config.enable_automatic_punctuation and not traits.punctuation:
        raise unimplemented(
            f"enable_automatic_punctuation: {bench.engine} writes no punctuation; leave it out"
        )


def _by_caller(config: Message) -> bool:
    for key, value in config.custom_configuration.items():
        if key != SEGMENTS:
            raise unimplemented(f"custom_configuration: {key[:40]!r} is not known; known: {SEGMENTS}")
        if value != BY_CALLER:
            raise Refused(f"custom_configuration: {SEGMENTS} must be {BY_CALLER}")
        return True
    return False


def _hot_words(config: Message, traits: AsrTraits) -> tuple[tuple[str, ...], tuple[float, ...]]:
    pairs: list[tuple[str, float]] = []
    for context in config.speech_contexts:
        if not 0.0 <= context.boost < math.inf:
            raise Refused(f"speech_contexts.boost: {context.boost:g} is out of range; give 0 or more")
        boost = min(context.boost, HIGHEST_BOOST)
        pairs += [(phrase.strip(), boost) for phrase in context.phrases if phrase.strip()]
    if not pairs:
        return (), ()
    if not traits.hot_words:
        raise unimplemented("speech_contexts: this recogniser takes no hot words; leave them out")
    if len(pairs) > MOST_PHRASES:
        raise Refused(f"speech_contexts.phrases: {len(pairs)} are too many; at most {MOST_PHRASES}")
    if any(len(phrase) > LONGEST_PHRASE for phrase, _ in pairs):
        raise Refused(f"speech_contexts.phrases: at most {LONGEST_PHRASE} characters each")
    words = tuple(phrase for phrase, _ in pairs)
    boosts = tuple(boost for _, boost in pairs)
    return words, boosts if any(boosts) else ()


def _endpoints(config: Message, defaults: EndpointSettings) -> EndpointSettings:
    """The defaults with what the client says; 0 says nothing, as Riva's own client has it."""
    given = {
        name: getattr(config.endpointing_config, name)
        for name in _ENDPOINTS
        if config.endpointing_config.HasField(name) and getattr(config.endpointing_config, name) != 0
    }
    if "stop_history" in given and "stop_history_eou" not in given:
        given["stop_history_eou"] = min(defaults.stop_history_eou, int(given["stop_history"]))
    try:
        return replace(defaults, **given)
    except ValueError as error:
        raise Refused(f"endpointing_config.{error}") from None
