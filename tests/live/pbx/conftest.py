"""One exchange and one node beside it, for all tests here; without an Asterisk they are passed over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.gateway.listening import Listener
from tests.live.gateway.node import Node, eventually
from tests.live.pbx.exchange import NUMBER, PASSWORD, Exchange, root_of_asterisk

_PLAN = """
routes:
  - name: registered
    match: {trunk: registered}
    actions: [answer, agent: echo]
  - name: by-address
    match: {trunk: by-address, called: echo}
    actions: [answer, agent: echo]
"""


@pytest.fixture(scope="session")
def exchange() -> Iterator[Exchange]:
    """A running Asterisk. The tests that ask for it are passed over where there is none."""
    root = root_of_asterisk()
    if root is None:
        pytest.skip("no Asterisk: python -m callers.asterisk_chroot FOLDER, then OFFHOOK_ASTERISK=FOLDER")
    with Exchange(root) as made:
        made.begin()
        yield made


@pytest.fixture(scope="session")
def node(exchange: Exchange, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Our gateway: registered at the exchange, and known to it by its address."""
    registered = {
        "name": "registered",
        "sources": ["127.0.0.1"],
        "registrar": f"sip:{exchange.registrar}",
        "user": NUMBER,
        "password": PASSWORD,
        "outbound": True,
    }
    by_address = {
        "name": "by-address",
        "sources": ["127.0.0.2"],
        "domain": exchange.by_address,
        "outbound": True,
        "refer": "ask",
    }
    rules = [
        {"trunk": trunk, "extensions": ["???"], "per_minute": 100, "refer": trunk == "by-address"}
        for trunk in ("registered", "by-address")
    ]
    settings = {
        "sip": {"udp_port": exchange.gateway, "trunks": [registered, by_address]},
        "outbound": {"rules": rules},
        "session": {"turns": {"guards": {"media_lost": 12.0}}},
    }
    with Node(tmp_path_factory.mktemp("pbx"), settings, _PLAN) as running:
        yield running


@pytest.fixture(autouse=True)
def nobody_talks_on(exchange: Exchange, node: Node) -> Iterator[None]:
    """Each test ends with a quiet exchange, and with no call on our side either."""
    yield
    exchange.hang_up()

    def quiet() -> None:
        assert not node.calls() and not exchange.channels(), (node.calls(), exchange.channels())

    eventually(quiet)


@pytest.fixture(scope="session")
def listener() -> Iterator[Listener]:
    """The recogniser, loaded once."""
    made = Listener()
    yield made
    made.close()
