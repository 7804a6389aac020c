"""Deepgram's half of the answer about a recording."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.api.core.speech_parts import SpeechParts
from gateway.api.core.transcribing import Recording
from gateway.api.deepgram import shape
from gateway.api.deepgram.query import ListenQuery
from gateway.batch.recordings import FileHeard


def deepgram_body(
    found: FileHeard, query: ListenQuery, parts: SpeechParts, named: str, sha256: str
) -> Mapping[str, Any]:
    """`metadata` and `results`; one channel for each that was kept apart."""
    model = shape.Model(parts.asr.name, parts.version)
    results: dict[str, Any] = {
        "channels": [{"alternatives": [_best(channel, query)]} for channel in found.channels]
    }
    if query.utterances:
        results["utterances"] = [
            {**utterance, "channel": number}
            for number, channel in enumerate(found.channels)
            for utterance in shape.utterances(
                channel.utterances, query.utt_split, punctuate=query.punctuate, new_id=parts.new_id
            )
        ]
    metadata = shape.metadata(
        named,
        sha256,
        parts.wall(),
        found.seconds,
        model,
        query.warnings,
        query.extra,
        channels=len(found.channels),
    )
    return {"metadata": metadata, "results": results}


def _best(channel: Recording, query: ListenQuery) -> Mapping[str, Any]:
    best: dict[str, Any] = {
        "transcript": shape.written(channel.text, punctuate=query.punctuate),
        "confidence": round(channel.confidence, 4),
        "words": shape.words(channel.words, punctuate=query.punctuate),
    }
    if query.paragraphs:
        best["paragraphs"] = shape.paragraphs(channel.utterances)
    return best
