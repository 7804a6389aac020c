"""Workers named in the configuration: asked over HTTP or gRPC, whatever they do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from engines.fleet import WorkerSeen
from engines.fleet_static import StaticFleet, StaticFleetSettings, StaticWorker
from engines.worker import Worker
from engines.worker_http import HttpServer
from engines.worker_settings import WorkerSettings
from media.clock import now
from tests.engines.riva.fakes import run, until

FAST = StaticFleetSettings(ask_seconds=0.05, deadline_seconds=0.2)


@asynccontextmanager
async def looking(*asr: StaticWorker) -> AsyncIterator[StaticFleet]:
    fleet = StaticFleet(asr=asr, settings=FAST)
    await fleet.start()
    try:
        yield fleet
    finally:
        await fleet.aclose()


def at(worker: Worker, name: str = "") -> StaticWorker:
    grpc_port, http_port = worker.ports
    return StaticWorker(f"127.0.0.1:{grpc_port}", name, health_url=f"http://127.0.0.1:{http_port}/health")


def test_workers_are_seen_loading_ready_draining_and_gone() -> None:
    async def main() -> None:
        worker = Worker(WorkerSettings(drain_seconds=0.1))
        await worker.listen()
        async with looking(at(worker, "one")) as fleet:
            address = f"127.0.0.1:{worker.ports[0]}"
            first = fleet.workers("asr")[0]
            assert replace(first, seen=0.0) == WorkerSeen("one", "asr", address, "", 0, 512, False, 0.0)
            worker.ready()
            await until(lambda: fleet.workers("asr")[0].ready)
            await worker.drain()
            await until(lambda: not fleet.workers("asr")[0].ready)
            last = now()
            await worker.aclose()
            await until(lambda: fleet.workers("asr")[0].seen < now() - 0.2)
            assert fleet.workers("asr")[0].seen <= last + 0.1
            assert fleet.workers("tts") == ()

    run(main())


def test_a_server_without_our_http_is_asked_by_grpc_health() -> None:
    async def main() -> None:
        worker = Worker(WorkerSettings())
        await worker.listen()
        worker.ready()
        address = f"127.0.0.1:{worker.ports[0]}"
        nobody = "http://127.0.0.1:1/health"
        auto, only = StaticWorker(address, "a", health_url=nobody), StaticWorker(address, "b", health="grpc")
        strict = StaticWorker(address, "c", health="http", health_url=nobody)
        async with looking(auto, only, strict) as fleet:
            assert [(w.name, w.ready, w.places) for w in fleet.workers("asr")] == [
                ("a", True, 0), ("b", True, 0), ("c", False, 0),
            ]  # fmt: skip
        await worker.aclose()

    run(main())


def test_a_worker_that_never_answers_holds_nobody_up() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def main() -> None:
        good = Worker(WorkerSettings())
        await good.listen()
        good.ready()
        hanging = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = hanging.sockets[0].getsockname()[1]
        begun = now()
        stuck = StaticWorker("127.0.0.1:1", "stuck", health_url=f"http://127.0.0.1:{port}/")
        async with looking(stuck, at(good, "good")) as fleet:
            assert now() - begun < 1.0
            assert [(w.name, w.ready) for w in fleet.workers("asr")] == [("stuck", False), ("good", True)]
        hanging.close()
        await good.aclose()

    run(main())


def test_garbage_and_endless_answers_count_as_no_answer() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"1000\r\n" + b" " * 4096 + b"\r\n")
                await writer.drain()
        except ConnectionError:
            writer.close()

    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\xff no HTTP at all\r\n\r\n")
        writer.close()

    async def main() -> None:
        servers = [await asyncio.start_server(each, "127.0.0.1", 0) for each in (endless, garbage)]
        ports = [server.sockets[0].getsockname()[1] for server in servers]
        asked = [
            StaticWorker("127.0.0.1:1", f"w{port}", health="http", health_url=f"http://127.0.0.1:{port}/")
            for port in ports
        ]
        async with looking(*asked) as fleet:
            assert [w.ready for w in fleet.workers("asr")] == [False, False]
        for server in servers:
            server.close()

    run(main())


def test_somebody_elses_health_page_tells_readiness_by_its_status() -> None:
    from http import HTTPStatus

    from engines.worker_http import Page

    async def main() -> None:
        pages = {
            "/ok": lambda: Page(b"fine\n"),
            "/no": lambda: Page(b"", status=HTTPStatus.SERVICE_UNAVAILABLE),
        }
        server = HttpServer(pages)
        await server.start("127.0.0.1", 0)
        base = f"http://127.0.0.1:{server.port}"
        asked = [
            StaticWorker("127.0.0.1:1", path, health="http", health_url=f"{base}/{path}")
            for path in ("ok", "no", "lost")
        ]
        async with looking(*asked) as fleet:
            assert [(w.name, w.ready) for w in fleet.workers("asr")] == [
                ("ok", True), ("no", False), ("lost", False),
            ]  # fmt: skip
        await server.aclose()

    run(main())


def test_settings_name_the_field() -> None:
    with pytest.raises(ValueError, match="address:"):
        StaticWorker("nowhere")
    with pytest.raises(ValueError, match="health_url:"):
        StaticWorker("a:1", health_url="ftp://x")
    with pytest.raises(ValueError, match="twice"):
        StaticFleet(asr=(StaticWorker("a:1"), StaticWorker("a:1")))
