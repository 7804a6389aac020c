"""Orders to calls that end meanwhile: refused, never broken."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from gateway.calls.orders import Hold, Order, OrderRefused
from gateway.control.event_feed import EventFeed
from gateway.control.event_log import EventLog
from gateway.control.order_desk import OrderDesk
from media.legs.base import EndReason
from tests.virtual_time import run_virtual


class Busy:
    """A running call that does this with every order."""

    call_id = "c1"

    def __init__(self, obeys: Callable[[], Awaitable[None]]) -> None:
        self.obeys = obeys

    def hang_up(self, reason: EndReason) -> None: ...

    async def obey(self, order: Order) -> None:
        await self.obeys()


class Bench:
    def __init__(self, obeys: Callable[[], Awaitable[None]]) -> None:
        self.events = EventLog(100, "e", lambda: datetime(2026, 1, 2, tzinfo=UTC))
        self.calls = {"c1": Busy(obeys)}
        self.desk = OrderDesk(self.calls.get, EventFeed(self.events), 3, lambda: "order-1")

    async def refused(self, wait: float = 5.0) -> str:
        """What whoever gave an order is told."""
        with pytest.raises(OrderRefused) as refused:
            await self.desk.give("c1", Hold(True), wait=wait)
        return refused.value.detail


def test_what_the_order_waits_for_may_be_given_up() -> None:
    async def main() -> None:
        waits: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def obeys() -> None:
            await waits

        bench = Bench(obeys)
        asyncio.get_running_loop().call_later(1.0, waits.cancel)
        assert await bench.refused() == "the call ended meanwhile"

    run_virtual(main())


def test_an_order_that_breaks_because_its_call_is_over_is_refused() -> None:
    async def main() -> None:
        async def obeys() -> None:
            await asyncio.sleep(1.0)
            bench.calls.clear()
            raise RuntimeError("a closed thing was used")

        bench = Bench(obeys)
        assert await bench.refused() == "the call ended meanwhile"

    run_virtual(main())


def test_an_order_that_breaks_in_a_running_call_is_our_mistake() -> None:
    async def main() -> None:
        async def obeys() -> None:
            raise RuntimeError("a bug")

        bench = Bench(obeys)
        with pytest.raises(RuntimeError, match="a bug"):
            await bench.desk.give("c1", Hold(True), wait=1.0)

    run_virtual(main())


def test_whoever_waits_while_the_node_ends_is_told() -> None:
    async def main() -> None:
        bench = Bench(lambda: asyncio.sleep(60.0))
        waiting = asyncio.create_task(bench.refused(30.0))
        await asyncio.sleep(1.0)
        await bench.desk.aclose()
        assert await waiting == "the node is ending"

    run_virtual(main())
