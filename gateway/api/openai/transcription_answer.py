"""What was heard, in each of OpenAI's formats."""

from __future__ import annotations

import math
import zlib
from typing import Any

from gateway.api.core.listening import Heard
from gateway.api.openai.names import language_name
from gateway.api.openai.subtitles import cues, srt, vtt
from gateway.api.openai.transcription_request import TranscriptionAsk
from gateway.batch.recordings import FileHeard

_MEDIA_TYPES = {"text": "text/plain; charset=utf-8", "srt": "application/x-subrip", "vtt": "text/vtt"}
_LEAST = 1e-6


def plain_answer(heard: FileHeard, ask: TranscriptionAsk) -> tuple[str, str]:
    """Body and media type of the formats that are not JSON."""
    recording = heard.channels[0]
    if ask.response_format == "text":
        return recording.text + "\n", _MEDIA_TYPES["text"]
    found = list(cues(recording.utterances))
    return (srt(found) if ask.response_format == "srt" else vtt(found)), _MEDIA_TYPES[ask.response_format]


def json_answer(heard: FileHeard, ask: TranscriptionAsk) -> dict[str, Any]:
    """The body of the JSON formats."""
    recording = heard.channels[0]
    body: dict[str, Any] = {"text": recording.text}
    if ask.response_format == "verbose_json":
        body = {
            "task": "transcribe",
            "language": language_name(ask.language),
            "duration": round(heard.seconds, 3),
            **body,
        }
        if ask.words:
            body["words"] = [
                {"word": word.text, "start": round(word.start, 3), "end": round(word.end, 3)}
                for word in recording.words
            ]
        if ask.segments:
            body["segments"] = [_segment(number, said) for number, said in enumerate(recording.utterances)]
    body["usage"] = usage(heard)
    if ask.not_honoured:
        body["warnings"] = list(ask.not_honoured)
    return body


def usage(heard: FileHeard) -> dict[str, Any]:
    """Seconds of sound, begun ones counted whole."""
    return {"type": "duration", "seconds": math.ceil(heard.seconds)}


def _segment(number: int, said: Heard) -> dict[str, Any]:
    """One utterance. Our recognisers give one confidence, no tokens and no probability of silence."""
    octets = said.text.encode()
    return {
        "id": number,
        "seek": round(said.start * 100),
        "start": round(said.start, 3),
        "end": round(said.end, 3),
        "text": said.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": round(math.log(max(said.confidence, _LEAST)), 4),
        "compression_ratio": round(len(octets) / len(zlib.compress(octets)), 4),
        "no_speech_prob": 0.0,
    }
