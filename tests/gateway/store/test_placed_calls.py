"""One key, one call: for all nodes, over restarts, and without Redis."""

from __future__ import annotations

import asyncio

import pytest
from fakeredis import FakeServer

from gateway.control.once import Earlier, Once
from gateway.control.originate import Originate
from gateway.errors import DialFailed, LimitReached, RequestUnfit
from gateway.store.placed_calls import PlacedCalls
from tests.engines.riva.fakes import run
from tests.fakes.callee import Callee
from tests.fakes.office import BERLIN, DESK, Office
from tests.gateway.store.parts import KEYS, linked

ORDER = Originate(BERLIN, DESK)


class Network:
    """Places calls, slowly, and counts them."""

    def __init__(self, seconds: float = 0.0, fails: int = 0) -> None:
        self.seconds, self.fails, self.placed = seconds, fails, 0

    async def place(self) -> str:
        await asyncio.sleep(self.seconds)
        if self.fails:
            self.fails -= 1
            raise DialFailed("no transport", sip_code=503)
        self.placed += 1
        return f"call-{self.placed}"


def test_a_retry_after_a_restart_is_answered_with_the_first_call() -> None:
    async def main() -> None:
        server, network = FakeServer(), Network()
        for _ in range(2):
            async with linked(server) as link:
                once = Once(PlacedCalls(link, KEYS))
                assert await once.place("k", "a", "order", network.place) == "call-1"
                with pytest.raises(RequestUnfit, match="another call"):
                    await once.place("k", "a", "other order", network.place)
        assert network.placed == 1
        async with linked(server) as link:
            once = Once(PlacedCalls(link, KEYS))
            assert await once.place("someone else", "a", "other order", network.place) == "call-2"

    run(main())


def test_two_nodes_that_are_asked_at_once_place_one_call() -> None:
    async def main() -> None:
        server, network = FakeServer(), Network(seconds=0.2)
        async with linked(server) as one, linked(server) as two:
            nodes = [Once(PlacedCalls(link, KEYS)) for link in (one, two)]
            first, second = await asyncio.gather(
                *(node.place("k", "a", "order", network.place) for node in nodes), return_exceptions=True
            )
            assert first == "call-1" and isinstance(second, LimitReached) and second.retry_after == 2
            assert await nodes[1].place("k", "a", "order", network.place) == "call-1"
            assert network.placed == 1

    run(main())


def test_a_call_that_could_not_be_placed_frees_the_key_for_all() -> None:
    async def main() -> None:
        server, network = FakeServer(), Network(fails=1)
        async with linked(server) as one, linked(server) as two:
            with pytest.raises(DialFailed):
                await Once(PlacedCalls(one, KEYS)).place("k", "a", "order", network.place)
            assert await Once(PlacedCalls(two, KEYS)).place("k", "a", "order", network.place) == "call-1"

    run(main())


def test_without_redis_each_node_knows_its_own_keys() -> None:
    async def main() -> None:
        server, network = FakeServer(), Network()
        async with linked(server) as link:
            server.connected = False
            once = Once(PlacedCalls(link, KEYS))
            assert [await once.place("k", "a", "order", network.place) for _ in range(3)] == ["call-1"] * 3
            assert link.dropped["idempotency_keys"] == 2 and network.placed == 1

    run(main())


def test_a_node_that_died_while_it_placed_a_call_holds_the_key_for_a_minute() -> None:
    async def main() -> None:
        server = FakeServer()
        async with linked(server) as link:
            book = PlacedCalls(link, KEYS)
            assert await book.claim("name", "order") is None
            assert await book.claim("name", "order") == Earlier("order", "")
            key = KEYS.placed("name")
            assert 50 < await link.call(lambda client: client.ttl(key)) <= 60
            await book.keep("name", "order", "call-1")
            assert await book.claim("name", "order") == Earlier("order", "call-1")
            assert 86_000 < await link.call(lambda client: client.ttl(key)) <= 86_400
            await link.call(lambda client: client.set(key, b"[1"))
            assert await book.claim("name", "order") is None

    run(main())


def test_an_office_that_starts_again_dials_nobody_twice() -> None:
    async def main() -> None:
        server = FakeServer()
        async with linked(server) as link:
            first, again = (Office(Callee(hangs_up=0.1), book=PlacedCalls(link, KEYS)) for _ in range(2))
            assert await first.originator.place(ORDER, owner="k", key="a") == "call1"
            assert await again.originator.place(ORDER, owner="k", key="a") == "call1"
            assert (len(first.network.dialled), len(again.network.dialled)) == (1, 0)
            await first.originator.aclose()

    run(main())


def test_a_fingerprint_tells_orders_apart_and_is_the_same_everywhere() -> None:
    others = [
        Originate("+4930901821", DESK), Originate(BERLIN), Originate(BERLIN, DESK, trunk="carrier"),
        Originate(BERLIN, DESK, caller="+49301"), Originate(BERLIN, DESK, ring_seconds=5.0),
        Originate(BERLIN, DESK, hangs_up=True), Originate(BERLIN, DESK, tape=True),
    ]  # fmt: skip
    assert len({order.fingerprint for order in (ORDER, *others)}) == 8
    assert ORDER.fingerprint == Originate(BERLIN, DESK).fingerprint
