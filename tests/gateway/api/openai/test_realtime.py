"""The realtime socket with a scripted recogniser."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient, WebSocketDenialResponse, WebSocketTestSession

from engines.base import Asr, AsrOptions, AsrStream, EngineBusy
from gateway.api.core.door import Door
from gateway.api.core.speech_parts import SpeechParts
from gateway.api.openai.routes import add_routes
from gateway.keys.limits import MemoryLimits
from media.frame import Pcm
from media.g711 import to_ulaw
from media.resample import resample
from tests.fakes.asr import ScriptedAsr
from tests.fakes.tts import ToneTts
from tests.fakes.voices import bench
from tests.gateway.api.openai.serving import SAYS, SOUND, wall

WIDE = resample(SOUND, 16000, 24000)
MANUAL = {"type": "transcription", "audio": {"input": {"turn_detection": None}}}


@contextmanager
def socket(
    asr: Asr | None = None, query: str = "intent=transcription", places: int = 5
) -> Iterator[WebSocketTestSession]:
    parts = SpeechParts(
        asr=asr or ScriptedAsr(SAYS, takes=0.0),
        tts=ToneTts(),
        door=Door(None, MemoryLimits(time.monotonic), wall, places=places),
        bench=bench(),
        wall=wall,
        new_id=iter(map(str, range(1, 999))).__next__,
    )
    api = FastAPI()
    add_routes(api, parts)
    with TestClient(api) as client, client.websocket_connect(f"/v1/realtime?{query}") as opened:
        yield opened
    assert parts.door.taken == 0


def append(opened: WebSocketTestSession, sound: bytes, size: int = 9600) -> None:
    for place in range(0, len(sound), size):
        audio = base64.b64encode(sound[place : place + size]).decode()
        opened.send_json({"type": "input_audio_buffer.append", "audio": audio})


def until(opened: WebSocketTestSession, kind: str) -> list[dict[str, Any]]:
    """Events up to the next of this kind."""
    found: list[dict[str, Any]] = []
    while not found or not found[-1]["type"].endswith(kind):
        found.append(opened.receive_json())
    return found


def octets(sound: Pcm) -> bytes:
    return np.ascontiguousarray(sound, "<i2").tobytes()


def test_the_server_speaks_first_and_turns_end_by_silence() -> None:
    with socket() as opened:
        first = opened.receive_json()
        assert first["type"] == "session.created" and first["session"]["type"] == "transcription"
        append(opened, octets(WIDE), 9601)
        said = [until(opened, "completed")[-1]["transcript"] for _ in SAYS]
        assert said == ["Hello there.", "Stop & go."]


def test_every_event_has_its_own_number() -> None:
    with socket() as opened:
        append(opened, octets(WIDE))
        events = until(opened, "completed")
        assert len({event["event_id"] for event in events}) == len(events)
        by_kind = {event["type"].rpartition(".")[2]: event for event in events}
        assert list(by_kind) == [
            "created", "speech_started", "delta", "speech_stopped", "committed", "added", "done", "completed",
        ]  # fmt: skip
        assert by_kind["speech_started"]["audio_start_ms"] == pytest.approx(500, abs=60)
        assert by_kind["speech_stopped"]["audio_end_ms"] == pytest.approx(1500, abs=60)


def test_turns_that_the_client_commits() -> None:
    with socket() as opened:
        opened.send_json({"type": "session.update", "session": MANUAL})
        assert until(opened, "session.updated")[-1]["session"]["audio"]["input"]["turn_detection"] is None
        append(opened, octets(WIDE))
        opened.send_json({"type": "input_audio_buffer.commit"})
        events = until(opened, "completed")
        assert events[-1]["transcript"] == "Hello there. Stop & go."
        assert events[-1]["usage"]["seconds"] == pytest.approx(5.0, abs=0.01)
        assert not any("speech_started" in event["type"] for event in events)


def test_telephone_sound() -> None:
    with socket() as opened:
        sound = {"format": {"type": "audio/pcmu"}}
        opened.send_json({"type": "session.update", "session": {"audio": {"input": sound}}})
        append(opened, to_ulaw(resample(SOUND, 16000, 8000)), 160)
        assert until(opened, "completed")[-1]["transcript"] == "Hello there."


def test_what_was_cleared_is_not_heard() -> None:
    with socket() as opened:
        opened.send_json({"type": "session.update", "session": MANUAL})
        append(opened, octets(WIDE[: 2 * 24000]))
        opened.send_json({"type": "input_audio_buffer.clear"})
        until(opened, "cleared")
        opened.send_json({"type": "input_audio_buffer.commit", "event_id": "mine"})
        error = until(opened, "error")[-1]["error"]
        assert "100 ms" in error["message"] and error["event_id"] == "mine"


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"type": "input_audio_buffer.append", "audio": "%%%"}, "audio"),
        ({"type": "input_audio_buffer.append", "audio": 7}, "audio"),
        ({"type": "input_audio_buffer.append"}, "audio"),
        ({"type": "input_audio_buffer.commit"}, "input_audio_buffer"),
        ({"type": "response.create"}, "type"),
        ({}, "type"),
        ({"type": "session.update"}, "session"),
        ({"type": "session.update", "session": {"type": "realtime"}}, "session.type"),
    ],
)
def test_mistakes_are_told_and_change_nothing(message: dict[str, Any], param: str) -> None:
    with socket() as opened:
        opened.send_json({**message, "event_id": "evt"})
        error = until(opened, "error")[-1]["error"]
        assert (error["param"], error["event_id"], error["type"]) == (param, "evt", "invalid_request_error")
        append(opened, octets(WIDE))
        assert until(opened, "completed")[-1]["transcript"] == "Hello there."


def test_messages_that_are_none() -> None:
    with socket() as opened:
        for text in ("", "{", "[]", "null", "[" * 100_000):
            opened.send_text(text)
            assert until(opened, "error")[-1]["error"]["type"] == "invalid_request_error"
        opened.send_bytes(b"\x00" * 320)
        assert until(opened, "error")[-1]["error"]["type"] == "invalid_request_error"


def test_a_recogniser_without_room() -> None:
    class Full(ScriptedAsr):
        def stream(self, options: AsrOptions) -> AsrStream:
            raise EngineBusy("all streams are in use")

    with socket(Full([])) as opened:
        append(opened, octets(WIDE[:2400]))
        assert until(opened, "error")[-1]["error"]["code"] == "engine_busy"


@pytest.mark.parametrize(
    ("query", "places", "status"), [("model=gpt-realtime", 5, 400), ("intent=transcription", 0, 429)]
)
def test_refused_at_the_handshake(query: str, places: int, status: int) -> None:
    with pytest.raises(WebSocketDenialResponse) as refused, socket(query=query, places=places):
        pass
    assert refused.value.status_code == status
    assert "message" in refused.value.json()["error"]
