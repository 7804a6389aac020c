"""The sockets of both dialects over scripted engines, in real time but short."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse, WebSocketTestSession

from gateway.api.core.speaking import SpeakLimits
from gateway.api.core.speech_parts import SpeechLimits, SpeechParts
from gateway.api.core.watch import NoWatch
from gateway.keys.keyring import Keyring
from tests.fakes.asr import ScriptedAsr
from tests.fakes.speech_api import key_of, speech_api, speech_parts
from tests.fakes.tts import ToneTts
from tests.fakes.voices import sound

SAYS = [(0.5, 1.5, "Hello there."), (3.0, 3.6, "Stop.")]
SOUND = sound([(0.5, 1.5), (3.0, 3.6)], 5.0).tobytes()
LISTEN = "/v1/listen?encoding=linear16&sample_rate=8000"
WAVES = "/waves/v1/stt/live?model=pulse&language=en&sample_rate=8000"
SPEAK = "/v1/speak?encoding=linear16&sample_rate=8000&model=aura-2-thalia-en"


class Client:
    """A client of the whole port; leaves no socket open."""

    def __init__(self, parts: SpeechParts) -> None:
        self.parts = parts
        self.http = TestClient(speech_api(parts))

    @contextmanager
    def websocket_connect(self, address: str, **more: Any) -> Iterator[WebSocketTestSession]:
        with self.http.websocket_connect(address, **more) as socket:
            try:
                yield socket
            finally:
                socket.close()
                until = time.monotonic() + 5
                while self.parts.door.taken and time.monotonic() < until:
                    time.sleep(0.005)
        assert self.parts.door.taken == 0 and not +self.parts.active


@contextmanager
def served(parts: SpeechParts) -> Iterator[Client]:
    made = Client(parts)
    with made.http:
        yield made


@pytest.fixture
def client() -> Iterator[Client]:
    with served(speech_parts(asr=ScriptedAsr(SAYS, takes=0.0), tts=ToneTts(takes=0.0))) as made:
        yield made


def send(socket: WebSocketTestSession, octets: bytes = SOUND, size: int = 3200) -> None:
    for place in range(0, len(octets), size):
        socket.send_bytes(octets[place : place + size])


def rest(socket: WebSocketTestSession) -> tuple[list[dict[str, Any]], int, str]:
    """Every message to the end, the close code and its reason."""
    told: list[dict[str, Any]] = []
    while True:
        message = socket.receive()
        if message["type"] == "websocket.close":
            return told, int(message["code"]), message.get("reason", "")
        told.append(json.loads(message["text"]) if "text" in message else {"octets": len(message["bytes"])})


def test_deepgram_listens_in_its_own_words(client: Client) -> None:
    address = f"{LISTEN}&interim_results=true&vad_events=true&utterance_end_ms=1000&punctuate=true"
    with client.websocket_connect(address) as socket:
        headers: list[tuple[bytes, bytes]] = list(socket.extra_headers or [])
        assert [value for name, value in headers if name == b"dg-request-id" and value]
        socket.send_text('{"type":"KeepAlive"}')
        send(socket)
        socket.send_text('{"type":"Finalize"}')
        socket.send_text('{"type":"CloseStream"}')
        told, code, _ = rest(socket)
    assert code == 1000 and told[-1]["type"] == "Metadata" and told[-1]["duration"] == 5.0
    finals = [message for message in told if message["type"] == "Results" and message["is_final"]]
    assert [f["channel"]["alternatives"][0]["transcript"] for f in finals] == ["Hello there.", "Stop.", ""]
    assert [f["from_finalize"] for f in finals] == [False, False, True]
    for message in finals:  # what LiveKit's plugin fails without
        assert message["metadata"]["request_id"] and "speech_final" in message
        assert isinstance(message["channel"]["alternatives"][0]["words"], list)
    assert [m["last_word_end"] for m in told if m["type"] == "UtteranceEnd"][0] == pytest.approx(1.5, abs=0.1)


def test_deepgram_without_punctuation_is_lower_case(client: Client) -> None:
    with client.websocket_connect(LISTEN) as socket:
        send(socket)
        socket.send_bytes(b"")
        told, code, _ = rest(socket)
    assert code == 1000
    assert [m["channel"]["alternatives"][0]["transcript"] for m in told[:-1]] == ["hello there", "stop"]
    assert not [m for m in told if m["type"] in ("SpeechStarted", "UtteranceEnd")]


@pytest.mark.parametrize(
    "text", ["{", "[]", "[" * 50_000, '{"type":"Dance"}', "sound", '"' + "a" * 70_000 + '"']
)
def test_deepgram_says_what_is_wrong_with_a_message(client: Client, text: str) -> None:
    with client.websocket_connect(LISTEN) as socket:
        socket.send_text(text)
        told, code, reason = rest(socket)
    assert (code, reason) == (1008, "DATA-0000")
    assert told[-1]["type"] == "Error" and told[-1]["variant"] == "SchemaError" and told[-1]["description"]


def test_deepgram_closes_over_sound_that_is_none(client: Client) -> None:
    with client.websocket_connect("/v1/listen") as socket:
        socket.send_bytes(b"this is no file of sound at all")
        told, code, reason = rest(socket)
    assert (code, reason) == (1008, "DATA-0000") and "opens like no file" in told[-1]["description"]


@pytest.mark.parametrize(
    ("address", "status", "named"),
    [
        (f"{LISTEN}&redact=pci", 400, "redact"),
        (f"{LISTEN}&diarize=true", 400, "diarize"),
        (f"{LISTEN}&language=de", 400, "language"),
        (f"{LISTEN}&nonsense=1", 400, "nonsense"),
        ("/v1/listen?encoding=linear16", 400, "sample_rate"),
        ("/v1/listen?encoding=g729&sample_rate=8000", 400, "encoding"),
        (f"{WAVES}&diarize=true", 400, "diarize"),
        ("/waves/v1/stt/live?model=pulse-pro&language=en", 400, "model"),
        (f"{WAVES}&webhook_url=http://a/", 400, "webhook_url"),
        ("/v1/speak?encoding=linear16&sample_rate=11025", 400, "sample_rate"),
        ("/v1/speak?model=aura-2-celeste-es", 400, "language"),
        ("/waves/v1/tts/live?timeout=soon", 400, "timeout"),
    ],
)
def test_what_cannot_be_done_is_refused_at_the_handshake(
    client: Client, address: str, status: int, named: str
) -> None:
    with pytest.raises(WebSocketDenialResponse) as refused, client.websocket_connect(address):
        pass
    assert refused.value.status_code == status and named in refused.value.text


@pytest.mark.parametrize(
    ("address", "field"),
    [(LISTEN, "err_code"), (SPEAK, "err_code"), (WAVES, "message"), ("/waves/v1/tts/live", "message"),
     ("/v1/listen/stream", "code"), ("/v1/speak/stream", "code")],
)  # fmt: skip
def test_a_wrong_key_is_401_at_the_handshake_in_that_apis_shape(
    tmp_path: Path, address: str, field: str
) -> None:
    keyring = Keyring(tmp_path / "keys.json")
    key = key_of(keyring)
    with served(speech_parts(keyring=keyring)) as client:
        for headers in ({}, {"Authorization": "Token wrong"}):
            with (
                pytest.raises(WebSocketDenialResponse) as refused,
                client.websocket_connect(address, headers=headers),
            ):
                pass
            assert refused.value.status_code == 401 and field in refused.value.json()
        with client.websocket_connect(address, headers={"Authorization": f"Token {key}"}):
            pass
        with client.websocket_connect(address, subprotocols=["token", key]) as socket:
            assert socket.accepted_subprotocol == "token"


def test_deepgram_speaks_flushes_clears_and_closes(client: Client) -> None:
    with client.websocket_connect(SPEAK) as socket:
        socket.send_text('{"type":"Speak","text":"One two. Three"}')
        socket.send_text('{"type":"Flush"}')
        told = [socket.receive_json()]
        while True:
            message = socket.receive()
            if "text" in message:
                break
            told.append({"octets": len(message["bytes"])})
        assert told[0]["type"] == "Metadata" and told[0]["model_name"] == "tone"
        assert json.loads(message["text"]) == {"type": "Flushed", "sequence_id": 0}
        assert sum(m.get("octets", 0) for m in told) == 2 * 2400
        socket.send_text('{"type":"Clear"}')
        assert socket.receive_json() == {"type": "Cleared", "sequence_id": 1}
        socket.send_text('{"type":"Speak","text":"Last words"}')
        socket.send_text('{"type":"Close"}')
        told, code, _ = rest(socket)
    assert code == 1000 and sum(m["octets"] for m in told) == 3200


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [('{"type":"Sing"}', 1003, "MESSAGE-0000"), ('{"type":"Speak","text":5}', 1008, "DATA-0000"),
     (json.dumps({"type": "Speak", "text": "a" * 2001}), 1009, "BIG-0000"), ("{", 1008, "DATA-0000")],
)  # fmt: skip
def test_deepgrams_close_codes_of_speech(client: Client, text: str, code: int, reason: str) -> None:
    with client.websocket_connect(SPEAK) as socket:
        socket.send_text(text)
        told, got, why = rest(socket)
    assert (got, why) == (code, reason) and told[-1]["type"] == "Warning"


def test_deepgrams_flush_limit_is_a_warning_and_nothing_breaks() -> None:
    limits = SpeechLimits(speak=SpeakLimits(flushes_per_minute=2))
    with served(speech_parts(tts=ToneTts(takes=0.0), limits=limits)) as client:
        with client.websocket_connect(SPEAK) as socket:
            for _ in range(4):
                socket.send_text('{"type":"Flush"}')
            socket.send_text('{"type":"Close"}')
            told, code, _ = rest(socket)
    kinds = [message["type"] for message in told]
    assert code == 1000 and kinds.count("Flushed") == 2 and kinds.count("Warning") == 2
    assert "2 Flush messages in 60 s" in next(m for m in told if m["type"] == "Warning")["description"]


@pytest.mark.parametrize("address", [WAVES, "/v1/listen/stream?language=en&sample_rate=8000"])
def test_smallest_closes_with_1008_where_there_is_no_place(address: str) -> None:
    with served(speech_parts(asr=ScriptedAsr(SAYS, takes=0.0), limits=SpeechLimits(places=1))) as client:
        with client.websocket_connect(address), client.http.websocket_connect(address) as second:
            told, code, reason = rest(second)
    assert (code, reason) == (1008, "RATE_LIMIT_EXCEEDED")
    assert told[-1]["type"] == "error" and "1 places" in told[-1]["message"]


@pytest.mark.parametrize("address", [WAVES, "/v1/listen/stream?language=en&sample_rate=8000"])
def test_smallest_listens_in_its_own_words(client: Client, address: str) -> None:
    with client.websocket_connect(
        f"{address}&vad_events=true&word_timestamps=true&full_transcript=true"
    ) as socket:
        socket.send_text('{"type":"keepalive"}')
        assert socket.receive_json()["type"] == "pong"
        send(socket)
        socket.send_text('{"type":"finalize"}')
        socket.send_text('{"type":"close_stream"}')
        told, code, _ = rest(socket)
    assert code == 1000
    finals = [m for m in told if m["type"] == "transcription" and m["is_final"]]
    assert [f["transcript"] for f in finals] == ["Hello there.", "Stop.", "", ""]
    assert all(f["transcript"] == f["transcription"] and f["session_id"] for f in finals)
    assert finals[2]["from_finalize"] and finals[-1]["is_last"] and not any(f["is_last"] for f in finals[:-1])
    assert finals[1]["full_transcript"] == "Hello there. Stop." and len(finals[0]["words"]) == 2
    kinds = [m["type"] for m in told if m["type"].startswith("speech")]
    assert kinds == ["speech_started", "speech_ended"] * 2


def audio(message: dict[str, Any]) -> int:
    return len(base64.b64decode(message["data"]["audio"])) if message["status"] == "chunk" else 0


def until_complete(socket: WebSocketTestSession) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    while not told or told[-1]["status"] not in ("complete", "error"):
        told.append(socket.receive_json())
    return told


@pytest.mark.parametrize("address", ["/waves/v1/tts/live", "/v1/speak/stream"])
def test_smallest_speaks_one_message_or_many(client: Client, address: str) -> None:
    base = {"voice_id": "magnus", "model": "lightning_v3.1", "sample_rate": 8000}
    with client.websocket_connect(address) as socket:
        socket.send_json({**base, "text": " "})  # a sign of life makes no sound and no error
        socket.send_json({**base, "text": "One two.", "request_id": "mine", "word_timestamps": True})
        told = until_complete(socket)
        assert sum(map(audio, told)) == 3200 and told[-1]["external_request_id"] == "mine"
        words = [m["data"] for m in told if m["status"] == "word_timestamp"]
        assert [(w["word"], w["start"]) for w in words] == [("One", 0.0), ("two.", 0.1)]
        for text, more in (("Three ", True), ("four", True), ("", False)):
            socket.send_json({**base, "text": text, "continue": more, "context_id": "c-1"})
        told = until_complete(socket)
        assert sum(map(audio, told)) == 3200 and {m.get("context_id") for m in told} == {"c-1"}
        socket.send_json({**base, "text": "Five", "speed": 9})
        assert until_complete(socket)[-1]["status"] == "error"
        socket.send_json({**base, "text": "Six", "output_format": "ulaw"})
        assert sum(map(audio, until_complete(socket))) == 800


def test_what_a_request_makes_use_of_is_told_at_its_end() -> None:
    told: list[tuple[str, str, str, tuple[str, ...]]] = []

    class Noting(NoWatch):
        def ended(
            self, api: str, kind: str, outcome: str, seconds: float, features: Sequence[str] = ()
        ) -> None:
            told.append((api, kind, outcome, tuple(features)))

    with served(speech_parts(asr=ScriptedAsr(SAYS, takes=0.0), watch=Noting())) as client:
        with client.websocket_connect(f"{WAVES}&word_timestamps=true") as socket:
            socket.send_text('{"type":"close_stream"}')
            rest(socket)
    assert told == [("smallest", "listen_live", "ok", ("punctuation", "timestamps"))]


def test_smallest_falls_silent_when_a_context_is_cancelled() -> None:
    parts = speech_parts(tts=ToneTts(takes=0.3))
    base = {"voice_id": "x", "sample_rate": 8000, "context_id": "c-1"}
    with served(parts) as client, client.websocket_connect("/waves/v1/tts/live") as socket:
        socket.send_json({**base, "text": "Never heard at all. Nor this one.", "continue": True})
        socket.send_json({**base, "text": "", "cancel_request": True})
        socket.send_json({"voice_id": "x", "sample_rate": 8000, "text": "Heard"})
        told = until_complete(socket)
    assert sum(map(audio, told)) == 1600 and not any(m.get("context_id") for m in told)


def test_a_client_that_leaves_leaves_nothing_behind(client: Client) -> None:
    with client.websocket_connect(LISTEN) as socket:
        send(socket, SOUND[:16000])
    with client.websocket_connect(SPEAK) as socket:
        socket.send_text('{"type":"Speak","text":"One two three."}')
