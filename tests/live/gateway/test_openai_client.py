"""The unmodified `openai` client against the real engines: only its base URL is changed."""

from __future__ import annotations

import asyncio
import io
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import av
import openai
import pytest
import uvicorn
from fastapi import FastAPI
from openai.types.audio import TranscriptionVerbose

from engines import registry
from gateway.api import models
from gateway.api.core.door import Door
from gateway.api.core.speech_parts import SpeechParts
from gateway.api.core.voice_bench import VoiceBench
from gateway.api.openai.errors import openai_error
from gateway.api.openai.routes import add_routes
from gateway.keys.limits import MemoryLimits
from media.vad import VadSettings, open_detector
from media.wav import read_mono
from tests.gateway.audio.files import made
from tests.live.gateway.listening import SPEECH, prompt, same_words

pytestmark = pytest.mark.live

NAME = "tt-monkeysintro"
WAV = SPEECH / f"{NAME}.wav"
TEXT = prompt(NAME).text
SPOKEN = "Thank you for calling. Your appointment is on Monday at nine. Goodbye."
Format = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]


class Server:
    """OpenAI's room over the embedded engines, on a port of its own, in a thread."""

    def __init__(self) -> None:
        self.url = ""
        self._up = threading.Event()
        self._server: uvicorn.Server | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def start(self) -> None:
        self._thread.start()
        assert self._up.wait(60)

    def stop(self) -> None:
        assert self._server is not None
        self._server.should_exit = True
        self._thread.join(20)

    async def _serve(self) -> None:
        asr, tts = registry.asr("moonshine"), registry.tts("hibari")
        await asyncio.gather(asr.warm_up(), tts.warm_up())
        parts = SpeechParts(
            asr=asr,
            tts=tts,
            door=Door(None, MemoryLimits(asyncio.get_running_loop().time), wall, places=20),
            bench=VoiceBench(open_detector(VadSettings())),
            wall=wall,
            new_id=lambda: str(uuid.uuid4()),
        )
        api = FastAPI()
        models.add(api, parts, openai_error)
        add_routes(api, parts)
        self._server = uvicorn.Server(uvicorn.Config(api, port=0, log_config=None, lifespan="off"))
        serving = asyncio.ensure_future(self._server.serve())
        while not self._server.started:  # noqa: ASYNC110 - uvicorn has nothing to wait for
            await asyncio.sleep(0.01)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}/v1"
        self._up.set()
        await serving
        for part in (parts.recordings, parts.bench, asr, tts):
            await part.aclose()


def wall() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def client() -> Iterator[openai.OpenAI]:
    server = Server()
    server.start()
    try:
        with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=60) as ready:
            yield ready
    finally:
        server.stop()


def heard(text: str) -> float:
    return same_words(TEXT, text)


def test_transcriptions_in_every_format(client: openai.OpenAI) -> None:
    ask = client.audio.transcriptions
    plain = ask.create(file=WAV, model="gpt-4o-transcribe")
    assert heard(plain.text) >= 0.8
    text = ask.create(file=WAV, model="whisper-1", response_format="text", language="en")
    assert heard(str(text)) >= 0.8
    srt = ask.create(file=WAV, model="whisper-1", response_format="srt")
    assert str(srt).startswith("1\n00:00:0") and " --> " in str(srt)
    vtt = ask.create(file=WAV, model="whisper-1", response_format="vtt")
    assert str(vtt).startswith("WEBVTT\n\n00:00:0")
    verbose = ask.create(
        file=WAV,
        model="whisper-1",
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    assert isinstance(verbose, TranscriptionVerbose)
    assert verbose.language == "english" and verbose.words and verbose.segments
    assert heard(" ".join(word.word for word in verbose.words)) >= 0.8
    assert 0 <= verbose.words[0].start <= verbose.words[-1].end <= float(verbose.duration) + 0.1


def test_a_stream_of_words(client: openai.OpenAI) -> None:
    stream = client.audio.transcriptions.create(file=WAV, model="gpt-4o-transcribe", stream=True)
    events = list(stream)
    assert events[-1].type == "transcript.text.done"
    assert heard(events[-1].text) >= 0.8
    deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
    assert "".join(deltas) == events[-1].text


@pytest.mark.parametrize("kind", ["mp3", "m4a", "ogg-opus", "webm", "flac"])
def test_every_container_is_understood(client: openai.OpenAI, kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"talk.{kind.partition('-')[0]}"
    path.write_bytes(made(kind, read_mono(WAV, 16000), 16000))
    assert heard(client.audio.transcriptions.create(file=path, model="whisper-1").text) >= 0.7


@pytest.mark.parametrize("format", ["mp3", "opus", "aac", "flac", "wav", "pcm"])
def test_what_is_spoken_is_understood_again(client: openai.OpenAI, format: Format, tmp_path: Path) -> None:
    path = tmp_path / f"said.{format}"
    with client.audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts", voice="alloy", input=SPOKEN, response_format=format
    ) as answer:
        answer.stream_to_file(path)
    octets = path.read_bytes()
    if format == "pcm":
        assert len(octets) % 2 == 0
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(octets) // 2)
        frame.planes[0].update(octets)
        frame.sample_rate = 24000
        target = io.BytesIO()
        with av.open(target, "w", format="wav") as file:
            stream = file.add_stream("pcm_s16le", rate=24000, layout="mono")
            assert isinstance(stream, av.AudioStream)
            file.mux(stream.encode(frame))
        path = tmp_path / "said.wav"
        path.write_bytes(target.getvalue())
    text = client.audio.transcriptions.create(file=path, model="whisper-1").text
    assert same_words("Thank you for calling Your appointment is on Monday at Goodbye", text) >= 0.7, text


def test_models_are_listed_and_can_be_used(client: openai.OpenAI) -> None:
    listed = {model.id for model in client.models.list()}
    assert {"moonshine", "hibari"} & listed
    assert client.models.retrieve("moonshine").owned_by == "offhook"
    assert heard(client.audio.transcriptions.create(file=WAV, model="moonshine").text) >= 0.8


def test_errors_are_the_client_s_own(client: openai.OpenAI, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_bytes(b"no sound")
    with pytest.raises(openai.APIStatusError) as unread:
        client.audio.transcriptions.create(file=tmp_path / "text.wav", model="whisper-1")
    assert unread.value.status_code == 415
    with pytest.raises(openai.NotFoundError) as unknown:
        client.audio.transcriptions.create(file=WAV, model="nova-3")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.speech.create(model="tts-1", voice="dalek", input="Hello")
    assert refused.value.param == "voice"
