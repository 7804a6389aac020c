"""The events of OpenAI's Realtime WebSocket, made and read; pure. The names are those of its GA form.

platform.openai.com/docs/api-reference/realtime-client-events and realtime-server-events; of the server's only
what a call needs. Names of the beta that some endpoints still speak are understood as well.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from gateway.agents.realtime_settings import RealtimeSettings
from gateway.agents.sound_wire import WireFormat

Event: TypeAlias = dict[str, Any]


# ------------------------------------------------------------------------------------------- what we send


def session_update(
    settings: RealtimeSettings, wire: WireFormat, tools: Sequence[Mapping[str, Any]], event_id: str
) -> Event:
    """How the conversation shall be held."""
    sound: Event = {"type": str(wire), **({"rate": wire.rate} if wire is WireFormat.PCM else {})}
    heard: Event = {"format": sound, "turn_detection": _turn_detection(settings)}
    if settings.transcription_model:
        language = {"language": settings.language} if settings.language else {}
        heard["transcription"] = {"model": settings.transcription_model, **language}
    spoken: Event = {"format": sound, **({"voice": settings.voice} if settings.voice else {})}
    session: Event = {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": settings.instructions,
        "max_output_tokens": settings.max_output_tokens,
        "audio": {"input": heard, "output": spoken},
    }
    if tools:
        session |= {"tools": [{"type": "function", **tool} for tool in tools], "tool_choice": "auto"}
    return {"type": "session.update", "event_id": event_id, "session": session}


def _turn_detection(settings: RealtimeSettings) -> Event | None:
    if settings.turn_detection == "ours":
        return None
    told: Event = {
        "type": settings.turn_detection,
        "create_response": True,
        "interrupt_response": settings.interruptible,
    }
    if settings.turn_detection == "server_vad":
        told["silence_duration_ms"] = settings.silence_ms
    return told


def append(octets: bytes) -> Event:
    """More of the caller's sound."""
    return {"type": "input_audio_buffer.append", "audio": base64.b64encode(octets).decode("ascii")}


def commit() -> Event:
    """The caller has finished."""
    return {"type": "input_audio_buffer.commit"}


def respond(instructions: str = "") -> Event:
    """Speak now; with `instructions` for this once."""
    return {
        "type": "response.create",
        **({"response": {"instructions": instructions}} if instructions else {}),
    }


def aside(text: str, event_id: str) -> Event:
    """Say this word for word, outside of the conversation: the model knows nothing of it afterwards."""
    said: Event = {
        "conversation": "none",
        "input": [],
        "tool_choice": "none",
        "instructions": f"Say exactly the following, and nothing else: {text}",
    }
    return {"type": "response.create", "event_id": event_id, "response": said}


def cancel(response_id: str) -> Event:
    """Stop making this response."""
    return {"type": "response.cancel", "response_id": response_id}


def truncate(item_id: str, content_index: int, milliseconds: int) -> Event:
    """Of this item's sound the caller heard so much."""
    return {
        "type": "conversation.item.truncate",
        "item_id": item_id,
        "content_index": content_index,
        "audio_end_ms": milliseconds,
    }


def message(role: str, text: str) -> Event:
    """Something that was said, as text: `user` or `assistant`."""
    kind = "input_text" if role == "user" else "output_text"
    item = {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}
    return {"type": "conversation.item.create", "item": item}


def tool_output(call_id: str, output: str) -> Event:
    """What came of a tool that the model asked for."""
    item = {"type": "function_call_output", "call_id": call_id, "output": output}
    return {"type": "conversation.item.create", "item": item}


# ---------------------------------------------------------------------------------------- what we are sent


@dataclass(frozen=True, slots=True)
class SessionTold:
    """`session.created` (before our update) or `session.updated`, with the formats that hold now."""

    updated: bool
    input: str
    output: str


@dataclass(frozen=True, slots=True)
class CallerBegan:
    """The endpoint hears the caller speak."""


@dataclass(frozen=True, slots=True)
class CallerCommitted:
    """A stretch of the caller became an item: his turn is over."""

    item_id: str


@dataclass(frozen=True, slots=True)
class CallerWords:
    """The words of such an item."""

    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class ResponseBegan:
    response_id: str


@dataclass(frozen=True, slots=True)
class ResponseOver:
    """`status`: completed, cancelled, failed, incomplete; `code` of an error, where one is told."""

    response_id: str
    status: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class SoundPiece:
    """The model's sound."""

    response_id: str
    item_id: str
    content_index: int
    octets: bytes


@dataclass(frozen=True, slots=True)
class SoundWords:
    """More of the words of an item's sound."""

    response_id: str
    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class ToolAsked:
    """The model wants a tool used; told twice by some endpoints."""

    response_id: str
    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """An `error`; its message is left out, since it may quote what was said."""

    code: str
    event_id: str
    param: str


@dataclass(frozen=True, slots=True)
class Other:
    """An event that a call does not need."""


ServerEvent: TypeAlias = (
    SessionTold
    | CallerBegan
    | CallerCommitted
    | CallerWords
    | ResponseBegan
    | ResponseOver
    | SoundPiece
    | SoundWords
    | ToolAsked
    | Trouble
    | Other
)


class Malformed(ValueError):
    """A message that is no event, or lacks what its type promises. Holds nothing of what was sent."""


def read_event(text: str | bytes) -> ServerEvent:
    """What the endpoint sent. Raises `Malformed`."""
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        raise Malformed("no JSON") from None
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise Malformed("no JSON object with a type")
    match event["type"]:
        case "session.created" | "session.updated" as kind:
            return _session(event, updated=kind == "session.updated")
        case "input_audio_buffer.speech_started":
            return CallerBegan()
        case "input_audio_buffer.committed":
            return CallerCommitted(_text(event, "item_id"))
        case "conversation.item.input_audio_transcription.completed":
            return CallerWords(_text(event, "item_id"), _text(event, "transcript"))
        case "response.created":
            return ResponseBegan(_text(_part(event, "response"), "id"))
        case "response.done":
            return _over(_part(event, "response"))
        case "response.output_audio.delta" | "response.audio.delta":
            return _sound(event)
        case "response.output_audio_transcript.delta" | "response.audio_transcript.delta":
            return SoundWords(_text(event, "response_id"), _text(event, "item_id"), _text(event, "delta"))
        case "response.function_call_arguments.done" if isinstance(event.get("name"), str):
            return _tool(event, event)
        case "response.output_item.done" if _part(event, "item").get("type") == "function_call":
            return _tool(event, _part(event, "item"))
        case "error":
            error = _part(event, "error")
            told = (error.get(name) for name in ("code", "event_id", "param"))
            code, event_id, param = (one if isinstance(one, str) else "" for one in told)
            return Trouble(code or str(error.get("type", ""))[:64], event_id, param)
        case _:
            return Other()


def _session(event: Event, *, updated: bool) -> SessionTold:
    session = _part(event, "session")
    found = []
    for side, beta in (("input", "input_audio_format"), ("output", "output_audio_format")):
        told: Any = session.get("audio")
        for name in (side, "format", "type"):
            told = told.get(name) if isinstance(told, dict) else None
        told = told if told is not None else _BETA.get(str(session.get(beta)), "")
        found.append(told if isinstance(told, str) else "")
    return SessionTold(updated, *found)


_BETA = {"g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma", "pcm16": "audio/pcm"}


def _over(response: Event) -> ResponseOver:
    told: Any = response.get("status_details")
    for name in ("error", "code"):
        told = told.get(name) if isinstance(told, dict) else None
    return ResponseOver(
        _text(response, "id"), _text(response, "status"), told if isinstance(told, str) else ""
    )


def _sound(event: Event) -> SoundPiece:
    index = event.get("content_index", 0)
    if not isinstance(index, int):
        raise Malformed("a content_index that is no number")
    try:
        octets = base64.b64decode(_text(event, "delta"), validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("sound that is not base64") from None
    return SoundPiece(_text(event, "response_id"), _text(event, "item_id"), index, octets)


def _tool(event: Event, asked: Event) -> ToolAsked:
    return ToolAsked(
        _text(event, "response_id"), _text(asked, "call_id"), _text(asked, "name"), _text(asked, "arguments")
    )


def _part(event: Event, name: str) -> Event:
    part = event.get(name)
    if not isinstance(part, dict):
        raise Malformed(f"an event without its {name}")
    return part


def _text(event: Event, name: str) -> str:
    text = event.get(name)
    if not isinstance(text, str):
        raise Malformed(f"an event without its {name}")
    return text
