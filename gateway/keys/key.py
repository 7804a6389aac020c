"""What a key is: how it looks, what is kept of it, what it may do."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

PREFIX = "offhook"
"""Opens every key, so that scanners of leaked secrets can find one."""
_FORM = re.compile(rf"{PREFIX}_([0-9a-f]{{12}})_([A-Za-z0-9_-]{{43}})")
_SECRET_OCTETS = 32


class Scope(StrEnum):
    """What a key may be used for."""

    LISTEN = "listen"
    """Speech to text, live and in batch."""
    SPEAK = "speak"
    """Text to speech."""
    CALLS = "calls"
    """The calls that run, and their records."""
    CONTROL = "control"
    """Place calls, steer those that run, end them, drain the node."""
    WORDS = "words"
    """What was said and which keys were pressed, in events and records of calls; recordings."""
    WEB_CALLS = "web_calls"
    """Call tokens, with which a page may call once."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key as it is kept: never its secret, only what proves it."""

    key_id: str
    """Twelve hexadecimal digits; shown in lists and logs."""
    name: str
    """Whose it is, in the operator's words."""
    digest: str
    """SHA-256 of the secret, hexadecimal. The secret holds 256 random bits, so no slow hash is needed."""
    scopes: frozenset[Scope]
    created: datetime
    expires: datetime | None = None
    """From then on it is refused; None: never."""
    per_minute: int = 0
    """Requests and sockets begun in a minute; 0: as many as the node takes."""
    at_once: int = 0
    """Requests and sockets at the same time; 0: as many as the node takes."""
    revoked: datetime | None = None

    def proves(self, secret: str) -> bool:
        """Whether the secret is this key's; takes as long for a wrong one."""
        return hmac.compare_digest(digest_of(secret), self.digest)


def split(text: str) -> tuple[str, str] | None:
    """A written key's id and secret; None for what is none of ours."""
    found = _FORM.fullmatch(text)
    return (found.group(1), found.group(2)) if found else None


def digest_of(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def made(
    name: str,
    scopes: Iterable[Scope],
    created: datetime,
    *,
    expires: datetime | None = None,
    per_minute: int = 0,
    at_once: int = 0,
) -> tuple[Key, str]:
    """A new key, and its text, which nobody can see again."""
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(_SECRET_OCTETS)
    key = Key(
        key_id=key_id,
        name=name,
        digest=digest_of(secret),
        scopes=frozenset(scopes),
        created=created,
        expires=expires,
        per_minute=per_minute,
        at_once=at_once,
    )
    return key, f"{PREFIX}_{key_id}_{secret}"
