"""Workers that announce themselves in Redis, and who reads that; `fakeredis` stands for Redis here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from fakeredis import FakeServer
from fakeredis.aioredis import FakeRedis
from hypothesis import given
from hypothesis import strategies as st

from engines.fleet import AnnounceSettings, WorkerSeen
from engines.fleet_announce import Announcer, Load
from engines.fleet_redis import Announcement, RedisFleet, RedisFleetSettings, index_key, worker_key
from engines.worker import Worker
from engines.worker_settings import WorkerSettings
from media.clock import now
from tests.engines.riva.fakes import run, until

FAST = AnnounceSettings(redis="redis://unused", heartbeat_seconds=0.05, ttl_seconds=0.3)
LOOK = RedisFleetSettings(refresh_seconds=0.05, keep_seconds=0.3, deadline_seconds=0.2)


def idle() -> Load:
    return Load("scripted", 0, 4, True)


@asynccontextmanager
async def fleet_on(server: FakeServer, settings: RedisFleetSettings = LOOK) -> AsyncIterator[RedisFleet]:
    client = FakeRedis(server=server)
    fleet = RedisFleet(client, settings=settings)
    await fleet.start()
    try:
        yield fleet
    finally:
        await fleet.aclose()
        await client.aclose()


def announcer(
    server: FakeServer,
    address: str = "a:1",
    load: Callable[[], Load] = idle,
    settings: AnnounceSettings = FAST,
) -> Announcer:
    return Announcer(settings, "asr", address, load, FakeRedis(server=server))


def names(fleet: RedisFleet) -> list[str]:
    return [worker.name for worker in fleet.workers("asr")]


def test_a_worker_is_seen_with_its_load_and_gone_when_it_withdraws() -> None:
    async def main() -> None:
        server, running = FakeServer(), [0]
        speaker = announcer(server, load=lambda: Load("moonshine", running[0], 8, True))
        async with fleet_on(server) as fleet:
            assert fleet.workers("asr") == () == fleet.workers("tts")
            speaker.start()
            await until(lambda: names(fleet) == ["a:1"])
            seen = fleet.workers("asr")[0]
            assert replace(seen, seen=0.0) == WorkerSeen("a:1", "asr", "a:1", "moonshine", 0, 8, True, 0.0)
            assert 0.0 <= now() - seen.seen < 0.3
            running[0] = 5
            await until(lambda: fleet.workers("asr")[0].running == 5)
            await speaker.withdraw()
            await speaker.withdraw()
            await until(lambda: names(fleet) == [])

    run(main())


def test_a_killed_worker_is_forgotten_when_its_time_has_passed() -> None:
    async def main() -> None:
        server = FakeServer()
        speaker = announcer(server)
        async with fleet_on(server) as fleet:
            speaker.start()
            await until(lambda: names(fleet) == ["a:1"])
            assert speaker._beating is not None
            speaker._beating.cancel()  # as kill -9 does: no farewell
            await until(lambda: names(fleet) == [])
            assert await FakeRedis(server=server).smembers(index_key("offhook", "asr")) == set()

    run(main())


def test_a_lost_redis_keeps_the_last_workers_for_a_while_and_then_none() -> None:
    async def main() -> None:
        server = FakeServer()
        speaker = announcer(server)
        async with fleet_on(server) as fleet:
            speaker.start()
            await until(lambda: names(fleet) == ["a:1"])
            server.connected = False
            await until(lambda: fleet.lost)
            assert names(fleet) == ["a:1"]
            await until(lambda: names(fleet) == [])
            server.connected = True
            await until(lambda: names(fleet) == ["a:1"])
            assert fleet.stats()["lost"] == 0
        await speaker.aclose()

    run(main())


def test_a_redis_that_is_gone_at_the_start_holds_nobody_up() -> None:
    async def main() -> None:
        server = FakeServer()
        server.connected = False
        speaker = announcer(server)
        speaker.start()
        async with fleet_on(server) as fleet:
            assert fleet.lost and names(fleet) == []
            server.connected = True
            await until(lambda: names(fleet) == ["a:1"])
        server.connected = False
        await speaker.withdraw()

    run(main())


def test_an_old_process_never_withdraws_its_successor() -> None:
    async def main() -> None:
        server = FakeServer()
        old, new = announcer(server), announcer(server)
        async with fleet_on(server) as fleet:
            old.start()
            await until(lambda: names(fleet) == ["a:1"])
            new.start()
            key = worker_key("offhook", "asr", "a:1")
            held = FakeRedis(server=server)

            async def owner() -> str:
                return str(json.loads(await held.get(key) or b"{}").get("instance"))

            assert old._beating is not None
            old._beating.cancel()
            for _ in range(200):
                if await owner() == new._instance:
                    break
                await asyncio.sleep(0.01)
            await old.withdraw()
            assert await owner() == new._instance
            await new.withdraw()
            assert await held.get(key) is None

    run(main())


GOOD: dict[str, Any] = {
    "address": "a:1", "engine": "x", "running": 0, "places": 1, "ready": True, "instance": "i",
    "ttl_ms": 1000,
}  # fmt: skip


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        json.dumps(GOOD | {"address": "nowhere"}).encode(),
        json.dumps(GOOD | {"address": "a:70000"}).encode(),
        json.dumps(GOOD | {"running": "many"}).encode(),
        json.dumps(GOOD | {"ready": 1}).encode(),
        json.dumps(GOOD | {"engine": "x" * 5000}).encode(),
        b"[" * 4000,
    ],
)
def test_garbage_beside_a_worker_is_passed_over_and_counted(octets: bytes) -> None:
    async def main() -> None:
        server = FakeServer()
        client = FakeRedis(server=server)
        await client.sadd(index_key("offhook", "asr"), "bad", "good")
        await client.set(worker_key("offhook", "asr", "bad"), octets, px=60_000)
        await client.set(worker_key("offhook", "asr", "good"), json.dumps(GOOD | {"new": 1}), px=60_000)
        async with fleet_on(server) as fleet:
            assert names(fleet) == ["good"]
            assert fleet.stats()["unreadable"] >= (1 if octets else 0)

    run(main())


NAMES, NUMBERS = st.text(max_size=40), st.integers(0, 10**6)


@given(st.builds(Announcement, st.just("[::1]:2233"), NAMES, NUMBERS, NUMBERS, st.booleans(), NAMES, NUMBERS))
def test_what_is_announced_is_what_is_read(told: Announcement) -> None:
    assert Announcement.decoded(told.encoded()) == told


@given(st.binary(max_size=200))
def test_any_octets_are_an_announcement_or_a_value_error(octets: bytes) -> None:
    try:
        Announcement.decoded(octets)
    except ValueError:
        pass


def test_no_more_workers_are_read_than_allowed() -> None:
    async def main() -> None:
        server = FakeServer()
        client = FakeRedis(server=server)
        for number in range(50):
            await client.sadd(index_key("offhook", "asr"), f"w{number}")
            await client.set(worker_key("offhook", "asr", f"w{number}"), json.dumps(GOOD), px=60_000)
        async with fleet_on(server, replace(LOOK, most=20)) as fleet:
            assert len(fleet.workers("asr")) == 20

    run(main())


def test_a_worker_process_announces_itself_from_the_first_moment_until_it_drains() -> None:
    async def main() -> None:
        server = FakeServer()
        worker = Worker(WorkerSettings(fleet=FAST, drain_seconds=0.1))
        await worker.listen()
        worker.announce("tts", FakeRedis(server=server))
        async with fleet_on(server) as fleet:
            await until(lambda: len(fleet.workers("tts")) == 1)
            first = fleet.workers("tts")[0]
            assert first.address == f"127.0.0.1:{worker.ports[0]}" and not first.ready
            worker.ready()
            await until(lambda: fleet.workers("tts")[0].ready)
            await worker.drain()
            await until(lambda: fleet.workers("tts") == ())
        await worker.aclose()

    run(main())


@pytest.mark.parametrize(
    ("given_", "names_"),
    [
        ({"redis": "http://x"}, "redis:"),
        ({"redis": "redis://"}, "redis:"),
        ({"redis": "redis+sentinel://h:1"}, "redis: names no master"),
        ({"redis": "redis://x", "advertise": "nowhere"}, "advertise:"),
        ({"redis": "redis://x", "ttl_seconds": 1.5}, "ttl_seconds:"),
        ({"redis": "redis://x", "prefix": "a{b}"}, "prefix:"),
        ({"redis": "redis://x", "name": "a b"}, "name:"),
    ],
)
def test_settings_name_the_field_and_the_cure(given_: dict[str, Any], names_: str) -> None:
    with pytest.raises(ValueError, match=names_):
        AnnounceSettings(**given_)


def test_a_password_shows_in_no_message_and_no_repr() -> None:
    url = "redis://user:hush@host:0/0"
    with pytest.raises(ValueError) as told:
        AnnounceSettings(redis=url)
    assert "hush" not in str(told.value)
    assert "hush" not in repr(AnnounceSettings(redis="redis://user:hush@host/0"))


def test_a_worker_on_every_address_must_say_which_one_gateways_reach() -> None:
    from engines.riva.server import GrpcSettings

    everywhere = GrpcSettings(host="0.0.0.0", port=2233)
    with pytest.raises(ValueError, match="fleet.advertise"):
        WorkerSettings(grpc=everywhere, fleet=FAST)
    WorkerSettings(grpc=everywhere, fleet=replace(FAST, advertise="speech-1:2233"))
