from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.agents.realtime_events import (
    CallerBegan,
    CallerCommitted,
    CallerWords,
    Malformed,
    Other,
    ResponseBegan,
    ResponseOver,
    SessionTold,
    SoundPiece,
    SoundWords,
    ToolAsked,
    Trouble,
    append,
    cancel,
    commit,
    message,
    read_event,
    respond,
    session_update,
    tool_output,
    truncate,
)
from gateway.agents.realtime_settings import RealtimeSettings
from gateway.agents.sound_wire import WireFormat
from tests.fakes.realtime_endpoint import CLIENT, SERVER, checked

GOLDEN = Path(__file__).resolve().parents[2] / "data/realtime/to_endpoint.jsonl"
CHOSEN = RealtimeSettings(
    instructions="Be brief.",
    voice="marin",
    max_output_tokens=200,
    transcription_model="whisper-1",
    language="de",
)
HANG_UP = {
    "name": "hang_up",
    "description": "End the call.",
    "parameters": {"type": "object", "properties": {}},
}


def test_what_an_endpoint_is_sent_is_as_written_down_and_as_the_openai_client_has_it() -> None:
    quiet = replace(CHOSEN, transcription_model="")
    meaning = replace(quiet, turn_detection="semantic_vad", interruptible=False)
    sent = [
        session_update(CHOSEN, WireFormat.PCMU, [HANG_UP], "e1"),
        session_update(replace(quiet, turn_detection="ours"), WireFormat.PCM, [], "e2"),
        session_update(meaning, WireFormat.PCMA, [], "e3"),
        append(b"\xff\xff~~"),
        commit(),
        respond(),
        respond("Say hello."),
        cancel("resp_1"),
        truncate("item_1", 0, 1234),
        message("user", "(pressed 1 2)"),
        message("assistant", "Hello."),
        tool_output("call_1", "done"),
    ]
    assert sent == [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]
    for event in sent:
        checked(CLIENT, event)


PLACE = {"response_id": "r", "item_id": "i", "output_index": 0}
ERROR = {"type": "server_error", "message": "m", "code": "c", "event_id": "x", "param": "session"}
TOOL = {"call_id": "c", "name": "n", "arguments": "{}"}
GOOD: list[tuple[dict[str, Any], Any]] = [
    ({"type": "session.created", "session": {"type": "realtime"}}, SessionTold(False, "", "")),
    ({"type": "input_audio_buffer.speech_started", "audio_start_ms": 1, "item_id": "i"}, CallerBegan()),
    ({"type": "input_audio_buffer.committed", "item_id": "i", "previous_item_id": None},
     CallerCommitted("i")),
    ({"type": "conversation.item.input_audio_transcription.completed", "item_id": "i", "content_index": 0,
      "transcript": "hi", "usage": {"type": "duration", "seconds": 1.0}}, CallerWords("i", "hi")),
    ({"type": "response.created", "response": {"id": "r"}}, ResponseBegan("r")),
    ({"type": "response.done", "response": {"id": "r", "status": "failed", "status_details": {
        "type": "failed", "error": {"type": "server_error", "code": "busy"}}}},
     ResponseOver("r", "failed", "busy")),
    ({"type": "response.output_audio.delta", **PLACE, "content_index": 1, "delta": "/w=="},
     SoundPiece("r", "i", 1, b"\xff")),
    ({"type": "response.output_audio_transcript.delta", **PLACE, "content_index": 0, "delta": "hi"},
     SoundWords("r", "i", "hi")),
    ({"type": "response.function_call_arguments.done", **PLACE, **TOOL}, ToolAsked("r", "c", "n", "{}")),
    ({"type": "response.output_item.done", "response_id": "r", "output_index": 0,
      "item": {"type": "function_call", **TOOL}}, ToolAsked("r", "c", "n", "{}")),
    ({"type": "error", "error": ERROR}, Trouble("c", "x", "session")),
    ({"type": "input_audio_buffer.cleared"}, Other()),
    ({"type": "response.output_audio.done", **PLACE, "content_index": 0}, Other()),
]  # fmt: skip


@pytest.mark.parametrize(("event", "read"), GOOD, ids=[event["type"] for event, _ in GOOD])
def test_what_an_endpoint_sends(event: dict[str, Any], read: Any) -> None:
    numbered = {"event_id": "e", **event}
    checked(SERVER, numbered)
    assert read_event(json.dumps(numbered)) == read


def test_formats_and_names_of_the_beta_are_understood() -> None:
    session = {
        "type": "session.updated",
        "session": {"input_audio_format": "g711_ulaw", "output_audio_format": "pcm16"},
    }
    assert read_event(json.dumps(session)) == SessionTold(True, "audio/pcmu", "audio/pcm")
    delta = {"type": "response.audio.delta", **PLACE, "delta": "/w=="}
    assert read_event(json.dumps(delta)) == SoundPiece("r", "i", 0, b"\xff")


@pytest.mark.parametrize(
    "text", ["", "7", "[]", "{}", '{"type": 1}', '{"type": "response.done"}', '{"type": "error", "error": 1}',
             '{"type": "response.created", "response": {}}', b"\xff\x00", "[" * 100_000,
             '{"type": "response.output_audio.delta", "response_id": "r", "item_id": "i", "delta": "?"}'],
)  # fmt: skip
def test_what_is_no_event(text: str | bytes) -> None:
    with pytest.raises(Malformed):
        read_event(text)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(GOOD), st.dictionaries(st.sampled_from([
    "type", "session", "response", "item", "item_id", "delta", "error", "transcript", "name", "content_index",
]), ANY, max_size=3))  # fmt: skip
def test_an_event_with_anything_in_its_fields_is_read_or_malformed(
    good: Any, changes: dict[str, Any]
) -> None:
    try:
        read_event(json.dumps({**good[0], **changes}))
    except Malformed as malformed:
        assert str(malformed)
