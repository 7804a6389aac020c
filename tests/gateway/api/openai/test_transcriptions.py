"""`/v1/audio/transcriptions`: every format, and every way in which it can go wrong."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from engines.base import Asr, AsrOptions, AsrStream, EngineBusy, EngineFailed, EngineRefused
from gateway.batch.recordings import Recordings
from tests.fakes.asr import ScriptedAsr
from tests.gateway.api.openai.serving import SAYS, TALK, recordings, run
from tests.gateway.audio.files import KINDS, made, tone


def post(
    content: bytes | None = TALK,
    *,
    asr: Asr | None = None,
    files: Recordings | None = None,
    places: int = 10,
    **fields: Any,
) -> httpx.Response:
    async def ask(client: httpx.AsyncClient) -> httpx.Response:
        file = {} if content is None else {"file": ("talk.wav", content)}
        data = {"model": "whisper-1", **{name.replace("__", "[]"): value for name, value in fields.items()}}
        return await client.post("/v1/audio/transcriptions", files=file or {"x": b""}, data=data)

    return run(ask, asr=asr, files=files, places=places)


def error(answer: httpx.Response) -> dict[str, Any]:
    assert list(answer.json()) == ["error"]
    found: dict[str, Any] = answer.json()["error"]
    assert sorted(found) == ["code", "message", "param", "type"]
    assert answer.headers["x-request-id"] == "req-1"
    return found


def test_json() -> None:
    answer = post()
    assert answer.status_code == 200
    assert answer.json() == {"text": "Hello there. Stop & go.", "usage": {"type": "duration", "seconds": 5}}
    assert answer.headers["x-request-id"] == "req-1"


def test_text_and_subtitles() -> None:
    answer = post(response_format="text")
    assert answer.text == "Hello there. Stop & go.\n"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    srt = post(response_format="srt").text
    assert srt.startswith("1\n00:00:00,") and " --> 00:00:01," in srt and "\n2\n00:00:0" in srt
    vtt = post(response_format="vtt").text
    assert vtt.startswith("WEBVTT\n\n00:00:00.") and "Stop &amp; go." in vtt


def test_verbose() -> None:
    body = post(response_format="verbose_json", timestamp_granularities__=["word", "segment"]).json()
    assert (body["task"], body["language"], body["duration"]) == ("transcribe", "english", 5.0)
    first, second = body["segments"]
    assert (first["id"], first["text"], second["id"], second["text"]) == (0, "Hello there.", 1, "Stop & go.")
    assert first["start"] == pytest.approx(0.5, abs=0.05) and first["end"] == pytest.approx(1.5, abs=0.05)
    assert sorted(first) == [
        "avg_logprob", "compression_ratio", "end", "id", "no_speech_prob", "seek", "start", "temperature",
        "text", "tokens",
    ]  # fmt: skip
    assert [word["word"] for word in body["words"]] == ["Hello", "there.", "Stop", "&", "go."]
    assert all(word["start"] <= word["end"] for word in body["words"])
    assert "estimated" in body["warnings"][0]
    assert "words" not in post(response_format="verbose_json").json()


def test_what_makes_no_difference_is_told() -> None:
    answer = post(prompt="Ana", response_format="text")
    assert answer.headers["offhook-not-honoured"].startswith("prompt:")
    assert post(prompt="Ana").json()["warnings"] == [answer.headers["offhook-not-honoured"]]


def test_a_stream_of_events() -> None:
    answer = post(stream="true")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line.startswith("data: ")]
    assert [event["type"] for event in events] == ["transcript.text.delta"] * 2 + ["transcript.text.done"]
    assert "".join(event["delta"] for event in events[:-1]) == events[-1]["text"] == "Hello there. Stop & go."
    assert events[-1]["usage"] == {"type": "duration", "seconds": 5}


def test_a_stream_in_which_nobody_speaks() -> None:
    answer = post(made("flac", tone(0.1, 16000) * 0, 16000), stream="true")
    assert json.loads(answer.text[6:])["text"] == ""


@pytest.mark.parametrize("kind", ["mp3", "m4a", "ogg-opus", "webm", "flac"])
def test_every_container(kind: str) -> None:
    from tests.gateway.api.openai.serving import SOUND

    assert kind in KINDS
    assert post(made(kind, SOUND, 16000)).json()["text"] == "Hello there. Stop & go."


@pytest.mark.parametrize(
    ("content", "status", "code", "told"),
    [
        (b"", 400, "invalid_value", "0 bytes"),
        (b"this is no sound at all" * 9, 415, "invalid_value", "wav, mp3"),
        (TALK[: len(TALK) // 2], 400, "invalid_value", "ends early"),
        (None, 400, "invalid_value", "x"),
    ],
)
def test_files_that_are_none(content: bytes | None, status: int, code: str, told: str) -> None:
    for stream in ("false", "true"):
        answer = post(content, stream=stream)
        found = error(answer)
        assert (answer.status_code, found["type"], found["code"]) == (status, "invalid_request_error", code)
        assert told in found["message"]


def test_limits() -> None:
    large = post(bytes(1_100_000), files=recordings(max_megabytes=1))
    assert (large.status_code, error(large)["code"]) == (413, "file_too_large")
    long = post(files=recordings(max_seconds=2))
    assert long.status_code == 413 and "too long" in error(long)["message"]


def test_parameters() -> None:
    found = error(post(response_format="yaml"))
    assert (found["param"], found["code"]) == ("response_format", "invalid_value")
    assert error(post(response_format="diarized_json"))["code"] == "unsupported_parameter"
    answer = post(model="nova-3")
    assert (answer.status_code, error(answer)["code"], error(answer)["param"]) == (
        404,
        "model_not_found",
        "model",
    )
    assert error(post(beam_size="5"))["param"] == "beam_size"


def test_a_body_of_another_kind() -> None:
    async def ask(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/v1/audio/transcriptions", json={"model": "whisper-1"})

    answer = run(ask)
    assert answer.status_code == 400 and "multipart/form-data" in error(answer)["message"]


def test_a_full_node() -> None:
    answer = post(places=0)
    assert answer.status_code == 429
    assert error(answer)["code"] == "rate_limit_exceeded" and answer.headers["retry-after"] == "1"


def test_an_engine_that_breaks_once_is_asked_again() -> None:
    assert post(asr=ScriptedAsr(SAYS, takes=0.01, dies_at=[0.0])).json()["text"] == "Hello there. Stop & go."


@pytest.mark.parametrize(
    ("trouble", "status", "code"),
    [
        (EngineBusy("full"), 503, "engine_busy"),
        (EngineRefused("no Latin"), 400, "unsupported_value"),
        (EngineFailed("broken"), 502, None),
    ],
)
def test_an_engine_that_takes_nothing(trouble: Exception, status: int, code: str | None) -> None:
    class Shut(ScriptedAsr):
        def stream(self, options: AsrOptions) -> AsrStream:
            raise trouble

    answer = post(asr=Shut(SAYS))
    assert (answer.status_code, error(answer)["code"]) == (status, code)
    assert ("retry-after" in answer.headers) == (status == 503)
