"""A drain that has waited long enough: each API's sockets are told so, and closed."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from starlette.testclient import TestClient, WebSocketTestSession

from gateway.api.live_socket import SERVICE_RESTART
from tests.fakes.asr import ScriptedAsr
from tests.fakes.speech_api import speech_api, speech_parts
from tests.fakes.tts import ToneTts

SOCKETS = {
    "deepgram listens": ("/v1/listen?encoding=linear16&sample_rate=8000", 0, "Error"),
    "deepgram speaks": ("/v1/speak?encoding=linear16&sample_rate=8000", 1, "Warning"),
    "smallest listens": ("/waves/v1/stt/live?model=pulse&language=en&sample_rate=8000", 0, "error"),
    "smallest speaks": ("/waves/v1/tts/live", 0, "error"),
    "openai listens": ("/v1/realtime?intent=transcription", 1, "error"),
}
"""Address, messages that come of themselves at the beginning, and the kind of message that tells an error."""


@pytest.mark.parametrize("name", SOCKETS)
def test_a_socket_that_a_drain_cuts_is_told_and_may_come_again(name: str) -> None:
    address, greetings, kind = SOCKETS[name]
    parts = speech_parts(asr=ScriptedAsr([], takes=0.0), tts=ToneTts(takes=0.0))
    with TestClient(speech_api(parts)) as client, client.websocket_connect(address) as socket:
        for _ in range(greetings):
            socket.receive_json()
        assert parts.door.taken == 1 and client.portal is not None
        began = time.monotonic()
        assert client.portal.call(parts.door.cut, 5.0) == 1
        assert time.monotonic() - began < 2.0 and parts.door.taken == 0
        told, code = _rest(socket)
    assert code == SERVICE_RESTART
    assert [message.get("type") or message.get("status") for message in told] == [kind]
    assert "shutting down" in json.dumps(told)
    assert not +parts.active


def test_nobody_is_cut_who_has_left() -> None:
    parts = speech_parts()
    with TestClient(speech_api(parts)) as client:
        with client.websocket_connect(SOCKETS["deepgram listens"][0]) as socket:
            socket.send_json({"type": "CloseStream"})
            assert _rest(socket)[1] == 1000
        assert client.portal is not None and client.portal.call(parts.door.cut, 5.0) == 0


def _rest(socket: WebSocketTestSession) -> tuple[list[dict[str, Any]], int]:
    """Every message to the end, and the close code."""
    told: list[dict[str, Any]] = []
    while (message := socket.receive())["type"] != "websocket.close":
        told.append(json.loads(message["text"]))
    return told, int(message["code"])
