"""What a client asks of `/v1/audio/speech`: every field read, honoured, reported or refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engines.base import Tts
from gateway.api.openai.names import speaking_model, voice
from gateway.audio.encode import Codec, Container, SpeechFormat
from gateway.errors import AbilityMissing, RequestUnfit

RATE = 24000
"""OpenAI's own, and what `pcm` means."""
MOST_LETTERS = 4096
FORMATS: Mapping[str, SpeechFormat] = {
    "mp3": SpeechFormat(Codec.MP3, RATE, bit_rate=128_000),
    "opus": SpeechFormat(Codec.OPUS, RATE, Container.OGG),
    "aac": SpeechFormat(Codec.AAC, RATE),
    "flac": SpeechFormat(Codec.FLAC, RATE),
    "wav": SpeechFormat(Codec.LINEAR16, RATE, Container.WAV),
    "pcm": SpeechFormat(Codec.LINEAR16, RATE),
}
_KNOWN = frozenset({"input", "model", "voice", "instructions", "response_format", "speed", "stream_format"})
_SPEEDS = (0.25, 4.0)
_ENGINE_SPEEDS = (0.5, 2.0)


@dataclass(frozen=True, slots=True)
class SpeechAsk:
    """A request that can be served."""

    text: str
    voice: str
    format: SpeechFormat
    speed: float = 1.0
    events: bool = False
    """As server-sent events, not as plain octets."""
    not_honoured: tuple[str, ...] = ()


ABILITIES: Mapping[str, list[str]] = {
    "honoured": ["input", "voice", "response_format", "speed", "stream_format"],
    "refused": [],
    "served_without": ["instructions"],
}
"""What is honoured, refused and served without, for whoever asks beforehand."""


def read_ask(body: Mapping[str, Any], tts: Tts) -> SpeechAsk:
    """The JSON body as a request. Raises `RequestUnfit`, `AbilityMissing`, `ModelUnknown`."""
    if odd := sorted(set(body) - _KNOWN):
        raise RequestUnfit("there is no such parameter", field=odd[0][:64])
    speaking_model(_text(body, "model"), tts)
    text = _text(body, "input")
    if not text.strip():
        raise RequestUnfit("a text to speak is needed", field="input")
    if len(text) > MOST_LETTERS:
        raise RequestUnfit(f"{len(text)} characters; at most {MOST_LETTERS} are spoken", field="input")
    told: tuple[str, ...] = ()
    if _text(body, "instructions"):
        told = ("instructions: the voice in use cannot be told how to speak",)
    return SpeechAsk(
        text=text,
        voice=voice(body.get("voice"), tts),
        format=FORMATS[_choice(body, "response_format", tuple(FORMATS))],
        speed=_speed(body.get("speed")),
        events=_choice(body, "stream_format", ("audio", "sse")) == "sse",
        not_honoured=told,
    )


def _text(body: Mapping[str, Any], name: str) -> str:
    found = body.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise RequestUnfit("must be a string", field=name)
    return found


def _choice(body: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> str:
    found = _text(body, name) or choices[0]
    if found not in choices:
        raise RequestUnfit(f"choose one of: {', '.join(choices)}", field=name)
    return found


def _speed(given: Any) -> float:
    if given is None:
        return 1.0
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise RequestUnfit("must be a number", field="speed")
    if not _SPEEDS[0] <= given <= _SPEEDS[1]:
        raise RequestUnfit(f"must lie between {_SPEEDS[0]:g} and {_SPEEDS[1]:g}", field="speed")
    if not _ENGINE_SPEEDS[0] <= given <= _ENGINE_SPEEDS[1]:
        told = f"the voice in use speaks {_ENGINE_SPEEDS[0]:g} to {_ENGINE_SPEEDS[1]:g} times as fast"
        raise AbilityMissing(told, field="speed")
    return float(given)
