"""What calls of ours may cost in a day, kept in a real Redis: for all nodes, over restarts and outages."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.control.guard import Guard, Spent
from gateway.control.guarded_dialer import GuardedDialer
from gateway.control.outbound_settings import OutboundRule, OutboundSettings
from gateway.errors import DialDenied
from gateway.store.settings import RedisSettings
from gateway.store.store import Store, open_store
from media.legs.base import EndReason
from tests.engines.riva.fakes import run, until
from tests.fakes.callee import Callee, CalleeNetwork
from tests.fakes.office import BERLIN, TRUNK
from tests.live.store.redis_process import free_port, redis_server

pytestmark = pytest.mark.live

DAY = "2026-01-02"
RULE = OutboundRule("carrier", allow=("*",), daily_cost=0.25, prices={"*": 0.1})
"""Two minutes a day can be paid."""
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


def noon() -> datetime:
    return datetime(2026, 1, 2, 12, tzinfo=UTC)


class Node:
    """One node's dialer over the shared store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        network = CalleeNetwork(*(Callee(answers=0.02) for _ in range(9)))
        guard = Guard(OutboundSettings((RULE,)))
        self.dialer = GuardedDialer(guard, network, {TRUNK.name: TRUNK}, store.outbound, noon)

    @classmethod
    async def open(cls, name: str, port: int, folder: Path) -> Node:
        settings = RedisSettings(prefix="live", url=f"redis://127.0.0.1:{port}", deadline_seconds=0.5)
        store = await open_store(settings, name, folder)
        await until(lambda: store.link.up)
        return cls(store)

    async def calls(self) -> None:
        """A call of a minute or less. Raises `DialDenied`."""
        leg = await self.dialer.dial(BERLIN, trunk="carrier")
        await leg.hangup(EndReason.AGENT_HUNG_UP)
        await self.dialer.aclose()

    async def denied(self) -> str:
        """Why it may not call."""
        with pytest.raises(DialDenied) as denied:
            await self.calls()
        return denied.value.reason

    async def aclose(self) -> None:
        await self.store.aclose()


def go(main: Any) -> None:
    run(main, 60.0)


def test_two_nodes_share_a_days_money_and_a_restart_forgets_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        port = free_port()
        async with redis_server(tmp_path, port):
            one, two = await Node.open("one", port, tmp_path), await Node.open("two", port, tmp_path)
            await one.calls()
            await two.calls()
            assert await one.denied() == await two.denied() == "daily_cost"
            assert await two.store.outbound.read("carrier", DAY) == Spent(2, 2_000)
            key = one.store.keys.outbound("carrier", DAY)
            left = await one.store.link.call(lambda client: client.ttl(key))
            assert 2 * 86_400 < left <= 3 * 86_400
            await one.aclose()
            again = await Node.open("one", port, tmp_path)
            assert await again.denied() == "daily_cost"
            await again.aclose()
            await two.aclose()

    go(main())


def test_what_was_used_while_redis_was_away_is_added_when_it_is_back(tmp_path: Path) -> None:
    async def main() -> None:
        port = free_port()
        async with redis_server(tmp_path, port, *DURABLE):
            one, two = await Node.open("one", port, tmp_path), await Node.open("two", port, tmp_path)
            await one.calls()
        await until(lambda: not one.store.link.up and not two.store.link.up, 20.0)
        await one.calls()  # its own sum is known without Redis
        assert await one.denied() == "daily_cost"
        assert one.store.link.dropped["outbound_totals"] >= 1
        async with redis_server(tmp_path, port, *DURABLE):
            await until(lambda: one.store.link.up and two.store.link.up, 20.0)
            assert await one.store.outbound.read("carrier", DAY) == Spent(2, 2_000)
            assert await two.denied() == "daily_cost"
            await one.aclose()
            await two.aclose()

    go(main())


def test_many_minutes_at_once_are_all_counted(tmp_path: Path) -> None:
    async def main() -> None:
        port = free_port()
        async with redis_server(tmp_path, port):
            nodes = [await Node.open(name, port, tmp_path) for name in ("one", "two", "three")]
            await asyncio.gather(
                *(node.store.outbound.add("carrier", DAY, 1, 7) for node in nodes for _ in range(200))
            )
            found = [await node.store.outbound.read("carrier", DAY) for node in nodes]
            assert found == [Spent(600, 4_200)] * 3
            assert await nodes[0].store.outbound.read("carrier", "2026-01-03") == Spent()
            for node in nodes:
                await node.aclose()

    go(main())
