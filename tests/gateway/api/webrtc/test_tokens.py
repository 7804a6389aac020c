"""Call tokens: one call each, soon, for what they were made, and nobody can make one up."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.webrtc.tokens import PREFIX, CallTokens, Grant
from gateway.errors import KeyRefused, RequestUnfit

GRANT = Grant("4930123", "Ada", "https://shop.example", "0123456789ab")
SECRET = "s" * 32


class Wall:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_token_says_what_it_was_made_for() -> None:
    wall = Wall()
    tokens = CallTokens(SECRET, wall)
    text, expires = tokens.make(GRANT, 60)
    read = tokens.read(text)
    assert read.grant == GRANT
    assert read.expires == pytest.approx(expires, abs=0.001)
    assert expires == wall.now + 60


def test_nodes_with_one_secret_take_each_others_tokens() -> None:
    wall = Wall()
    text, _ = CallTokens(SECRET, wall).make(GRANT, 60)
    assert CallTokens(SECRET, wall).read(text).grant == GRANT
    for other in ("t" * 32, "", ""):
        with pytest.raises(KeyRefused, match="no call token of ours"):
            CallTokens(other, wall).read(text)


def test_it_expires() -> None:
    wall = Wall()
    tokens = CallTokens(SECRET, wall)
    text, _ = tokens.make(GRANT, 60)
    wall.now += 59.9
    tokens.read(text)
    wall.now += 0.2
    with pytest.raises(KeyRefused, match="expired"):
        tokens.read(text)


def test_it_is_good_for_one_call() -> None:
    wall = Wall()
    tokens = CallTokens(SECRET, wall)
    text, _ = tokens.make(GRANT, 600)
    token = tokens.read(text)
    asyncio.run(tokens.use(token))
    for again in (lambda: tokens.read(text), lambda: asyncio.run(tokens.use(token))):
        with pytest.raises(KeyRefused, match="used already"):
            again()
    wall.now += 599
    with pytest.raises(KeyRefused, match="used already"):
        tokens.read(text)


def test_a_call_that_did_not_come_about_gives_it_back() -> None:
    tokens = CallTokens(SECRET, Wall())
    text, _ = tokens.make(GRANT, 60)
    token = tokens.read(text)
    asyncio.run(tokens.use(token))
    asyncio.run(tokens.give_back(token))
    asyncio.run(tokens.use(tokens.read(text)))


class Elsewhere:
    """What other nodes have used."""

    def __init__(self) -> None:
        self.used: set[str] = set()

    async def take(self, token_id: str) -> bool:
        fresh = token_id not in self.used
        self.used.add(token_id)
        return fresh

    async def give_back(self, token_id: str) -> None:
        self.used.discard(token_id)


def test_what_another_node_took_is_refused() -> None:
    wall, elsewhere = Wall(), Elsewhere()
    one, other = (CallTokens(SECRET, wall, elsewhere) for _ in range(2))
    text, _ = one.make(GRANT, 60)
    asyncio.run(one.use(one.read(text)))
    with pytest.raises(KeyRefused, match="used already"):
        asyncio.run(other.use(other.read(text)))


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_changed_token_is_refused(at: int, octet: int) -> None:
    tokens = CallTokens(SECRET, Wall())
    text, _ = tokens.make(GRANT, 60)
    at = at % len(text)
    changed = text[:at] + chr(octet) + text[at + 1 :]
    # The last character of base64 holds bits that nobody reads.
    if changed.rstrip("=") == text or at == len(text) - 1:
        return
    with pytest.raises(KeyRefused):
        tokens.read(changed)


@given(st.text(max_size=300))
def test_nonsense_is_refused(text: str) -> None:
    for written in (text, f"{PREFIX}_{text}", f"{PREFIX}_{text}.{text}"):
        with pytest.raises(KeyRefused):
            CallTokens(SECRET, Wall()).read(written)


@pytest.mark.parametrize(
    ("grant", "seconds", "field"),
    [
        (GRANT, 601, "ttl"),
        (GRANT, 0, "ttl"),
        (Grant(""), 60, "to"),
        (Grant("x" * 65), 60, "to"),
        (Grant("1", "a\nb"), 60, "caller"),
    ],
)
def test_what_must_not_be_granted_is_not(grant: Grant, seconds: float, field: str) -> None:
    with pytest.raises(RequestUnfit) as caught:
        CallTokens(SECRET, Wall()).make(grant, seconds)
    assert caught.value.field == field
