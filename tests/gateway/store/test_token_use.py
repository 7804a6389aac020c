"""Call tokens that one node took are used up for all."""

from __future__ import annotations

from fakeredis import FakeServer

from gateway.store.limits import Limits
from gateway.store.token_use import SharedTokenUse
from tests.engines.riva.fakes import run
from tests.gateway.store.parts import KEYS, Clock, linked


def test_a_token_is_taken_once_among_nodes_and_may_be_given_back() -> None:
    async def main() -> None:
        server = FakeServer()
        async with linked(server) as a, linked(server) as b:
            one, two = (SharedTokenUse(Limits(link, KEYS, Clock()), 600.0) for link in (a, b))
            assert await one.take("t")
            assert not await two.take("t")
            await one.give_back("t")
            assert await two.take("t")
            assert not await one.take("t")

    run(main())
