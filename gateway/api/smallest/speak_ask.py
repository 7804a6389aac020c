"""What a client of Waves' speech asks, by HTTP or on a socket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engines.base import TtsOptions
from gateway.api.core.languages import fitting
from gateway.api.core.speech_parts import SpeechParts
from gateway.api.core.voices import voice_for
from gateway.audio.encode import Codec, Container, SpeechFormat
from gateway.errors import AbilityMissing, ParameterMissing, RequestUnfit
from gateway.problems import nearest

FIELDS: dict[str, Any] = {
    "text": {"type": "string"},
    "voice_id": {"type": "string"},
    "model": {"type": "string", "default": "lightning_v3.1"},
    "sample_rate": {"type": "integer", "default": 44100},
    "speed": {"type": "number", "minimum": 0.5, "maximum": 2, "default": 1},
    "language": {"type": "string", "default": "auto"},
    "output_format": {"type": "string", "enum": ["pcm", "mp3", "wav", "ulaw", "alaw"], "default": "pcm"},
    "word_timestamps": {"type": "boolean"},
    "session_id": {"type": "string"},
    "request_id": {"type": "string"},
}
"""The parameters of a request, as OpenAPI describes them."""
_TOLERATED = ("number_pronunciation_language", "max_buffer_flush_ms", "complete_backoff_ms", "add_wav_header",
              "consistency", "similarity", "enhancement", "is_streaming", "is_final")  # fmt: skip
"""Hints for other voices; they ask for no other answer."""
_REFUSED = ("math_notation", "pronunciation_dicts", "content_filter", "transliterate")
"""Asked for, the request is refused: the answer would be another one."""
ON_SOCKETS = ("continue", "flush", "context_id", "max_buffer_delay_ms", "cancel_request")
_RATES = (8000, 16000, 22050, 24000, 32000, 44100, 48000)
_FORMATS = {
    "pcm": (Codec.LINEAR16, Container.NONE), "wav": (Codec.LINEAR16, Container.WAV),
    "mp3": (Codec.MP3, Container.NONE), "ulaw": (Codec.MULAW, Container.NONE),
    "mulaw": (Codec.MULAW, Container.NONE), "alaw": (Codec.ALAW, Container.NONE),
}  # fmt: skip
LONGEST_NAME = 128


@dataclass(frozen=True, slots=True)
class WavesAsk:
    """One request, as it will be done."""

    text: str
    options: TtsOptions
    format: SpeechFormat
    words: bool
    session_id: str
    request_id: str


def read_waves(body: Mapping[str, Any], parts: SpeechParts, more: tuple[str, ...] = ()) -> WavesAsk:
    """Raises `RequestUnfit`, naming the parameter. `more`: parameters that are read elsewhere."""
    for name, value in body.items():
        if name in _REFUSED and value:
            raise AbilityMissing("the voice here cannot do this; leave it out", field=name)
        if name not in FIELDS and name not in (*_TOLERATED, *_REFUSED, *more):
            raise RequestUnfit(f"is not known; {nearest(name, (*FIELDS, *more))}", field=name[:60])
    rate = _whole(body, "sample_rate", 44_100)
    if rate not in _RATES:
        raise RequestUnfit(f"choose {', '.join(map(str, _RATES))}", field="sample_rate")
    written = _text(body, "output_format").lower() or "pcm"
    if written not in _FORMATS:
        raise RequestUnfit(
            f"{written[:40]!r} is not made here; choose {', '.join(_FORMATS)}", field="output_format"
        )
    codec, container = _FORMATS[written]
    options = TtsOptions(
        sample_rate=rate,
        voice=voice_for(_text(body, "voice_id"), parts.tts),
        language=fitting(_text(body, "language"), parts.speaks.languages, parts.language),
        speed=_speed(body),
    )
    return WavesAsk(
        text=_text(body, "text"),
        options=options,
        format=SpeechFormat(codec, rate, container),
        words=flag(body, "word_timestamps") and parts.speaks.word_times,
        session_id=_text(body, "session_id")[:LONGEST_NAME],
        request_id=_text(body, "request_id")[:LONGEST_NAME],
    )


def need_text(ask: WavesAsk, longest: int) -> WavesAsk:
    """The request, if it has a text to speak. Raises `ParameterMissing` or `RequestUnfit`."""
    if not ask.text.strip():
        raise ParameterMissing("a text to speak is needed", field="text")
    if len(ask.text) > longest:
        raise RequestUnfit(f"{len(ask.text)} characters; at most {longest} are spoken", field="text")
    return ask


def flag(body: Mapping[str, Any], name: str) -> bool:
    """A boolean of a JSON body. Raises `RequestUnfit`."""
    value = body.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise RequestUnfit("must be true or false", field=name)
    return value


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RequestUnfit("must be a string", field=name)
    return value


def _whole(body: Mapping[str, Any], name: str, default: int) -> int:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise RequestUnfit("must be a whole number", field=name)
    return value


def _speed(body: Mapping[str, Any]) -> float:
    value = body.get("speed")
    if value is None:
        return 1.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.5 <= value <= 2:
        raise RequestUnfit("must be a number from 0.5 to 2", field="speed")
    return float(value)
