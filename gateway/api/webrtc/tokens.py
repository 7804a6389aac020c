"""Call tokens: who holds one may call once, soon, from one page. Pure; time is an argument."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.errors import KeyRefused, LimitReached, RequestUnfit
from gateway.webrtc_settings import LONGEST_TOKEN

PREFIX = "offhookcall"
"""Opens every token, so that scanners of leaked secrets can find one."""
_LONGEST = 2_048
_MOST_USED = 100_000
_MOST_NAME = 64


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token allows."""

    to: str
    """Number or name that is called, as the dialplan matches it."""
    caller: str = ""
    """Who calls, as the agent and the record are told."""
    origin: str = ""
    """The page's origin; "" for any that the node takes."""
    key_id: str = ""
    """The key that it was made with."""


@dataclass(frozen=True, slots=True)
class CallToken:
    """A token that was read and believed."""

    token_id: str
    expires: float
    grant: Grant


class TokenUse(Protocol):
    """What other nodes have used. `gateway.store.token_use` shares it among them."""

    async def take(self, token_id: str) -> bool:
        """Whether nobody else has used it; nobody else can from now on."""

    async def give_back(self, token_id: str) -> None:
        """Let somebody use it after all. Never raises."""


class AloneUse:
    """A node alone: what it took itself, `CallTokens` knows."""

    async def take(self, token_id: str) -> bool:
        """See `TokenUse.take`."""
        return True

    async def give_back(self, token_id: str) -> None:
        """See `TokenUse.give_back`."""


class CallTokens:
    """Makes tokens, reads them, and lets each be used once."""

    def __init__(self, secret: str, wall: Callable[[], float], elsewhere: TokenUse | None = None) -> None:
        """`secret` signs; "" makes one that dies with the process. `wall`: seconds since 1970."""
        self._key = hashlib.sha256(
            b"offhook call token" + (secret or secrets.token_hex(32)).encode()
        ).digest()
        self._wall = wall
        self._elsewhere = elsewhere or AloneUse()
        self._used: OrderedDict[str, float] = OrderedDict()

    def make(self, grant: Grant, seconds: float) -> tuple[str, float]:
        """A token and when it expires, wall seconds. Raises `RequestUnfit`."""
        _check(grant, seconds)
        expires = self._wall() + seconds
        claims = {
            "id": secrets.token_urlsafe(12),
            "exp": round(expires, 3),
            "to": grant.to,
            "by": grant.caller,
            "org": grant.origin,
            "key": grant.key_id,
        }
        body = _encoded(json.dumps(claims, separators=(",", ":")).encode())
        return f"{PREFIX}_{body}.{_encoded(self._sign(body))}", expires

    def read(self, text: str) -> CallToken:
        """A token's grant. Raises `KeyRefused` for one that is none, ran out or was used."""
        prefix, _, rest = text.partition("_")
        body, _, signature = rest.partition(".")
        if prefix != PREFIX or len(text) > _LONGEST or not _is_signed(self._sign(body), signature):
            raise KeyRefused("this is no call token of ours")
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        token = CallToken(
            claims["id"], claims["exp"], Grant(claims["to"], claims["by"], claims["org"], claims["key"])
        )
        if token.expires <= self._wall():
            raise KeyRefused("this call token has expired; ask for a new one")
        if token.token_id in self._used:
            raise KeyRefused("this call token was used already; each is good for one call")
        return token

    async def use(self, token: CallToken) -> None:
        """Let nobody use it again. Raises `KeyRefused` or `LimitReached`."""
        now = self._wall()
        while self._used and next(iter(self._used.values())) <= now - LONGEST_TOKEN:
            self._used.popitem(last=False)
        if token.token_id in self._used:
            raise KeyRefused("this call token was used already; each is good for one call")
        if len(self._used) >= _MOST_USED:
            # Forgetting one would let it be used twice.
            raise LimitReached("too many calls were made of late", retry_after=60)
        self._used[token.token_id] = now
        if not await self._elsewhere.take(token.token_id):
            raise KeyRefused("this call token was used already; each is good for one call")

    async def give_back(self, token: CallToken) -> None:
        """The call did not come about: the token is good again."""
        self._used.pop(token.token_id, None)
        await self._elsewhere.give_back(token.token_id)

    def _sign(self, body: str) -> bytes:
        return hmac.digest(self._key, body.encode(), "sha256")


def _check(grant: Grant, seconds: float) -> None:
    if not 1 <= seconds <= LONGEST_TOKEN:
        raise RequestUnfit(f"must lie between 1 and {LONGEST_TOKEN:.0f} seconds", field="ttl")
    for field, text in (("to", grant.to), ("caller", grant.caller)):
        if len(text) > _MOST_NAME or not text.isprintable():
            raise RequestUnfit(f"at most {_MOST_NAME} printable characters", field=field)
    if not grant.to:
        raise RequestUnfit("name the number or the agent that is called", field="to")


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _is_signed(expected: bytes, signature: str) -> bool:
    try:
        given = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(expected, given)
