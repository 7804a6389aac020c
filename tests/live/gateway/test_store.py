"""A node with its store: a call is a session that others see, and goes on when Redis does not."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from callers.sipp import CallPlan, Sipp
from engines.redis_client import connect
from gateway.store.keys import Keys
from gateway.store.link import Link
from gateway.store.sessions import Session, Sessions
from tests.live.gateway.listening import prompt, same_words, speech
from tests.live.gateway.node import Node, eventually

pytestmark = pytest.mark.live

PROMPT = "conf-now-recording"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("node"), {}) as running:
        yield running


def store_line(node: Node) -> dict[str, str]:
    line: dict[str, str] = next(line for line in node.log if line.get("event") == "store")
    return line


def redis_pid(node: Node) -> int:
    """The node's own server."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, _, rest = (folder / "stat").read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if name.startswith("redis-server") and int(rest.split()[1]) == node.process.pid:
            return int(folder.name)
    raise AssertionError("the node has no redis-server")


def seen(node: Node) -> list[Session]:
    """Running calls, as another node would see them."""

    async def ask() -> list[Session]:
        link = Link(connect(store_line(node)["redis"], seconds=2.0), 2.0)
        try:
            return await Sessions(link, Keys("offhook"), "other", 60.0).all("call")
        finally:
            await link.aclose()

    return asyncio.run(ask())


def store(node: Node, what: str) -> float:
    return node.metrics().get(f'offhook_store{{what="{what}"}}', 0.0)


def test_the_node_starts_a_server_of_its_own_and_says_so(node: Node) -> None:
    assert store_line(node)["mode"] == "server" and redis_pid(node)
    assert store(node, "up") == 1.0


@pytest.mark.parametrize(("harm", "caller"), [(signal.SIGKILL, "3101"), (signal.SIGSTOP, "3102")])
def test_a_call_goes_on_when_redis_is_gone(
    node: Node, harm: signal.Signals, caller: str, tmp_path: Path
) -> None:
    # A killed server is back so soon that the node may not have missed it.
    noticed = "server_restarts" if harm is signal.SIGKILL else "losses"
    before = store(node, noticed)
    plan = CallPlan(node.target, audio=speech(tmp_path, PROMPT), hold_s=6.5, caller=caller)
    with Sipp(plan) as sipp:

        def listed() -> Session:
            sessions = seen(node)
            assert len(sessions) == 1
            return sessions[0]

        session = eventually(listed)
        assert session.node.startswith("offhook-") and session.facts["route"] == "echo"
        assert caller not in str(session)
        pid = redis_pid(node)
        os.kill(pid, harm)
        counts = sipp.wait()
    if harm is signal.SIGSTOP:
        assert store(node, "up") == 0.0
        os.kill(pid, signal.SIGCONT)
    assert (counts.answered, counts.failed) == (1, 0), counts
    (record,) = node.records(caller)
    assert record["end_reason"] == "caller_hung_up"
    said = record["turns"][0]["said"]
    assert same_words(prompt(PROMPT).text, said) >= 0.8
    assert same_words(said, record["turns"][0]["heard"]) == 1.0

    def back() -> None:
        assert store(node, "up") == 1.0 and store(node, noticed) > before
        assert seen(node) == []

    eventually(back)
