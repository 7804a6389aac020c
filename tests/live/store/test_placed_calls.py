"""Idempotency keys in a real Redis: nobody is dialled twice, over restarts of the node and of Redis."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.control.once import Once
from gateway.errors import LimitReached
from gateway.store.settings import RedisSettings
from gateway.store.store import Store, open_store
from tests.engines.riva.fakes import run, until
from tests.live.store.redis_process import free_port, redis_server

pytestmark = pytest.mark.live


async def opened(port: int, folder: Path) -> Store:
    store = await open_store(RedisSettings(prefix="live", url=f"redis://127.0.0.1:{port}"), "node", folder)
    await until(lambda: store.link.up)
    return store


def test_one_key_is_one_call_over_restarts(tmp_path: Path) -> None:
    placed: list[str] = []

    async def place() -> str:
        await asyncio.sleep(0.05)
        placed.append(f"call-{len(placed) + 1}")
        return placed[-1]

    async def main() -> None:
        port = free_port()
        options = ("--appendonly", "yes", "--appendfsync", "always")
        async with redis_server(tmp_path, port, *options):
            nodes = [await opened(port, tmp_path / name) for name in ("one", "two", "three")]
            told = await asyncio.gather(
                *(Once(node.placed).place("k", "a", "order", place) for node in nodes), return_exceptions=True
            )
            assert sorted(map(str, told))[0] == "call-1" and placed == ["call-1"]
            assert sum(isinstance(one, LimitReached) for one in told) == 2
            for node in nodes:
                await node.aclose()
        async with redis_server(tmp_path, port, *options):
            again = await opened(port, tmp_path / "again")
            assert await Once(again.placed).place("k", "a", "order", place) == "call-1"
            assert await Once(again.placed).place("k", "b", "order", place) == "call-2"
            await again.aclose()

    run(main(), 60.0)
