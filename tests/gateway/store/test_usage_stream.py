"""Usage on its way through Redis: every event arrives once, through crashes of either side."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fakeredis import FakeServer

from gateway.store import usage_stream as module
from gateway.store.link import Link
from gateway.store.usage_stream import UsageStream
from license.journal import Journal
from license.outbox import DiskOutbox
from tests.engines.riva.fakes import run, until
from tests.gateway.store.parts import KEYS, linked, numbered, reported


@asynccontextmanager
async def stream_on(link: Link, folder: Path, most: int = 1_000_000) -> AsyncIterator[UsageStream]:
    stream = UsageStream(link, KEYS, "node", DiskOutbox(folder / "usage", most))
    await stream.start()
    try:
        yield stream
    finally:
        await stream.aclose()


def on_disk(folder: Path) -> int:
    journal = Journal(folder / "usage")
    octets = journal.waiting_octets
    journal.close()
    return octets


def test_events_reach_redis_once_and_are_settled_by_the_reporter(tmp_path: Path) -> None:
    async def main() -> None:
        async with linked(FakeServer()) as link, stream_on(link, tmp_path) as stream:
            for number in range(20):
                stream.note(numbered(number))
            await until(lambda: stream.counts["handed_on"] == 20)
            first = await stream.take()
            assert first is not None and len(first.events) == 20
            assert await stream.take() is None  # another may not have them meanwhile
            assert await reported(stream) == list(range(20))  # but has them when their reporter falls silent
            assert await stream.take(0.0) is None

    run(main())


def test_while_redis_is_gone_the_disk_keeps_them_and_hands_them_on_once(tmp_path: Path) -> None:
    async def main() -> None:
        server = FakeServer()
        async with linked(server) as link, stream_on(link, tmp_path) as stream:
            stream.note(numbered(0))
            await until(lambda: stream.counts["handed_on"] == 1)
            server.connected = False
            await until(lambda: not link.up)
            for number in range(1, 1500):
                stream.note(numbered(number))
            assert await stream.take() is None
            server.connected = True
            await until(lambda: stream.counts["handed_on"] >= 1500)
            assert sorted(await reported(stream)) == list(range(1500))

    run(main())


def test_what_a_killed_node_left_on_disk_is_handed_on_by_the_next_one_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with linked(FakeServer()) as link:
            async with stream_on(link, tmp_path) as stream:
                stream.note(numbered(1))
                await until(lambda: stream.counts["handed_on"] == 1)
            # As a kill between Redis and the disk leaves it: the file still holds what Redis has.
            assert on_disk(tmp_path) > 0
            journal = Journal(tmp_path / "usage")
            journal.append([numbered(2)])
            journal.close()
            async with stream_on(link, tmp_path) as stream:
                await until(lambda: stream.counts["handed_on"] == 2)
                assert sorted(await reported(stream)) == [1, 2]

    run(main())


def test_a_redis_that_forgot_is_given_everything_again(tmp_path: Path) -> None:
    async def main() -> None:
        server = FakeServer()
        async with linked(server) as link, stream_on(link, tmp_path) as stream:
            for number in range(5):
                stream.note(numbered(number))
            await until(lambda: stream.counts["handed_on"] == 5)
            await link.call(lambda client: client.flushall())  # as a kill before the last write to its disk
            server.connected = False
            await until(lambda: not link.up)
            server.connected = True
            await until(lambda: stream.counts["handed_on"] == 10)
            assert sorted(await reported(stream)) == list(range(5))

    run(main())


def test_the_disk_forgets_what_redis_surely_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SURE_SECONDS", 0.05)

    async def main() -> None:
        async with linked(FakeServer()) as link, stream_on(link, tmp_path) as stream:
            stream.note(numbered(1))
            await until(lambda: stream.counts["handed_on"] == 1)
            await until(lambda: stream.stats()["spool_bytes"] == 0)
            stream.note(numbered(2))
            await until(lambda: stream.counts["handed_on"] == 2)
            assert sorted(await reported(stream)) == [1, 2]

    run(main())


def test_a_full_disk_drops_what_redis_did_not_take_and_counts_it(tmp_path: Path) -> None:
    async def main() -> None:
        server = FakeServer()
        async with linked(server) as link, stream_on(link, tmp_path, most=300) as stream:
            server.connected = False
            await until(lambda: not link.up)
            for number in range(10):
                stream.note(numbered(number))
            await until(lambda: stream.stats()["dropped"] > 0)
            kept = 10 - stream.stats()["dropped"]
            server.connected = True
            await until(lambda: stream.counts["handed_on"] == kept)

    run(main())
