"""Which workers there are. A `Fleet` tells from a snapshot, at once; how it learns is its own affair.

`fleet_static.StaticFleet` asks addresses from the configuration, `fleet_redis.RedisFleet` reads what workers
announce of themselves through `fleet_announce.Announcer`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from engines import redis_url

WorkerKind: TypeAlias = Literal["asr", "tts"]

KINDS: tuple[WorkerKind, ...] = ("asr", "tts")

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})")
_LONGEST_ADDRESS = 300
_NAME = re.compile(r"[A-Za-z0-9._:\[\]-]{1,120}")
_PREFIX = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """One worker as it was last seen."""

    name: str
    """Unique among the workers of its kind."""
    kind: WorkerKind
    address: str
    """`host:port` of its gRPC."""
    engine: str
    """The engine it serves, such as "moonshine"; "" when it does not tell."""
    running: int
    """Requests that it serves now."""
    places: int
    """Requests that it takes at once; 0 when it does not tell."""
    ready: bool
    """Whether it takes requests: not while it loads, drains, hangs or cannot be reached."""
    seen: float
    """When it was last heard of: seconds of the running loop's clock, like `media.clock.now`."""


class Fleet(Protocol):
    """The workers that could serve a call."""

    def workers(self, kind: WorkerKind) -> tuple[WorkerSeen, ...]:
        """Those known now, ready or not, in a stable order. Never waits."""

    async def start(self) -> None:
        """Begin to look; returns at the latest after one deadline, whatever the network does."""

    async def aclose(self) -> None:
        """Stop looking. Idempotent."""


@dataclass(frozen=True, slots=True)
class AnnounceSettings:
    """How a worker makes itself known to gateways through Redis."""

    redis: str = field(default="", repr=False)
    """URL such as `redis://host:6379/0`, `rediss://user:password@host`, `unix:///path`,
    `redis+sentinel://host:26379/name` or `redis+cluster://host:6379`; empty: the worker is not announced."""
    advertise: str = ""
    """`host:port` at which gateways reach this worker's gRPC; empty: the address that it listens on."""
    name: str = ""
    """Its name among the workers of its kind; empty: the address."""
    prefix: str = "offhook"
    """What every key begins with; the gateways' `redis.prefix`."""
    heartbeat_seconds: float = 1.0
    """0.05 to 60: how often it says that it lives, and how much it has to do."""
    ttl_seconds: float = 5.0
    """At least two heartbeats, up to 600: a worker silent for so long is forgotten."""

    def __post_init__(self) -> None:
        if self.redis:
            check_url("redis", self.redis)
        if self.advertise:
            check_address("advertise", self.advertise)
        if self.name and not _NAME.fullmatch(self.name):
            raise ValueError("name: give up to 120 letters, digits, dots, dashes, colons and brackets")
        check_prefix(self.prefix)
        if not 0.05 <= self.heartbeat_seconds <= 60:
            raise ValueError("heartbeat_seconds: give 0.05 to 60")
        if not 2 * self.heartbeat_seconds <= self.ttl_seconds <= 600:
            raise ValueError("ttl_seconds: give at least two heartbeats, at most 600")

    @property
    def enabled(self) -> bool:
        """Whether the worker is announced at all."""
        return bool(self.redis)


def check_address(field_name: str, address: str) -> tuple[str, int]:
    """Host and port of `host:port`, an IPv6 host in brackets. Raises `ValueError` that names the field."""
    found = _ADDRESS.fullmatch(address) if len(address) <= _LONGEST_ADDRESS else None
    if found is None or not 0 < int(found[2]) < 65536:
        raise ValueError(f"{field_name}: give host:port, not {address[:80]!r}")
    return found[1], int(found[2])


def check_url(field_name: str, url: str) -> None:
    """Raises `ValueError` that names the field, without the URL's password."""
    try:
        redis_url.check(url)
    except ValueError as error:
        raise ValueError(f"{field_name}: {error}") from None


def check_prefix(prefix: str) -> None:
    """Raises `ValueError` for what cannot begin a key: braces would decide where a cluster keeps it."""
    if not _PREFIX.fullmatch(prefix):
        raise ValueError("prefix: give 1 to 64 letters, digits, dots, dashes and underscores")
