"""Workers as processes of their own, killed and stopped while calls use them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import PIPE, Popen

import pytest

from benchmarks.wer import word_errors
from engines.base import AsrOptions, EngineError, EngineFailed, EngineTimeout, TtsOptions
from engines.riva.client_asr import RivaAsr, RivaAsrSettings, RivaStream
from engines.riva.client_tts import RivaTts, RivaTtsSettings
from media.frame import AudioFrame
from tests.engines.reading import early, final, next_of
from tests.engines.riva.fakes import run, until
from tests.engines.riva.sounds import recorded

pytestmark = pytest.mark.live

MAIN = """
import asyncio, sys
from engines import registry
from engines.riva.server import GrpcSettings
from engines.worker import serve_asr, serve_tts
from engines.worker_settings import AsrWorkerSettings, HttpSettings, TtsWorkerSettings
kind, name, port, http = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
grpc, web = GrpcSettings(port=port), HttpSettings(port=http)
if kind == "asr":
    asyncio.run(serve_asr(lambda report: registry.asr(name), AsrWorkerSettings(grpc=grpc, http=web)))
else:
    asyncio.run(serve_tts(lambda report: registry.tts(name), TtsWorkerSettings(grpc=grpc, http=web)))
"""


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@contextmanager
def worker(kind: str, name: str, ports: list[int] | None = None) -> Iterator[tuple[Popen[bytes], list[int]]]:
    """A worker that is ready."""
    ports = ports or free_ports(2)
    process = Popen([sys.executable, "-c", MAIN, kind, name, *map(str, ports)], stderr=PIPE, stdout=PIPE)
    try:
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{ports[1]}/health", timeout=1.0) as answer:
                    assert json.load(answer)["state"] == "ready"
                    break
            except OSError:
                assert process.poll() is None, process.stderr and process.stderr.read().decode()
                time.sleep(0.1)
        yield process, ports
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.communicate()


def say(stream: RivaStream, name: str) -> None:
    pcm = recorded(name)
    for place in range(0, len(pcm) - 159, 160):
        stream.push(AudioFrame(pcm[place : place + 160], 8000, place, 0.0))


def test_a_call_is_heard_by_a_worker_and_survives_its_death() -> None:
    with worker("asr", "moonshine") as (process, ports):

        async def main() -> None:
            client = RivaAsr(RivaAsrSettings(address=f"127.0.0.1:{ports[0]}"))
            await client.warm_up()
            stream = client.stream(AsrOptions())
            stream.start(1)
            say(stream, "vm-prev.wav")
            stream.pause()
            ahead = await next_of(stream, early)
            stream.end()
            heard = await next_of(stream, final)
            assert heard.text == ahead.text
            assert word_errors("Press 4 for the previous message.", heard.text)[0] == 0
            stream.start(2)
            say(stream, "vm-prev.wav")
            await asyncio.sleep(0.1)
            process.kill()
            with pytest.raises(EngineFailed):
                await next_of(stream, final)
            await until(lambda: bool(client.down))
            with worker("asr", "moonshine", ports):
                await until(lambda: not client.down)
                stream.start(3)
                say(stream, "vm-prev.wav")
                stream.end()
                assert (await next_of(stream, final)).text == heard.text
                await client.aclose()

        run(main(), 60.0)


def test_a_stopped_worker_is_noticed_by_its_silence() -> None:
    with worker("asr", "moonshine") as (process, ports):

        async def main() -> None:
            client = RivaAsr(RivaAsrSettings(address=f"127.0.0.1:{ports[0]}", final_seconds=0.5))
            await client.warm_up()
            stream = client.stream(AsrOptions())
            process.send_signal(signal.SIGSTOP)
            stream.start(1)
            say(stream, "vm-prev.wav")
            stream.end()
            begun = asyncio.get_running_loop().time()
            with pytest.raises(EngineTimeout):
                await next_of(stream, final)
            assert asyncio.get_running_loop().time() - begun < 2.0
            process.send_signal(signal.SIGCONT)
            stream.start(2)
            say(stream, "vm-prev.wav")
            stream.end()
            try:
                heard = await next_of(stream, final)
            except EngineError:  # the first segment may still be in the woken worker's way
                stream.start(3)
                say(stream, "vm-prev.wav")
                stream.end()
                heard = await next_of(stream, final)
            assert word_errors("Press 4 for the previous message.", heard.text)[0] == 0
            await client.aclose()

        run(main(), 60.0)


def test_a_voice_worker_finishes_what_it_says_before_it_stops() -> None:
    with worker("tts", "hibari") as (process, ports):

        async def main() -> None:
            client = RivaTts(RivaTtsSettings(address=f"127.0.0.1:{ports[0]}"))
            await client.warm_up()
            assert client.voices
            text = "Your call is important to us. Please hold the line. Somebody will be with you soon."
            speech = client.speak(text, TtsOptions())
            chunks = [await anext(speech)]
            os.kill(process.pid, signal.SIGTERM)
            chunks += [chunk async for chunk in speech]
            assert [word.text for chunk in chunks for word in chunk.words] == text.split()
            assert 3.0 < sum(len(chunk.pcm) for chunk in chunks) / 8000 < 9.0
            await client.aclose()
            assert await asyncio.to_thread(process.wait, 10.0) == 0

        run(main(), 60.0)
