"""Limits of keys, counted over nodes."""

from __future__ import annotations

import asyncio

from fakeredis import FakeServer

from gateway.store.key_limits import SharedKeyLimits
from gateway.store.limits import Limits
from tests.engines.riva.fakes import run
from tests.gateway.store.parts import KEYS, Clock, linked


def test_two_nodes_count_one_key_together() -> None:
    async def main() -> None:
        server = FakeServer()
        async with linked(server) as a, linked(server) as b:
            one, two = (SharedKeyLimits(Limits(link, KEYS, Clock())) for link in (a, b))
            waits = [await node.take("k", 3) for node in (one, two, one, two)]
            assert waits[:3] == [0.0, 0.0, 0.0] and waits[3] > 0
            first, second = await one.enter("k", 2), await two.enter("k", 2)
            assert first and second and await one.enter("k", 2) == await two.enter("k", 2) == ""
            assert await one.enter("another", 2)
            await two.leave("k", second)
            assert await one.enter("k", 2)

    run(main())


def test_a_place_lasts_while_its_node_lives_and_no_longer() -> None:
    async def main() -> None:
        server = FakeServer()
        async with linked(server) as a, linked(server) as b:
            killed = SharedKeyLimits(Limits(a, KEYS, Clock()), lease_seconds=0.3)
            alive = SharedKeyLimits(Limits(b, KEYS, Clock()), lease_seconds=0.3)
            alive.start()
            assert await killed.enter("of-the-dead", 1) and await alive.enter("of-the-living", 1)
            await asyncio.sleep(0.6)
            assert await alive.enter("of-the-dead", 1)
            assert await alive.enter("of-the-living", 1) == ""
            await alive.aclose()
            assert await killed.enter("of-the-living", 1)

    run(main())


def test_without_redis_each_node_counts_for_itself() -> None:
    async def main() -> None:
        server = FakeServer()
        async with linked(server) as link:
            limits = SharedKeyLimits(Limits(link, KEYS, Clock()))
            server.connected = False
            place = await limits.enter("k", 1)
            assert place and await limits.enter("k", 1) == ""
            await limits.leave("k", place)
            assert await limits.enter("k", 1)

    run(main())
