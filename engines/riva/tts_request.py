"""What a client asks of a synthesis, read from Riva's message: honoured, or refused by the field's name."""

from __future__ import annotations

from dataclasses import dataclass, replace

from engines.base import Tts, TtsOptions
from engines.riva.dialect import AHEAD, SPEED
from engines.riva.intake import HIGHEST_RATE, LINEAR, LOWEST_RATE, UNSPECIFIED, encoding_name
from engines.riva.newer import refuse_unknown
from engines.riva.refusal import Refused, unimplemented
from engines.riva.wire import Message
from engines.traits import tts_traits

_LONGEST_AHEAD = 3600.0


@dataclass(frozen=True, slots=True)
class TtsAsk:
    """One text and how it is to be spoken."""

    text: str
    options: TtsOptions
    word_times: bool

    def ahead_by(self, seconds: float) -> TtsAsk:
        """The same, needed no earlier than in so many seconds."""
        if seconds <= self.options.ahead:
            return self
        return replace(self, options=replace(self.options, ahead=min(seconds, _LONGEST_AHEAD)))


def read_request(request: Message, engine: Tts, language: str, longest: int) -> TtsAsk:
    """Raises `Refused`, naming the field. `language` is for clients that name none."""
    refuse_unknown(request, "request")
    _check_extras(request, engine, longest)
    extras = _extras(request)
    options = TtsOptions(
        sample_rate=request.sample_rate_hz,
        voice=request.voice_name,
        language=request.language_code or language,
        speed=extras.get(SPEED, 1.0),
        ahead=extras.get(AHEAD, 0.0),
    )
    return TtsAsk(request.text, options, request.enable_word_time_offsets)


def _check_extras(request: Message, engine: Tts, longest: int) -> None:
    if request.encoding not in (UNSPECIFIED, LINEAR):
        raise Refused(f"encoding: {encoding_name(request.encoding)} is not made here; ask for LINEAR_PCM")
    if not LOWEST_RATE <= request.sample_rate_hz <= HIGHEST_RATE:
        rate = request.sample_rate_hz
        raise Refused(f"sample_rate_hz: {rate} is out of range; ask for {LOWEST_RATE} to {HIGHEST_RATE}")
    if not request.text.strip():
        raise Refused("text: is empty")
    if len(request.text) > longest:
        raise Refused(f"text: {len(request.text)} characters are too many; send at most {longest}")
    if request.text.lstrip().startswith("<speak"):
        raise unimplemented("text: SSML is not read here; send plain text")
    if request.voice_name and request.voice_name not in engine.voices:
        voices = ", ".join(engine.voices)
        raise Refused(f"voice_name: there is no {request.voice_name[:40]!r}; there are: {voices}")
    if request.HasField("zero_shot_data"):
        raise unimplemented("zero_shot_data: voices are not cloned here; choose one by voice_name")
    if request.custom_dictionary:
        raise unimplemented("custom_dictionary: pronunciations cannot be given here; leave it out")
    if request.enable_word_time_offsets and not tts_traits(engine).word_times:
        raise unimplemented(f"enable_word_time_offsets: {engine.name} gives no word times; leave it out")


def _extras(request: Message) -> dict[str, float]:
    ranges = {SPEED: (0.5, 2.0), AHEAD: (0.0, _LONGEST_AHEAD)}
    extras: dict[str, float] = {}
    for key, text in request.custom_configuration.items():
        if key not in ranges:
            known = ", ".join(ranges)
            raise unimplemented(f"custom_configuration: {key[:40]!r} is not known; known: {known}")
        low, high = ranges[key]
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise Refused(f"custom_configuration: {key} must be {low:g} to {high:g}")
        extras[key] = value
    return extras
