"""The messages of Twilio's Media Streams, made and read; pure.

twilio.com/docs/voice/media-streams/websocket-messages. Everything is JSON text; numbers travel as strings;
sound is base64 of mu-law at 8 kHz without a header.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

LONGEST_NAME = 256
"""Characters of a mark's name."""


@dataclass(frozen=True, slots=True)
class Stream:
    """What a stream's `start` tells."""

    stream_sid: str
    account_sid: str
    call_sid: str
    tracks: Sequence[str] = ("inbound",)
    parameters: Mapping[str, str] = field(default_factory=dict)
    """`customParameters`: the `<Parameter>` children of TwiML's `<Stream>`."""


class StreamWriter:
    """Our side of one stream: numbers the messages and the chunks of each track."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._sequence = 0
        self._chunks = dict.fromkeys(stream.tracks, 0)

    def connected(self) -> str:
        """The first message; it carries no number."""
        return _text({"event": "connected", "protocol": "Call", "version": "1.0.0"})

    def start(self) -> str:
        """The second message: clients that tell dialects apart look at just these two."""
        stream = self._stream
        return self._numbered(
            "start",
            {
                "streamSid": stream.stream_sid,
                "accountSid": stream.account_sid,
                "callSid": stream.call_sid,
                "tracks": list(stream.tracks),
                "customParameters": dict(stream.parameters),
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            },
        )

    def media(self, track: str, octets: bytes, milliseconds: int) -> str:
        """Sound of one track; `milliseconds` since the stream began."""
        self._chunks[track] += 1
        return self._numbered(
            "media",
            {
                "track": track,
                "chunk": str(self._chunks[track]),
                "timestamp": str(milliseconds),
                "payload": base64.b64encode(octets).decode("ascii"),
            },
        )

    def dtmf(self, digit: str) -> str:
        """The caller pressed a key."""
        return self._numbered("dtmf", {"track": "inbound_track", "digit": digit})

    def mark(self, name: str) -> str:
        """All sound before the app's mark of this name was heard, or cleared."""
        return self._numbered("mark", {"name": name})

    def stop(self) -> str:
        """The last message."""
        return self._numbered(
            "stop", {"accountSid": self._stream.account_sid, "callSid": self._stream.call_sid}
        )

    def _numbered(self, event: str, body: dict[str, Any]) -> str:
        self._sequence += 1
        return _text(
            {
                "event": event,
                "sequenceNumber": str(self._sequence),
                event: body,
                "streamSid": self._stream.stream_sid,
            }
        )


@dataclass(frozen=True, slots=True)
class Play:
    """The app's sound: mu-law, any number of samples."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """Tell this name once all sound before it was heard."""

    name: str


@dataclass(frozen=True, slots=True)
class Clear:
    """Fall silent at once."""


AppMessage: TypeAlias = Play | Mark | Clear


class Malformed(ValueError):
    """A message that is not one of this protocol; Twilio's error 31924. Holds nothing of what was sent."""


def read_message(text: str | bytes, stream_sid: str) -> AppMessage:
    """What an app sent on the stream of this `stream_sid`. Raises `Malformed`."""
    message = _object(text)
    event = message.get("event")
    if event not in ("media", "mark", "clear"):
        raise Malformed("an event that apps do not send")
    if message.get("streamSid") != stream_sid:
        raise Malformed("a streamSid that is not this stream's")
    if event == "clear":
        return Clear()
    body = message.get(event)
    if not isinstance(body, dict):
        raise Malformed(f"a {event} without its object")
    return _sound(body.get("payload")) if event == "media" else _mark(body.get("name"))


def _object(text: str | bytes) -> dict[str, Any]:
    if isinstance(text, bytes):
        raise Malformed("a binary message")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise Malformed("no JSON") from None
    if not isinstance(message, dict):
        raise Malformed("no JSON object")
    return message


def _sound(payload: object) -> Play:
    if not isinstance(payload, str):
        raise Malformed("a media without a payload")
    try:
        return Play(base64.b64decode(payload, validate=True))
    except (binascii.Error, ValueError):
        raise Malformed("a payload that is not base64") from None


def _mark(name: object) -> Mark:
    if not isinstance(name, str) or len(name) > LONGEST_NAME:
        raise Malformed(f"a mark without a name of at most {LONGEST_NAME} characters")
    return Mark(name)


def _text(message: dict[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False)
