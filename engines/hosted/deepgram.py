"""Deepgram's streaming messages, read and written: `/v1/listen` and `/v1/speak` (developers.deepgram.com).

Pure: no connection, no clock. What is missing or of another type in a message reads as its default; what is
no message at all is None.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from engines.base import Word
from engines.hosted.standing import parsed

KEEP_ALIVE = json.dumps({"type": "KeepAlive"})
FINALIZE = json.dumps({"type": "Finalize"})
CLOSE_STREAM = json.dumps({"type": "CloseStream"})
FLUSH = json.dumps({"type": "Flush"})
CLOSE = json.dumps({"type": "Close"})


def speak(text: str) -> str:
    """A piece of text for `/v1/speak`."""
    return json.dumps({"type": "Speak", "text": text})


@dataclass(frozen=True, slots=True)
class Results:
    """What was heard in a stretch of the connection's sound."""

    start: float
    """Seconds of sound on this connection before the stretch."""
    duration: float
    """Seconds of the stretch."""
    text: str
    confidence: float
    words: tuple[Word, ...]
    """Their times count from the connection's first sample."""
    is_final: bool
    from_finalize: bool
    """Answers a `Finalize`: everything before it is settled."""

    @property
    def end(self) -> float:
        """Seconds of sound that are covered."""
        return self.start + self.duration


@dataclass(frozen=True, slots=True)
class Notice:
    """Any other message."""

    kind: str
    """Its `type`, such as `Metadata`, `Flushed`, `Warning`, `Error`."""
    detail: str


def read(text: str | bytes) -> Results | Notice | None:
    """One message, or None for what is no message of theirs."""
    told = parsed(text)
    if told is None or not isinstance(told.get("type"), str):
        return None
    if told["type"] != "Results":
        said = told.get("description") or told.get("message") or told.get("warn_msg") or ""
        return Notice(str(told["type"])[:40], " ".join(str(said).split())[:200])
    heard = _first(_object(told.get("channel")).get("alternatives"))
    words = [word for word in _list(heard.get("words")) if isinstance(word, dict)]
    return Results(
        start=_number(told.get("start")),
        duration=_number(told.get("duration")),
        text=str(heard.get("transcript") or "").strip(),
        confidence=min(_number(heard.get("confidence")), 1.0),
        words=tuple(_word(word) for word in words),
        is_final=told.get("is_final") is True,
        from_finalize=told.get("from_finalize") is True,
    )


def address(base: str, path: str, query: list[tuple[str, str]]) -> str:
    """The WebSocket's URL; `http` becomes `ws`, a path in the base stays before ours."""
    parts = urlsplit(base)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + path, urlencode(query), ""))


def headers(key: str) -> dict[str, str]:
    """How we show ourselves."""
    return {"Authorization": f"Token {key}"} if key else {}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _first(value: Any) -> dict[str, Any]:
    return _object(next(iter(_list(value)), None))


def _number(value: Any) -> float:
    """A finite number that is not negative, else 0."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9
    return float(value) if good else 0.0


def _word(told: dict[str, Any]) -> Word:
    text = str(told.get("punctuated_word") or told.get("word") or "")
    return Word(text, _number(told.get("start")), _number(told.get("end")), _number(told.get("confidence")))
