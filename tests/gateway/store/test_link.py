"""A Redis that is killed and back before anybody asks has forgotten something all the same."""

from __future__ import annotations

from typing import Any

from redis.exceptions import NoPermissionError

from gateway.store.link import Link
from tests.engines.riva.fakes import run


class Server:
    """As much of a client as a link needs; its server can be another one from now on."""

    def __init__(self) -> None:
        self.run_id = "first"
        self.allowed = True

    async def info(self, section: str) -> dict[str, Any]:
        if not self.allowed:
            raise NoPermissionError("this user has no permissions to run the 'info' command")
        return {"run_id": self.run_id}

    async def ping(self) -> bool:
        return True

    async def aclose(self) -> None: ...


def test_another_run_of_the_server_counts_as_a_loss() -> None:
    async def main() -> None:
        server, told = Server(), list[str]()
        link = Link(server, 1.0)  # type: ignore[arg-type]
        link.on_return(lambda: told.append("again"))
        for run_id, losses in (("first", 0), ("first", 0), ("second", 1), ("second", 1)):
            server.run_id = run_id
            await link._ask()
            assert (link.up, link.losses, len(told)) == (True, losses, losses)
        await link.aclose()

    run(main())


def test_a_user_who_may_not_ask_for_it_is_told_nothing_and_loses_nothing() -> None:
    async def main() -> None:
        server = Server()
        server.allowed = False
        link = Link(server, 1.0)  # type: ignore[arg-type]
        await link.start()
        assert link.up and link.losses == 0
        await link.aclose()

    run(main())
