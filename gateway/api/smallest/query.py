"""What a client of Waves' transcription asks in its address: honoured, told back, or refused by its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engines.traits import AsrTraits
from gateway.api.core.audio_in import AudioForm, Encoding
from gateway.api.core.languages import fitting
from gateway.api.deepgram.query import Query
from gateway.errors import AbilityMissing, ModelUnknown, RequestUnfit
from gateway.problems import nearest

HONOURED = (
    "model", "language", "sample_rate", "encoding", "word_timestamps", "sentence_timestamps",
    "full_transcript", "format", "punctuate", "capitalize", "vad_events", "vad", "eou_timeout_ms",
    "endpointing", "endpointing_timeout", "external_session_id", "session_id", "request_id",
)  # fmt: skip
WEBHOOK = ("webhook_url", "webhook_method", "webhook_extra")
"""Honoured for a recording, whose words may come later; refused for a live stream."""
REFUSED = ("diarize", "redact_pii", "redact_pci")
"""Asked for, the request is refused with 400."""
_LONGEST_EXTRA = 4096
"""Characters of what a client wants to have back."""
REPORTED = (
    "itn_normalize", "numerals", "keywords", "max_words", "finalize_on_words", "emotion_detection",
    "gender_detection", "age_detection", "no_format_delay", "vad_threshold", "vad_min_speech_ms",
)  # fmt: skip
"""Asked for, the request is served without it, and told so in `warnings`."""
_HARMLESS = {"finalize_on_words": frozenset({"true", "false"}), "numerals": frozenset({"auto"})}
"""Values that ask for nothing, or for what a recogniser does by itself."""
_KEYS = ("api_key", "token", "access_token")
_NO = frozenset({"", "false", "0", "no"})
_YES = frozenset({"true", "1", "yes"})
_MODELS = ("pulse", "pulse-2", "pulse-pro")
_ENCODINGS = {
    "linear16": Encoding.LINEAR16, "linear32": Encoding.LINEAR32, "alaw": Encoding.ALAW,
    "mulaw": Encoding.MULAW, "opus": Encoding.OPUS, "ogg_opus": Encoding.OPUS,
}  # fmt: skip
_USUAL_SILENCE = 800


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where the words of a recording go when they are there."""

    url: str
    method: str
    """`POST` or `GET`."""
    extra: str
    """Comes back with them."""


@dataclass(frozen=True, slots=True)
class PulseQuery:
    """One request, as it will be done."""

    language: str
    words: bool
    utterances: bool
    full: bool
    punctuate: bool
    vad_events: bool
    silence_ms: int
    form: AudioForm
    warnings: tuple[str, ...]
    webhook: Webhook | None = None

    def features(self) -> list[str]:
        """What it makes use of."""
        asked = {
            "punctuation": self.punctuate,
            "timestamps": self.words,
            "callback": self.webhook is not None,
        }
        return [name for name, yes in asked.items() if yes]

    def body(self) -> Mapping[str, list[str]]:
        """`warnings`, where there are some."""
        return {"warnings": list(self.warnings)} if self.warnings else {}


def read_pulse(
    query: Query, traits: AsrTraits, language: str, *, live: bool, words: bool = False
) -> PulseQuery:
    """Raises `RequestUnfit`, naming the parameter. `words`: whether words are told unless asked not to."""
    warnings = _checked(query, live=live)
    model = _one(query, "model") or "pulse"
    if model not in _MODELS or (live and model == "pulse-pro"):
        served = [name for name in _MODELS if not live or name != "pulse-pro"]
        told = f"{model[:40]!r} is not served here; served: {', '.join(served)}"
        # The contract's status for a socket is 400.
        raise RequestUnfit(told, field="model") if live else ModelUnknown(told, field="model")
    encoding = _one(query, "encoding").lower() or "linear16"
    if encoding not in _ENCODINGS:
        raise RequestUnfit(f"{encoding[:40]!r} is not known; send {', '.join(_ENCODINGS)}", field="encoding")
    rate = _whole(query, "sample_rate", 1, 1_000_000, 16_000)
    silence = _whole(query, "eou_timeout_ms", 100, 10_000, 0)
    silence = silence or _whole(query, "endpointing_timeout", 0, 10_000, 0) or _USUAL_SILENCE
    formatted = _flag(query, "format", True)
    return PulseQuery(
        language=fitting(_one(query, "language"), traits.languages, language),
        words=_flag(query, "word_timestamps", words),
        utterances=_flag(query, "sentence_timestamps"),
        full=_flag(query, "full_transcript"),
        punctuate=formatted and _flag(query, "punctuate", True),
        vad_events=_flag(query, "vad_events") or _flag(query, "vad"),
        silence_ms=silence,
        form=AudioForm(_ENCODINGS[encoding], rate),
        warnings=tuple(warnings),
        webhook=_webhook(query),
    )


def abilities() -> Mapping[str, list[str]]:
    """What is honoured, refused and served without, for whoever asks beforehand."""
    return {"honoured": [*HONOURED, *WEBHOOK], "refused": list(REFUSED), "served_without": list(REPORTED)}


def _webhook(query: Query) -> Webhook | None:
    url, extra = _one(query, "webhook_url"), _one(query, "webhook_extra")
    method = _one(query, "webhook_method").upper() or "POST"
    if method not in ("POST", "GET"):
        raise RequestUnfit("choose POST or GET", field="webhook_method")
    if len(extra) > _LONGEST_EXTRA:
        raise RequestUnfit(f"give at most {_LONGEST_EXTRA} characters", field="webhook_extra")
    if not url and (extra or query.getlist("webhook_method")):
        raise RequestUnfit("is needed with webhook_method and webhook_extra", field="webhook_url")
    return Webhook(url, method, extra) if url else None


def _checked(query: Query, *, live: bool) -> list[str]:
    """Refuse what is unknown or cannot be done; returns what is served without."""
    warnings = []
    for name in query.keys():
        value = _one(query, name).lower()
        if name in _KEYS or name in HONOURED or (name in WEBHOOK and not live):
            continue
        if name in WEBHOOK:
            raise RequestUnfit("belongs to recordings; a stream is answered as it is heard", field=name)
        if name in REFUSED:
            if value not in _NO:
                raise AbilityMissing("the recogniser here cannot do this; leave it out", field=name)
        elif name in REPORTED:
            if value not in _NO and value not in _HARMLESS.get(name, ()):
                warnings.append(f"{name}: the recogniser here does not do this")
        else:
            raise RequestUnfit(
                f"is not known; {nearest(name, (*HONOURED, *REFUSED, *REPORTED))}", field=name[:60]
            )
    return warnings


def _one(query: Query, name: str) -> str:
    return next(iter(query.getlist(name)), "")


def _flag(query: Query, name: str, default: bool = False) -> bool:
    values = query.getlist(name)
    if not values:
        return default
    text = values[0].lower()
    if text not in _NO and text not in _YES:
        raise RequestUnfit("must be true or false", field=name)
    return text in _YES


def _whole(query: Query, name: str, low: int, high: int, default: int) -> int:
    text = _one(query, name)
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or not low <= int(text[:12]) <= high:
        raise RequestUnfit(f"must be a whole number from {low} to {high}", field=name)
    return int(text)
