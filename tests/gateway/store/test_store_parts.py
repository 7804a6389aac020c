"""Link, sessions, limits and prompts, with Redis and without; keys and settings."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakeredis import FakeServer
from hypothesis import given
from hypothesis import strategies as st

from engines.base import SpeechChunk, Word
from gateway.errors import StoreLost
from gateway.store.keys import TABLE, Keys
from gateway.store.limits import Limits
from gateway.store.prompts import PromptShelf, packed, unpacked
from gateway.store.sessions import Sessions
from gateway.store.settings import RedisSettings
from gateway.store.store import open_store
from media.clock import now
from tests.engines.riva.fakes import run, until
from tests.gateway.store.parts import KEYS, Clock, linked, numbered

README = Path(__file__).parents[3] / "gateway" / "store" / "README.md"


def test_a_lost_redis_is_known_at_once_and_found_again() -> None:
    async def main() -> None:
        server, back = FakeServer(), list[int]()
        async with linked(server) as link:
            link.on_return(lambda: back.append(1))
            server.connected = False
            with pytest.raises(StoreLost):
                await link.call(lambda client: client.ping())
            begun = now()
            for _ in range(1000):
                with pytest.raises(StoreLost):
                    await link.call(lambda client: client.ping())
            assert now() - begun < 0.5 and not link.up and link.losses == 1
            server.connected = True
            await until(lambda: link.up)
            assert back == [1] and await link.call(lambda client: client.ping())

    run(main())


def test_a_command_that_hangs_is_cut_at_the_deadline() -> None:
    async def main() -> None:
        async with linked(FakeServer(), deadline=0.05) as link:
            with pytest.raises(StoreLost):
                await link.call(lambda client: asyncio.sleep(5))
            await until(lambda: link.up)

    run(main())


def test_sessions_of_all_nodes_are_seen_and_die_with_their_node() -> None:
    async def main() -> None:
        server = FakeServer()
        async with linked(server) as one, linked(server) as two:
            ours, theirs = Sessions(one, KEYS, "a", 0.6), Sessions(two, KEYS, "b", 0.6)
            ours.start()
            theirs.start()
            ours.put("call", "1", 100.0, {"route": "echo"})
            theirs.put("call", "2", 200.0, {})
            theirs.put("stream", "3", 300.0, {"junk": "x" * 10_000})
            await until(lambda: not ours._dirty and not theirs._dirty)
            await asyncio.sleep(0.3)
            calls = await ours.all("call")
            assert [(c.session_id, c.node, c.since) for c in calls] == [("1", "a", 100.0), ("2", "b", 200.0)]
            assert calls[0].facts == {"route": "echo"}
            assert (await ours.all("stream"))[0].facts == {}
            await asyncio.sleep(0.8)  # longer than the TTL: they are renewed
            assert len(await ours.all("call")) == 2
            assert theirs._task is not None
            theirs._task.cancel()  # as kill -9 does
            await asyncio.sleep(0.8)
            assert [c.session_id for c in await ours.all("call")] == ["1"]
            ours.drop("call", "1")
            ours.drop("call", "1")
            await asyncio.sleep(0.4)
            assert await ours.all("call") == []
            await ours.aclose()
            await ours.aclose()

    run(main())


def test_sessions_are_written_again_when_redis_is_back() -> None:
    async def main() -> None:
        server = FakeServer()
        async with linked(server) as link:
            sessions = Sessions(link, KEYS, "a", 60.0)
            sessions.start()
            server.connected = False
            await until(lambda: not link.up)
            sessions.put("call", "1", 100.0, {})
            await asyncio.sleep(0.4)
            assert link.dropped["session_writes"] == 1
            server.connected = True
            await until(lambda: link.up)
            await asyncio.sleep(0.4)
            assert [s.session_id for s in await sessions.all("call")] == ["1"]
            server.connected = False
            await until(lambda: not link.up)
            sessions.drop("call", "1")
            await asyncio.sleep(0.4)
            server.connected = True
            await until(lambda: link.up)
            await asyncio.sleep(0.4)
            assert await sessions.all("call") == []
            sessions.put("call", "2", 100.0, {})
            await sessions.aclose()
            assert await sessions.all("call") == []

    run(main())


def test_a_rate_is_shared_by_nodes_and_counted_by_each_alone_without_redis() -> None:
    async def main() -> None:
        server, clock = FakeServer(), Clock()
        async with linked(server) as one, linked(server) as two:
            here, there = Limits(one, KEYS, clock), Limits(two, KEYS, clock)
            waits = [await each.take("key", 60, burst=3) for each in (here, there, here, there)]
            assert waits[:3] == [0.0, 0.0, 0.0] and 0.5 < waits[3] <= 1.0
            assert await here.take("other", 60) == 0.0
            server.connected = False
            alone = [await here.take("key", 60, burst=2) for _ in range(3)]
            assert alone[:2] == [0.0, 0.0] and alone[2] == pytest.approx(1.0)
            clock.now = 1.0
            assert await here.take("key", 60, burst=2) == 0.0
            assert one.dropped["shared_limits"] == 4

    run(main())


def test_places_are_shared_given_back_and_not_held_for_ever() -> None:
    async def main() -> None:
        server, clock = FakeServer(), Clock()
        async with linked(server) as one, linked(server) as two:
            here, there = Limits(one, KEYS, clock), Limits(two, KEYS, clock)
            assert await here.enter("key", "a", 2, 30) and await there.enter("key", "b", 2, 0.1)
            assert not await here.enter("key", "c", 2, 30) and await here.enter("key", "a", 2, 30)
            await asyncio.sleep(0.15)
            assert await here.enter("key", "c", 2, 30)
            await there.leave("key", "a")
            assert await there.enter("key", "d", 2, 30)
            server.connected = False
            assert await here.enter("key", "e", 1, 5) and not await here.enter("key", "f", 1, 5)
            clock.now = 6.0
            assert await here.enter("key", "f", 1, 5)
            await here.leave("key", "f")
            assert await here.enter("key", "g", 1, 5)

    run(main())


def test_prompts_are_shared_and_never_missed() -> None:
    async def main() -> None:
        server = FakeServer()
        key = ("voice", "Hello.", 8000, 1.0, "en-US")
        chunks = (SpeechChunk(np.arange(100, dtype=np.int16), (Word("Hello.", 0.0, 0.5, 1.0),)),)
        async with linked(server) as link:
            shelf = PromptShelf(link, KEYS, 60)
            assert await shelf.get(key) is None
            await shelf.put(key, chunks)
            found = await shelf.get(key)
            assert found is not None and (found[0].pcm == chunks[0].pcm).all()
            assert found[0].words == chunks[0].words
            assert await shelf.get((*key[:1], "Other.", *key[2:])) is None
            await shelf.put(("long",), (SpeechChunk(np.zeros(2_000_000, np.int16)),))
            assert await shelf.get(("long",)) is None
            keys = [name.decode() for name in await link.call(lambda client: client.keys("*"))]
            assert len(keys) == 1 and "Hello" not in keys[0]
            server.connected = False
            await shelf.put(key, chunks)
            assert await shelf.get(key) is None and link.dropped["prompts"] == 1
            server.connected = True
            await until(lambda: link.up)
            assert await shelf.get(key) is not None and await shelf.of("another voice").get(key) is None
            off = PromptShelf(link, KEYS, 0)
            await off.put(key, chunks)
            assert await off.get(key) is None

    run(main())


@given(st.binary(max_size=200))
def test_any_octets_are_a_prompt_or_none(octets: bytes) -> None:
    found = unpacked(octets)
    assert found is None or isinstance(found, tuple)


@given(st.lists(st.lists(st.integers(-32768, 32767), max_size=5), max_size=4))
def test_what_is_packed_is_unpacked(parts: list[list[int]]) -> None:
    chunks = [SpeechChunk(np.array(part, np.int16)) for part in parts]
    found = unpacked(packed(chunks))
    assert found is not None and [list(chunk.pcm) for chunk in found] == parts


def test_the_readme_shows_every_key_and_every_key_is_in_the_table() -> None:
    readme = README.read_text(encoding="utf-8")
    for row in TABLE:
        assert f"| `{row.pattern}` | {row.kind} | {row.life} | {row.holds} |" in readme
    keys = Keys("p")
    made = [
        keys.queue, keys.finished, keys.usage, keys.workers("asr"), keys.worker("tts", "n"),
        keys.sessions("call"), keys.session("call", "i"), keys.job("i"), keys.usage_seen("i"),
        keys.bucket("n"), keys.held("n"), keys.outbound("n", "d"), keys.placed("h"), keys.prompt("h"),
    ]  # fmt: skip
    shapes = [re.escape("p:" + re.sub("<[a-z]+>", "@", row.pattern)).replace("@", "[a-z]+") for row in TABLE]
    assert all(any(re.fullmatch(shape, key) for shape in shapes) for key in made)
    assert len(made) == len(TABLE)


def test_a_store_in_memory_works(tmp_path: Path) -> None:
    async def main() -> None:
        store = await open_store(RedisSettings(local="process"), "node", tmp_path)
        assert store.mode == "process" and store.link.up
        assert await store.jobs.submit("one", b"")
        assert store.stats()["up"] == 1.0 and store.fleet.workers("asr") == ()
        await store.aclose()
        await store.aclose()

    run(main())


def test_an_external_redis_that_is_not_there_is_waited_for_behind(tmp_path: Path) -> None:
    async def main() -> None:
        begun = now()
        store = await open_store(RedisSettings(url="redis://127.0.0.1:1"), "node", tmp_path)
        assert store.mode == "external" and not store.link.up and now() - begun < 5.0
        store.usage.note(numbered(1))
        store.sessions.put("call", "1", 0.0, {})
        with pytest.raises(StoreLost):
            await store.jobs.submit("one", b"")
        assert await store.limits.take("key", 60) == 0.0
        await store.aclose()
        assert list((tmp_path / "usage").glob("*.jsonl"))

    run(main())


@pytest.mark.parametrize(
    ("given_", "names"),
    [
        ({"url": "http://x"}, "url:"),
        ({"url": "redis://:hush@h:0"}, "url:"),
        ({"prefix": "{x}"}, "prefix:"),
        ({"deadline_seconds": 0.0}, "deadline_seconds:"),
        ({"jobs": 0}, "jobs:"),
    ],
)
def test_settings_name_the_field_and_the_cure(given_: dict[str, Any], names: str) -> None:
    with pytest.raises(ValueError, match=names) as told:
        RedisSettings(**given_)
    assert "hush" not in str(told.value)
