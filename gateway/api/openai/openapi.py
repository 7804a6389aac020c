"""What the framework cannot tell by itself about OpenAI's routes, for the API's description."""

from __future__ import annotations

from typing import Any

from gateway.api.openai.speech_request import FORMATS as SPEECH_FORMATS
from gateway.api.openai.speech_request import MOST_LETTERS
from gateway.api.openai.transcription_request import FORMATS

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_STATUSES = {
    "400": "Something in the request is wrong; `param` names it.",
    "401": "No key, or one that is not known.",
    "403": "The key may not be used for this.",
    "404": "There is no such model.",
    "408": "The body stopped coming.",
    "413": "The file is too large or too long.",
    "415": "Not a file of sound that is read here.",
    "429": "More requests than the key or the node takes.",
    "500": "Our own fault.",
    "502": "The engine broke.",
    "503": "The engine is full; try again after `Retry-After` seconds.",
    "504": "The engine did not answer.",
}
ERRORS: dict[str, Any] = {
    status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}
    for status, text in _STATUSES.items()
}
"""Every error of OpenAI's routes."""

_TEXT = {"type": "string"}
TRANSCRIPTION: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "model"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "model": _TEXT,
                        "language": _TEXT,
                        "prompt": _TEXT,
                        "response_format": {"type": "string", "enum": list(FORMATS), "default": "json"},
                        "temperature": {"type": "number", "minimum": 0, "maximum": 1, "default": 0},
                        "timestamp_granularities[]": {
                            "type": "array",
                            "items": {"type": "string", "enum": ["word", "segment"]},
                        },
                        "keywords[]": {"type": "array", "items": _TEXT},
                        "chunking_strategy": _TEXT,
                        "stream": {"type": "boolean", "default": False},
                    },
                }
            }
        },
    },
    "responses": {
        "200": {
            "description": "The words.",
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["text"],
                        "properties": {
                            "text": _TEXT,
                            "warnings": {
                                "type": "array",
                                "items": _TEXT,
                                "description": "What was asked for and makes no difference, and why.",
                            },
                        },
                    }
                },
                "text/plain": {"schema": _TEXT},
                "application/x-subrip": {"schema": _TEXT},
                "text/vtt": {"schema": _TEXT},
                "text/event-stream": {"schema": _TEXT},
            },
        },
        **ERRORS,
    },
}
_SOUNDS = (*sorted({one.media_type for one in SPEECH_FORMATS.values()}), "text/event-stream")
SPEECH: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["input", "model", "voice"],
                    "additionalProperties": False,
                    "properties": {
                        "input": {"type": "string", "minLength": 1, "maxLength": MOST_LETTERS},
                        "model": _TEXT,
                        "voice": {
                            "anyOf": [
                                _TEXT,
                                {"type": "object", "required": ["id"], "properties": {"id": _TEXT}},
                            ]
                        },
                        "instructions": _TEXT,
                        "response_format": {"type": "string", "enum": list(SPEECH_FORMATS)},
                        "speed": {"type": "number", "minimum": 0.25, "maximum": 4, "default": 1},
                        "stream_format": {"type": "string", "enum": ["audio", "sse"]},
                    },
                }
            }
        },
    },
    "responses": {
        "200": {
            "description": "The sound.",
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}}
                for kind in (
                    *sorted({one.media_type for one in SPEECH_FORMATS.values()}),
                    "text/event-stream",
                )
            },
        },
        **ERRORS,
    },
}
