"""What a realtime transcription session is set to: read, merged, told back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engines.base import Asr, AsrOptions
from engines.traits import AsrTraits
from gateway.api.core.listening import ListenAsk
from gateway.api.openai.names import hearing_model, language_tag
from gateway.api.openai.transcription_request import server_vad
from gateway.errors import AbilityMissing, RequestUnfit
from media.segmenter import SegmenterSettings

WIRE_RATES = {"audio/pcm": 24000, "audio/pcmu": 8000, "audio/pcma": 8000}
"""Formats of the sound that comes in, and their rates; PCM may name another."""
_PCM_RATES = range(8000, 48001)
_DEFAULT_SILENCE_MS = 500
_MOST_KEYWORDS = 100
_INPUT = frozenset({"format", "transcription", "noise_reduction", "turn_detection"})
_TRANSCRIPTION = frozenset({"model", "language", "languages", "prompt", "keywords", "delay"})
_SERVER_VAD = frozenset(
    {"type", "threshold", "prefix_padding_ms", "silence_duration_ms", "create_response", "interrupt_response",
     "idle_timeout_ms"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Session:
    """The settings in force."""

    language: str
    """As the engine takes it."""
    model: str
    """As the client called it."""
    wire: str = "audio/pcm"
    wire_rate: int = 24000
    asked_language: str | None = None
    keywords: tuple[str, ...] = ()
    silence_ms: int | None = _DEFAULT_SILENCE_MS
    """None: turns end when the client commits."""
    segmenter: SegmenterSettings = field(default_factory=SegmenterSettings)

    @property
    def frame_rate(self) -> int:
        """What the recogniser is given."""
        return 8000 if self.wire_rate == 8000 else 16000

    def listen_ask(self) -> ListenAsk:
        """The stream that serves it."""
        options = AsrOptions(self.language, self.frame_rate, interim=True, hot_words=self.keywords)
        return ListenAsk(options, endpoint_ms=self.silence_ms, segmenter=self.segmenter)

    def told(self, session_id: str) -> dict[str, Any]:
        """As the client is told it: what is in force; whatever makes no difference is seen to be off."""
        detection = None
        if self.silence_ms is not None:
            detection = {
                "type": "server_vad",
                "threshold": self.segmenter.threshold,
                "prefix_padding_ms": self.segmenter.preroll_ms,
                "silence_duration_ms": self.silence_ms,
            }
        wire: dict[str, Any] = {"type": self.wire}
        if self.wire == "audio/pcm":
            wire["rate"] = self.wire_rate
        heard: dict[str, Any] = {"model": self.model, "language": self.asked_language}
        if self.keywords:
            heard["keywords"] = list(self.keywords)
        return {
            "type": "transcription",
            "id": session_id,
            "object": "realtime.transcription_session",
            "audio": {
                "input": {
                    "format": wire,
                    "transcription": heard,
                    "noise_reduction": None,
                    "turn_detection": detection,
                }
            },
            "include": None,
        }


def merged(now: Session, given: Any, asr: Asr, traits: AsrTraits, default_language: str) -> Session:
    """The session after a `session.update`; what is not given stays. Raises `RequestUnfit`."""
    wanted = _object(given, "session")
    _known(wanted, {"type", "audio", "include", "id", "object", "expires_at"}, "session")
    if wanted.get("type", "transcription") != "transcription":
        told = "only transcription sessions are served here; connect with ?intent=transcription"
        raise AbilityMissing(told, field="session.type")
    if wanted.get("include"):
        raise AbilityMissing("the recogniser in use gives no logprobs", field="session.include")
    audio = _object(wanted.get("audio") or {}, "session.audio")
    _known(audio, {"input"}, "session.audio")
    sound = _object(audio.get("input") or {}, "session.audio.input")
    _known(sound, _INPUT, "session.audio.input")
    session = now
    if sound.get("format") is not None:
        session = _with_format(session, sound["format"])
    if sound.get("transcription") is not None:
        session = _with_transcription(session, sound["transcription"], asr, traits, default_language)
    if "turn_detection" in sound:
        session = _with_detection(session, sound["turn_detection"])
    return session


def _with_format(session: Session, given: Any) -> Session:
    name = "session.audio.input.format"
    wanted = {"type": given} if isinstance(given, str) else _object(given, name)
    _known(wanted, {"type", "rate"}, name)
    kind = wanted.get("type", "audio/pcm")
    if not isinstance(kind, str) or kind not in WIRE_RATES:
        raise RequestUnfit(f"choose one of: {', '.join(WIRE_RATES)}", field=f"{name}.type")
    rate = wanted.get("rate") or WIRE_RATES[kind]
    fits = rate in _PCM_RATES if kind == "audio/pcm" else rate == 8000
    if isinstance(rate, bool) or not isinstance(rate, int) or not fits:
        raise RequestUnfit("give 8000 to 48000 for PCM, 8000 for G.711", field=f"{name}.rate")
    return replace(session, wire=kind, wire_rate=rate)


def _with_transcription(
    session: Session, given: Any, asr: Asr, traits: AsrTraits, default_language: str
) -> Session:
    name = "session.audio.input.transcription"
    wanted = _object(given, name)
    _known(wanted, _TRANSCRIPTION, name)
    model = wanted.get("model", session.model)
    hearing_model(model if isinstance(model, str) else "", asr, field=f"{name}.model")
    several = wanted.get("languages") or []
    if not isinstance(several, list) or len(several) > 1:
        raise AbilityMissing("the recogniser in use hears one language at a time", field=f"{name}.languages")
    language = wanted.get("language", several[0] if several else session.asked_language)
    if language is not None and not isinstance(language, str):
        raise RequestUnfit("must be a string", field=f"{name}.language")
    keywords = wanted.get("keywords") or list(session.keywords)
    if not isinstance(keywords, list) or not all(isinstance(word, str) for word in keywords):
        raise RequestUnfit("must be a list of strings", field=f"{name}.keywords")
    if keywords and not traits.hot_words:
        raise AbilityMissing("the recogniser in use cannot be told words to expect", field=f"{name}.keywords")
    if len(keywords) > _MOST_KEYWORDS:
        raise RequestUnfit(f"at most {_MOST_KEYWORDS} can be given", field=f"{name}.keywords")
    return replace(
        session,
        model=model,
        asked_language=language,
        language=language_tag(language or "", default_language, field=f"{name}.language"),
        keywords=tuple(keywords),
    )


def _with_detection(session: Session, given: Any) -> Session:
    name = "session.audio.input.turn_detection"
    if given is None:
        return replace(session, silence_ms=None)
    wanted = _object(given, name)
    kind = wanted.get("type", "server_vad")
    if kind != "server_vad":
        raise AbilityMissing("only server_vad and null are served here", field=f"{name}.type")
    _known(wanted, _SERVER_VAD, name)
    if wanted.get("idle_timeout_ms") is not None:
        raise AbilityMissing("there is no reply to wait for here", field=f"{name}.idle_timeout_ms")
    silence, segmenter = server_vad(dict(wanted), SegmenterSettings(), field=name)
    return replace(session, silence_ms=silence, segmenter=segmenter)


def _object(given: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise RequestUnfit("must be an object", field=name)
    return given


def _known(given: Mapping[str, Any], names: set[str] | frozenset[str], place: str) -> None:
    if odd := sorted(set(given) - names):
        raise RequestUnfit("there is no such parameter", field=f"{place}.{odd[0][:64]}")
