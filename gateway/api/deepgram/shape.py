"""Deepgram's JSON for what was heard."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engines.base import Word
from gateway.api.core.listening import Heard
from gateway.api.core.plain_text import bare
from gateway.api.deepgram.query import Unhonoured

_NAMESPACE = uuid.UUID("5b0c7a3e-5d43-4a0e-9d0c-6f1f0f0f0a4b")
_PARAGRAPH_PAUSE = 1.5
"""Seconds between utterances that begin a new paragraph."""


@dataclass(frozen=True, slots=True)
class Model:
    """What an answer says of the model that made it."""

    name: str
    version: str

    @property
    def model_uuid(self) -> str:
        """The same for the same name and version, everywhere."""
        return str(uuid.uuid5(_NAMESPACE, f"{self.name}/{self.version}"))

    def info(self) -> Mapping[str, str]:
        """`model_info`."""
        return {"name": self.name, "version": self.version, "arch": self.name}


def words(spoken: Sequence[Word], *, punctuate: bool) -> list[dict[str, Any]]:
    """`words[]`; a word that is nothing but marks belongs to none."""
    found = []
    for word in spoken:
        plain = bare(word.text)
        if not plain:
            continue
        body: dict[str, Any] = {
            "word": plain,
            "start": round(word.start, 3),
            "end": round(word.end, 3),
            "confidence": round(word.confidence, 4),
        }
        if punctuate:
            body["punctuated_word"] = word.text
        found.append(body)
    return found


def written(text: str, *, punctuate: bool) -> str:
    """A transcript with or without its punctuation."""
    return text if punctuate else bare(text)


def alternative(heard: Heard, *, punctuate: bool) -> dict[str, Any]:
    """One of `alternatives[]`; there is never more than one."""
    return {
        "transcript": written(heard.text, punctuate=punctuate),
        "confidence": round(heard.confidence, 4) if heard.text else 0.0,
        "words": words(heard.words, punctuate=punctuate),
    }


def results(
    heard: Heard, request_id: str, model: Model, *, punctuate: bool, endpoints: bool
) -> dict[str, Any]:
    """`Results`. `speech_final` where silence ended the utterance or the client asked for what was said."""
    body: dict[str, Any] = {
        "type": "Results",
        "channel_index": [0, 1],
        "duration": round(max(0.0, heard.end - heard.start), 3),
        "start": round(heard.start, 3),
        "is_final": heard.is_final,
        "speech_final": heard.is_final and endpoints and (heard.endpoint or heard.from_finalize),
        "channel": {"alternatives": [alternative(heard, punctuate=punctuate)]},
        "metadata": {
            "request_id": request_id,
            "model_uuid": model.model_uuid,
            "model_info": model.info(),
        },
        "from_finalize": heard.from_finalize,
    }
    return body


def metadata(
    request_id: str,
    sha256: str,
    created: datetime,
    seconds: float,
    model: Model,
    warnings: Sequence[Unhonoured],
    extra: Mapping[str, str],
    *,
    channels: int = 1,
) -> dict[str, Any]:
    """`metadata` of an answer, and the last message of a stream."""
    body: dict[str, Any] = {
        "transaction_key": "deprecated",
        "request_id": request_id,
        "sha256": sha256,
        "created": created.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "duration": round(seconds, 3),
        "channels": channels,
        "models": [model.model_uuid],
        "model_info": {model.model_uuid: model.info()},
    }
    if warnings:
        body["warnings"] = [warning.body() for warning in warnings]
    if extra:
        body["extra"] = dict(extra)
    return body


def paragraphs(utterances: Sequence[Heard]) -> dict[str, Any]:
    """`paragraphs`: utterances with no longer pause between them, each a sentence."""
    groups: list[list[Heard]] = []
    for heard in utterances:
        if groups and heard.start - groups[-1][-1].end < _PARAGRAPH_PAUSE:
            groups[-1].append(heard)
        else:
            groups.append([heard])
    found = [
        {
            "sentences": [
                {"text": heard.text, "start": round(heard.start, 3), "end": round(heard.end, 3)}
                for heard in group
            ],
            "num_words": sum(len(heard.words) for heard in group),
            "start": round(group[0].start, 3),
            "end": round(group[-1].end, 3),
        }
        for group in groups
    ]
    text = "\n\n".join(" ".join(heard.text for heard in group) for group in groups)
    return {"transcript": f"\n{text}" if text else "", "paragraphs": found}


def utterances(
    spoken: Sequence[Heard], split: float, *, punctuate: bool, new_id: Callable[[], str]
) -> list[dict[str, Any]]:
    """`utterances[]`: what has no longer pause than `split` seconds in it is one."""
    groups: list[list[Heard]] = []
    for heard in spoken:
        if groups and heard.start - groups[-1][-1].end < split:
            groups[-1].append(heard)
        else:
            groups.append([heard])
    return [_utterance(group, punctuate=punctuate, name=new_id()) for group in groups]


def _utterance(group: Sequence[Heard], *, punctuate: bool, name: str) -> dict[str, Any]:
    text = " ".join(heard.text for heard in group)
    letters = sum(len(heard.text) for heard in group) or 1
    return {
        "start": round(group[0].start, 3),
        "end": round(group[-1].end, 3),
        "confidence": round(sum(heard.confidence * len(heard.text) for heard in group) / letters, 4),
        "channel": 0,
        "transcript": written(text, punctuate=punctuate),
        "words": words([word for heard in group for word in heard.words], punctuate=punctuate),
        "id": name,
    }
