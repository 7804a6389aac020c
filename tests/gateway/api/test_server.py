"""The HTTP side on a real socket, inside a loop that does other things too."""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from gateway.api.app import create_api
from gateway.api.core.readiness import Readiness
from gateway.api.parts import ApiParts, RecordFiles
from gateway.api.server import ApiServer
from gateway.api.settings import ApiSettings
from gateway.errors import PortTaken


def server(settings: ApiSettings) -> ApiServer:
    parts = ApiParts(
        readiness=Readiness({}, deadline=1),
        metrics=lambda accept: (b"", "text/plain"),
        calls=list,
        record=RecordFiles(Path("none")).record,
    )
    return ApiServer(create_api(parts, settings), settings)


def test_it_serves_until_closed_and_leaves_nothing_behind() -> None:
    async def scene() -> None:
        before = signal.getsignal(signal.SIGTERM)
        running = server(ApiSettings(port=0))
        await running.start()
        assert signal.getsignal(signal.SIGTERM) is before
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}") as client:
            assert (await client.get("/health")).json()["status"] == "healthy"
            assert (await client.get("/ready")).status_code == 200
        await running.aclose()
        await running.aclose()
        with pytest.raises(httpx.ConnectError):
            async with httpx.AsyncClient() as client:
                await client.get(f"http://127.0.0.1:{running.port}/health")
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scene())


def test_a_taken_port_is_told_with_the_cure() -> None:
    async def scene() -> None:
        with closing(socket.socket()) as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            with pytest.raises(PortTaken, match=f"127.0.0.1 port {port}: Address already in use; stop what"):
                await server(ApiSettings(port=port)).start()

    asyncio.run(scene())


def test_an_address_that_is_not_ours_is_told() -> None:
    async def scene() -> None:
        with pytest.raises(PortTaken, match="cannot listen on 192.0.2.1"):
            await server(ApiSettings(host="192.0.2.1", port=0)).start()

    asyncio.run(scene())


def test_closing_what_never_started_is_nothing() -> None:
    asyncio.run(server(ApiSettings()).aclose())


@pytest.mark.parametrize(("field", "value"), [("port", 70000), ("probe_seconds", 0)])
def test_impossible_settings_are_refused(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{field}: must"):
        ApiSettings(port=value) if field == "port" else ApiSettings(probe_seconds=value)
