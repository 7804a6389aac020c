"""What a client of the self-host class asks of a recording, and its part of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.api.core.languages import fitting
from gateway.api.core.speech_parts import SpeechParts
from gateway.api.deepgram.query import ListenQuery
from gateway.api.deepgram.shape import written
from gateway.batch.recordings import FileHeard
from gateway.errors import AbilityMissing, RequestUnfit
from gateway.problems import nearest

FIELDS: dict[str, Any] = {
    "language": {"type": "string", "default": "en"},
    "punctuate": {"type": "boolean", "default": True},
    "diarize": {"type": "boolean", "default": False},
    "num_speakers": {"type": "integer"},
    "timestamps": {"type": "boolean", "default": False},
    "callback_url": {"type": "string"},
}
"""The parameters, as OpenAPI describes them."""
_YES = frozenset({"true", "1", "yes"})
_NO = frozenset({"false", "0", "no", ""})


@dataclass(frozen=True, slots=True)
class SmallestAsk:
    """One request, as it will be done."""

    language: str
    punctuate: bool
    timestamps: bool
    callback_url: str = ""

    @classmethod
    def read(cls, fields: Mapping[str, Any], parts: SpeechParts) -> SmallestAsk:
        """Raises `RequestUnfit` or `AbilityMissing`, naming the parameter."""
        for name in fields:
            if name not in FIELDS:
                raise RequestUnfit(f"is not known; {nearest(name, FIELDS)}", field=name[:60])
        if flag(fields, "diarize") or fields.get("num_speakers") not in (None, ""):
            field = "diarize" if flag(fields, "diarize") else "num_speakers"
            raise AbilityMissing(
                "the recogniser here does not tell speakers apart; leave it out", field=field
            )
        callback_url = fields.get("callback_url") or ""
        if not isinstance(callback_url, str):
            raise RequestUnfit("must be a string", field="callback_url")
        language = fields.get("language", "")
        if not isinstance(language, str):
            raise RequestUnfit("must be a string", field="language")
        return cls(
            language=fitting(language, parts.hears.languages, parts.language),
            punctuate=flag(fields, "punctuate", True),
            timestamps=flag(fields, "timestamps"),
            callback_url=callback_url,
        )

    def as_query(self) -> ListenQuery:
        """The same, for Deepgram's half of the answer."""
        return ListenQuery(
            language=self.language, punctuate=self.punctuate, interim=False, vad_events=False,
            endpoint_ms=None, utterance_end_ms=None, hot_words=(), encoding="", sample_rate=0, channels=1,
            utterances=False, utt_split=0.8, paragraphs=False, multichannel=False, callback="",
            callback_method="POST", extra={},
        )  # fmt: skip


def smallest_answer(
    found: FileHeard, named: str, language: str, *, words: bool, punctuate: bool = True
) -> dict[str, Any]:
    """The self-host class's half of the answer."""
    recording = found.channels[0]
    body: dict[str, Any] = {
        "request_id": named,
        "text": written(recording.text, punctuate=punctuate),
        "confidence": round(recording.confidence, 4),
        "duration": round(found.seconds, 3),
        "language": language,
    }
    if words:
        body["words"] = [
            {
                "word": written(word.text, punctuate=punctuate),
                "start": round(word.start, 3),
                "end": round(word.end, 3),
                "confidence": round(word.confidence, 4),
            }
            for word in recording.words
        ]
    return body


def flag(fields: Mapping[str, Any], name: str, default: bool = False) -> bool:
    """A boolean, as JSON has it or as a form writes it. Raises `RequestUnfit`."""
    value = fields.get(name, default)
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if text not in _YES and text not in _NO:
        raise RequestUnfit("must be true or false", field=name)
    return text in _YES
