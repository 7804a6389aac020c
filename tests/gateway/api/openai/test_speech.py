"""`/v1/audio/speech`: every format, and every way in which it can go wrong."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import av
import httpx
import pytest

from engines.base import EngineBusy, EngineFailed, SpeechChunk, Tts, TtsOptions
from gateway.api.openai.speech_request import FORMATS, RATE
from tests.fakes.tts import ToneTts
from tests.gateway.api.openai.serving import run

TEXT = "Hello there, how are you? I am fine. And what about the others?"
SECONDS = len(TEXT.split()) * 0.1
BODY = {"model": "tts-1", "voice": "alloy", "input": TEXT}


def post(tts: Tts | None = None, **changes: Any) -> httpx.Response:
    async def ask(client: httpx.AsyncClient) -> httpx.Response:
        body = {name: value for name, value in {**BODY, **changes}.items() if value is not None}
        return await client.post("/v1/audio/speech", json=body)

    return run(ask, tts=tts)


def error(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()["error"]
    assert sorted(found) == ["code", "message", "param", "type"]
    return found


def seconds(octets: bytes) -> float:
    with av.open(io.BytesIO(octets), "r") as file:
        return sum(frame.samples / frame.sample_rate for frame in file.decode(audio=0))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format(name: str) -> None:
    answer = post(response_format=name)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == FORMATS[name].media_type
    if name == "pcm":
        assert len(answer.content) == round(SECONDS * RATE) * 2
    else:
        assert seconds(answer.content) == pytest.approx(SECONDS, abs=0.15)


def test_mp3_unless_told_otherwise() -> None:
    assert post().headers["content-type"] == "audio/mpeg"
    assert post().headers["x-request-id"] == "req-1"


def test_as_events() -> None:
    answer = post(stream_format="sse", response_format="pcm")
    events = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line]
    assert {event["type"] for event in events[:-1]} == {"speech.audio.delta"}
    sound = b"".join(base64.b64decode(event["audio"]) for event in events[:-1])
    assert sound == post(response_format="pcm").content
    assert events[-1]["type"] == "speech.audio.done"
    assert events[-1]["usage"] == {"input_tokens": 13, "output_tokens": 2, "total_tokens": 15}


def test_the_voice_is_ours_by_its_name_or_theirs() -> None:
    assert post(voice="tone").status_code == 200
    assert post(voice={"id": "nova"}).status_code == 200
    assert error(post(voice="dalek"))["param"] == "voice"


def test_instructions_are_told_to_make_no_difference() -> None:
    assert post(instructions="whisper").headers["offhook-not-honoured"].startswith("instructions")


async def by_hand(
    app: Any, body: dict[str, Any], more: list[bool], seen: asyncio.Event | None = None
) -> bytes:
    """Ask the application itself: `ASGITransport` would gather the body first. `more` notes each message."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/v1/audio/speech", "raw_path": b"/v1/audio/speech", "query_string": b"", "root_path": "",
        "headers": [(b"host", b"gw")], "client": ("127.0.0.1", 1), "server": ("gw", 80),
    }  # fmt: skip
    messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    messages.put_nowait({"type": "http.request", "body": json.dumps(body).encode(), "more_body": False})
    sent: list[bytes] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message.get("body", b""))
        more.append(message.get("more_body", True))
        if seen is not None and message.get("body"):
            seen.set()

    await app(scope, messages.get, send)
    return b"".join(sent)


class Halfway(ToneTts):
    """Breaks in its second sentence."""

    async def speak(self, text: str, options: TtsOptions) -> AsyncIterator[SpeechChunk]:
        if self.spoken:
            raise EngineFailed("scripted")
        async for chunk in super().speak(text, options):
            yield chunk


def test_the_first_sentence_is_sent_before_the_second_is_spoken() -> None:
    class Slow(ToneTts):
        async def speak(self, text: str, options: TtsOptions) -> AsyncIterator[SpeechChunk]:
            if self.spoken:
                await first_seen.wait()
            async for chunk in super().speak(text, options):
                yield chunk

    first_seen = asyncio.Event()

    async def ask(client: httpx.AsyncClient) -> bytes:
        app = client._transport.app  # type: ignore[attr-defined]
        return await by_hand(app, {**BODY, "response_format": "pcm"}, [], first_seen)

    assert len(run(ask, tts=Slow(takes=0.0))) == round(SECONDS * RATE) * 2


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"input": ""}, "input", "invalid_value"),
        ({"input": "  \n"}, "input", "invalid_value"),
        ({"input": None}, "input", "invalid_value"),
        ({"input": 7}, "input", "invalid_value"),
        ({"input": "x" * 4097}, "input", "invalid_value"),
        ({"voice": None}, "voice", "invalid_value"),
        ({"response_format": "midi"}, "response_format", "invalid_value"),
        ({"stream_format": "smoke"}, "stream_format", "invalid_value"),
        ({"speed": 9}, "speed", "invalid_value"),
        ({"speed": True}, "speed", "invalid_value"),
        ({"speed": 0.3}, "speed", "unsupported_parameter"),
        ({"pitch": 2}, "pitch", "invalid_value"),
        ({"model": None}, "model", "invalid_value"),
        ({"model": "nova-3"}, "model", "model_not_found"),
    ],
)
def test_refusals_name_the_parameter(change: dict[str, Any], param: str, code: str) -> None:
    answer = post(**change)
    assert answer.status_code in (400, 404)
    assert (error(answer)["param"], error(answer)["code"]) == (param, code)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"input":' + b"[" * 100_000, b"\xff"])
def test_bodies_that_are_no_object(body: bytes) -> None:
    async def ask(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/v1/audio/speech", content=body)

    assert run(ask).status_code == 400


def test_a_voice_that_breaks_before_its_first_sound() -> None:
    answer = post(tts=ToneTts(fails=1))
    assert answer.status_code == 502 and error(answer)["type"] == "server_error"


def test_a_voice_that_is_full() -> None:
    class Full(ToneTts):
        async def speak(self, text: str, options: TtsOptions) -> AsyncIterator[SpeechChunk]:
            raise EngineBusy("no room")
            yield

    answer = post(tts=Full())
    assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0


def test_a_voice_that_breaks_in_the_middle_breaks_the_answer_off() -> None:
    """Half a text must not look like a whole one: the connection ends before the body does."""

    async def ask(client: httpx.AsyncClient) -> list[bool]:
        app = client._transport.app  # type: ignore[attr-defined]
        more: list[bool] = []
        with pytest.raises(EngineFailed):
            await by_hand(app, {**BODY, "response_format": "pcm"}, more)
        return more

    assert run(ask, tts=Halfway()) and all(run(ask, tts=Halfway()))
    last = post(tts=Halfway(), stream_format="sse", response_format="pcm").text.split("\n\n")[-2]
    assert "error" in json.loads(last[6:])
