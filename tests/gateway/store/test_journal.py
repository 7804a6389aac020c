"""The usage journal: every event reaches Redis once, through crashes of either side."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fakeredis import FakeServer
from hypothesis import given
from hypothesis import strategies as st

from gateway.store import journal as module
from gateway.store.journal import Journal
from gateway.store.link import Link
from gateway.store.spool import Event, Spool, SpoolFull
from tests.engines.riva.fakes import run, until
from tests.gateway.store.parts import KEYS, linked


@asynccontextmanager
async def journal_on(link: Link, folder: Path) -> AsyncIterator[Journal]:
    journal = Journal(link, KEYS, folder / "usage", 1_000_000)
    await journal.start()
    try:
        yield journal
    finally:
        await journal.aclose()


async def reported(journal: Journal) -> list[int]:
    """Every event there is, settled."""
    numbers: list[int] = []
    while entries := await journal.read("reporter", 7, 0.0):
        numbers += [json.loads(entry.body)["n"] for entry in entries]
        await journal.settle(entries)
    return numbers


def test_events_reach_redis_once_and_are_settled_by_the_reporter(tmp_path: Path) -> None:
    async def main() -> None:
        async with linked(FakeServer()) as link, journal_on(link, tmp_path) as journal:
            for number in range(20):
                journal.append({"n": number})
            await until(lambda: journal.counts["handed_on"] == 20)
            first = await journal.read("reporter", 5)
            again = await journal.read("another", 5, silent=0.0)
            assert [e.event_id for e in first] == [e.event_id for e in again]
            assert await reported(journal) == list(range(20))
            await journal.settle([])
            assert journal.stats()["waiting"] == 0

    run(main())


def test_while_redis_is_gone_the_disk_keeps_them_and_hands_them_on_once(tmp_path: Path) -> None:
    async def main() -> None:
        server = FakeServer()
        async with linked(server) as link, journal_on(link, tmp_path) as journal:
            journal.append({"n": 0})
            await until(lambda: journal.counts["handed_on"] == 1)
            server.connected = False
            for number in range(1, 500):
                journal.append({"n": number})
            await until(lambda: journal.stats()["waiting"] == 499)
            server.connected = True
            await until(lambda: journal.stats()["waiting"] == 0)
            assert sorted(await reported(journal)) == list(range(500))

    run(main())


def test_what_a_killed_node_left_on_disk_is_handed_on_by_the_next_one_once(tmp_path: Path) -> None:
    async def main() -> None:
        server = FakeServer()
        async with linked(server) as link:
            async with journal_on(link, tmp_path) as journal:
                journal.append({"n": 1})
                await until(lambda: journal.counts["handed_on"] == 1)
            # As a kill between Redis and the disk leaves it: the file still holds what Redis has.
            assert list((tmp_path / "usage").glob("*.jsonl"))
            spool = Spool(tmp_path / "usage", 1_000_000)
            spool.write([Event("of-the-dead", b'{"n": 2}')])
            spool.close()
            cut = next((tmp_path / "usage").glob("*.jsonl"))
            cut.write_bytes(cut.read_bytes() + b'{"id": "cut sho')
            async with journal_on(link, tmp_path) as journal:
                await until(lambda: journal.counts["handed_on"] == 2)
                assert sorted(await reported(journal)) == [1, 2]

    run(main())


def test_a_redis_that_forgot_is_given_everything_again(tmp_path: Path) -> None:
    async def main() -> None:
        server = FakeServer()
        async with linked(server) as link, journal_on(link, tmp_path) as journal:
            for number in range(5):
                journal.append({"n": number})
            await until(lambda: journal.counts["handed_on"] == 5)
            await link.call(lambda client: client.flushall())  # as a kill before the last write to its disk
            server.connected = False
            await until(lambda: not link.up)
            server.connected = True
            await until(lambda: journal.counts["handed_on"] == 10)
            assert sorted(await reported(journal)) == list(range(5))

    run(main())


def test_files_go_when_redis_surely_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SURE_SECONDS", 0.05)

    async def main() -> None:
        async with linked(FakeServer()) as link, journal_on(link, tmp_path) as journal:
            journal.append({"n": 1})
            await until(lambda: journal.counts["handed_on"] == 1)
            await until(lambda: not list((tmp_path / "usage").glob("*.jsonl")))
            journal.append({"n": 2})
            await until(lambda: journal.counts["handed_on"] == 2)
            assert sorted(await reported(journal)) == [1, 2]

    run(main())


def test_a_full_spool_drops_what_redis_does_not_take_and_counts_it(tmp_path: Path) -> None:
    async def main() -> None:
        server = FakeServer()
        async with linked(server) as link:
            journal = Journal(link, KEYS, tmp_path / "usage", 300)
            await journal.start()
            for number in range(10):
                journal.append({"n": number})
            await until(lambda: journal.counts["handed_on"] == 10)
            assert link.dropped["usage"] == 0  # Redis took them; the disk was not needed
            server.connected = False
            await until(lambda: not link.up)
            for number in range(10):
                journal.append({"n": number})
            await until(lambda: link.dropped["usage"] == 10)
            await journal.aclose()

    run(main())


def test_two_nodes_never_share_a_folder(tmp_path: Path) -> None:
    first, second = Spool(tmp_path / "usage", 1000), Spool(tmp_path / "usage", 1000)
    first.write([Event("a", b"{}")])
    second.write([Event("b", b"{}")])
    assert [v.path.parent.name for v in (*first.volumes, *second.volumes)] == ["usage", "usage-2"]
    first.close()
    again = Spool(tmp_path / "usage", 1000)
    assert [event.event_id for event in again.read(again.volumes[0].path)] == ["a"]
    again.close()
    second.close()


@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.integers(), max_size=3), max_size=5),
    st.binary(max_size=20),
)
def test_a_file_gives_back_what_was_written_whatever_a_crash_added(
    tmp_path_factory: pytest.TempPathFactory, events: list[dict[str, int]], rest: bytes
) -> None:
    spool = Spool(tmp_path_factory.mktemp("spool"), 1_000_000)
    written = [Event(str(n), json.dumps(event).encode()) for n, event in enumerate(events)]
    if written:
        spool.write(written)
        with open(spool.volumes[0].path, "ab") as file:
            file.write(rest.replace(b"\n", b""))
        assert spool.read(spool.volumes[0].path)[: len(written)] == written
    spool.close()


def test_a_full_spool_refuses() -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder) / "usage", 10)
        with pytest.raises(SpoolFull):
            spool.write([Event("a", b'{"n": 1}')])
        spool.close()


def test_nothing_waits_for_the_disk_or_redis() -> None:
    async def main() -> None:
        server = FakeServer()
        async with linked(server) as link:
            journal = Journal(link, KEYS, Path("/nowhere"), 1000)
            for number in range(module._QUEUED + 5):
                journal.append({"n": number})
            assert link.dropped["usage"] == 5
            await asyncio.sleep(0)

    run(main())
