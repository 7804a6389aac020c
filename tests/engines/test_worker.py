"""A worker from its first moment to its last: states, HTTP, metrics, draining."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engines import worker as module
from engines.base import EngineError, EngineFailed, TtsOptions
from engines.models.base import ModelError, Report
from engines.riva.asr_service import AsrService
from engines.riva.client_tts import RivaTts, RivaTtsSettings
from engines.riva.server import GrpcSettings, TlsFiles
from engines.riva.tts_service import TtsService
from engines.riva.wire import Status, asr_grpc, asr_pb2, grpc, health_pb2, health_pb2_grpc
from engines.worker import State, Worker, WorkerFailed, serve_asr, serve_tts
from engines.worker_settings import AsrWorkerSettings, HttpSettings, TtsWorkerSettings, WorkerSettings
from tests.engines.riva.fakes import HummingTts, TellingAsr, run, until


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def ask(port: int, request: bytes) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return (int(head.split()[1]) if head else 0), body


async def get(port: int, path: str) -> tuple[int, bytes]:
    return await ask(port, f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())


async def state(port: int) -> tuple[int, str, str]:
    status, body = await get(port, "/health")
    told = json.loads(body)
    return status, told["state"], told["detail"]


class SlowAsr(TellingAsr):
    def __init__(self) -> None:
        super().__init__()
        self.warm = asyncio.Event()
        self.closed = False

    async def warm_up(self) -> None:
        await self.warm.wait()

    async def aclose(self) -> None:
        self.closed = True

    def stats(self) -> dict[str, float]:
        return {"streams_opened": 7}


def test_health_shows_every_state_from_loading_to_draining() -> None:
    async def main() -> None:
        worker = Worker(WorkerSettings(drain_seconds=0.05))
        service = AsrService(worker.door, WorkerSettings().limits)
        await worker.listen(asr=service)
        grpc_port, http_port = worker.ports
        go, engines = threading.Event(), list[SlowAsr]()

        def make(report: Report) -> SlowAsr:
            report("downloading 43 %")
            go.wait(5.0)
            report("loading")
            engines.append(SlowAsr())
            return engines[0]

        loading = asyncio.ensure_future(worker.load(make))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
            health = health_pb2_grpc.HealthStub(channel)
            await asyncio.sleep(0.05)
            assert await state(http_port) == (503, "downloading", "downloading 43 %")
            assert (await health.Check(health_pb2.HealthCheckRequest())).status == 2
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                stub = asr_grpc.RivaSpeechRecognitionStub(channel)
                await stub.Recognize(asr_pb2.RecognizeRequest())
            assert refused.value.code() is Status.UNAVAILABLE
            go.set()
            await until(lambda: worker.state is State.WARMING)
            assert await state(http_port) == (503, "warming", "")
            engines[0].warm.set()
            service.begin(await loading)
            worker.ready()
            assert await state(http_port) == (200, "ready", "")
            assert (await health.Check(health_pb2.HealthCheckRequest())).status == 1
            stub = asr_grpc.RivaSpeechRecognitionStub(channel)
            call = stub.StreamingRecognize()
            config = asr_pb2.RecognitionConfig(encoding=1, sample_rate_hertz=8000)
            streaming = asr_pb2.StreamingRecognitionConfig(config=config)
            await call.write(asr_pb2.StreamingRecognizeRequest(streaming_config=streaming))
            await until(lambda: worker.door.taken == 1)
            await worker.drain()
            assert await state(http_port) == (503, "draining", "")
            _, metrics = await get(http_port, "/metrics")
            for line in (
                b'offhook_worker_state{state="draining"} 1.0',
                b'offhook_worker_state{state="ready"} 0.0',
                b'offhook_worker_running{method="StreamingRecognize"} 1.0',
                b'offhook_worker_refusals_total{method="Recognize",why="closed"} 1.0',
                b'offhook_worker_engine{what="streams_opened"} 7.0',
            ):
                assert line in metrics
        await worker.aclose()
        await worker.aclose()
        assert engines[0].closed

    run(main())


def test_http_answers_what_it_knows_and_bounds_the_rest() -> None:
    async def main() -> None:
        worker = Worker(WorkerSettings())
        await worker.listen()
        _, port = worker.ports
        assert await get(port, "/live?x=1") == (200, b"alive\n")
        assert await ask(port, b"HEAD /live HTTP/1.0\r\n\r\n") == (200, b"")
        assert (await get(port, "/secrets"))[0] == 404
        assert (await ask(port, b"POST /live HTTP/1.1\r\n\r\n"))[0] == 405
        assert (await ask(port, b"garbage\r\n\r\n"))[0] == 400
        assert (await ask(port, b"GET /" + b"x" * 20_000 + b"\r\n\r\n"))[0] == 0
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(64)]
        await asyncio.sleep(0.05)
        assert (await ask(port, b""))[0] == 0
        for _, writer in idle:
            writer.close()
        await asyncio.sleep(0.05)
        assert (await get(port, "/live"))[0] == 200
        await worker.aclose()

    run(main())


def process(main: Coroutine[Any, Any, None], meanwhile: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def both() -> None:
        serving = asyncio.ensure_future(main)
        await meanwhile()
        os.kill(os.getpid(), signal.SIGTERM)
        await serving

    run(both())


def test_a_recogniser_is_served_until_the_signal() -> None:
    port = free_port()
    grpc_settings = GrpcSettings(port=port)
    settings = AsrWorkerSettings(grpc=grpc_settings, http=HttpSettings(port=free_port()))

    async def meanwhile() -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = asr_grpc.RivaSpeechRecognitionStub(channel)
            for _ in range(100):
                try:
                    await stub.GetRivaSpeechRecognitionConfig(asr_pb2.RivaSpeechRecognitionConfigRequest())
                    return
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.02)
        raise AssertionError("never ready")

    process(serve_asr(lambda report: TellingAsr(), settings), meanwhile)


def test_a_voice_is_served_over_tls(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = os.system(
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout {key} -out {certificate} "
        "-subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null"
    )
    assert made == 0
    port = free_port()
    settings = TtsWorkerSettings(
        grpc=GrpcSettings(port=port, tls=TlsFiles(str(certificate), str(key))),
        http=HttpSettings(port=free_port()),
    )

    async def meanwhile() -> None:
        client = RivaTts(
            RivaTtsSettings(
                address=f"127.0.0.1:{port}",
                tls=True,
                ca_file=str(certificate),
                server_name="localhost",
                api_key="hush",
                metadata={"function-id": "seven"},
            )
        )
        await client.warm_up()
        assert [len(chunk.pcm) async for chunk in client.speak("one two", TtsOptions())] == [800, 800]
        await client.aclose()
        stranger = RivaTts(RivaTtsSettings(address=f"127.0.0.1:{port}", tls=True, start_seconds=0.3))
        with pytest.raises(EngineError):
            await stranger.warm_up()
        await stranger.aclose()
        lost = RivaTts(RivaTtsSettings(address=f"127.0.0.1:{port}", tls=True, ca_file="/nowhere.pem"))
        with pytest.raises(EngineFailed, match="nowhere"):
            await lost.warm_up()
        await lost.aclose()

    process(serve_tts(lambda report: HummingTts(), settings), meanwhile)


def test_a_client_waits_for_a_worker_that_still_loads() -> None:
    async def main() -> None:
        worker = Worker(WorkerSettings())
        service = TtsService(worker.door, WorkerSettings().limits)
        await worker.listen(tts=service)
        address = f"127.0.0.1:{worker.ports[0]}"
        hasty = RivaTts(RivaTtsSettings(address=address, start_seconds=0.3))
        with pytest.raises(EngineError, match="still starting"):
            await hasty.warm_up()
        await hasty.aclose()
        client = RivaTts(RivaTtsSettings(address=address))
        warming = asyncio.ensure_future(client.warm_up())
        await asyncio.sleep(0.05)
        service.begin(await worker.load(lambda report: HummingTts()))
        worker.ready()
        await warming
        await client.aclose()
        await worker.aclose()

    run(main())


def test_a_stop_ends_the_loading() -> None:
    began, ended = threading.Event(), threading.Event()

    def make(report: Report) -> TellingAsr:
        began.set()
        try:
            while True:
                report("downloading 1 %")
        finally:
            ended.set()

    async def meanwhile() -> None:
        await asyncio.to_thread(began.wait, 5.0)

    process(serve_asr(make, AsrWorkerSettings(grpc=GrpcSettings())), meanwhile)
    assert ended.wait(5.0)


def test_what_keeps_it_from_starting_is_said_with_the_cure() -> None:
    class Cold(TellingAsr):
        async def warm_up(self) -> None:
            raise EngineFailed("no memory")

    def absent(report: Report) -> TellingAsr:
        raise ModelError("no such model")

    async def main() -> None:
        with pytest.raises(WorkerFailed, match="no such model"):
            await serve_asr(absent, AsrWorkerSettings(grpc=GrpcSettings()))
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            settings = AsrWorkerSettings(grpc=GrpcSettings(), http=HttpSettings(port=port))
            with pytest.raises(WorkerFailed, match=r"http\.port"):
                await serve_asr(lambda report: TellingAsr(), settings)
            with pytest.raises(WorkerFailed, match="another host or port"):
                await serve_asr(lambda report: TellingAsr(), replace(settings, grpc=GrpcSettings(port=port)))
        settings = AsrWorkerSettings(grpc=GrpcSettings())
        with pytest.raises(WorkerFailed, match="no memory"):
            await serve_asr(lambda report: Cold(), settings)
        tls = TlsFiles("none.pem", "none.key")
        with pytest.raises(WorkerFailed, match="TLS"):
            await serve_asr(lambda report: TellingAsr(), replace(settings, grpc=GrpcSettings(tls=tls)))

    run(main())


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: GrpcSettings(port=70_000), "port"),
        (lambda: GrpcSettings(keepalive_seconds=0.0), "keepalive_seconds"),
        (lambda: GrpcSettings(keepalive_wait=0.0), "keepalive_wait"),
        (lambda: TlsFiles(certificate="a.pem"), "tls.key"),
        (lambda: TlsFiles(clients="a.pem"), "tls.clients"),
        (lambda: HttpSettings(port=-1), "http.port"),
        (lambda: WorkerSettings(drain_seconds=-1), "drain_seconds"),
    ],
)
def test_settings_name_the_field(make: Callable[[], object], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        make()


def test_an_engine_out_of_order_is_told_and_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.02)

    class Breaking(SlowAsr):
        trouble = ""

    async def main() -> None:
        engine, ports = Breaking(), (free_port(), free_port())
        engine.warm.set()
        settings = AsrWorkerSettings(grpc=GrpcSettings(port=ports[0]), http=HttpSettings(port=ports[1]))
        serving = asyncio.ensure_future(serve_asr(lambda report: engine, settings))
        for _ in range(200):
            await asyncio.sleep(0.02)
            try:
                if (await state(ports[1]))[1] == "ready":
                    break
            except OSError:
                continue
        assert (await get(ports[1], "/live"))[0] == 200
        engine.trouble = "3 steps in a row failed: the device is gone"
        await asyncio.sleep(0.2)
        assert await state(ports[1]) == (503, "failed", engine.trouble)
        assert (await get(ports[1], "/live"))[0] == 503
        async with grpc.aio.insecure_channel(f"127.0.0.1:{ports[0]}") as channel:
            health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert health.status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(WorkerFailed, match="the device is gone"):
            await serving
        assert engine.closed

    run(main())
