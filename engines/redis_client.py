"""A client of Redis from one URL: plain, TLS, unix socket, Sentinel or cluster; deadlines on all commands."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeAlias, cast
from urllib.parse import SplitResult, parse_qsl, unquote

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from engines.redis_url import CLUSTER, SENTINEL, check

RedisClient: TypeAlias = Redis
"""What `connect` gives. A cluster's client has the same commands; its own type adds nothing for us."""

LOST = (RedisError, OSError, TimeoutError)
"""What a command raises when Redis or the network is gone, slow or full."""

_SENTINEL_PORT = 26379


def connect(url: str, *, seconds: float, connections: int = 16) -> RedisClient:
    """A client; it connects when it is first used, and anew after a loss.

    `seconds`: for a connection, and for each answer. `connections`: at most so many at once; who needs one
    more waits for one, no longer than `seconds`. Raises `ValueError` for a URL that cannot be used; the
    message holds no password.
    """
    parts = check(url)
    # One command, one try: the caller has a deadline, and decides itself what is worth another try.
    options: dict[str, Any] = {
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        "max_connections": connections,
        "retry": Retry(NoBackoff(), 0),
        "decode_responses": False,
    }
    if parts.scheme in CLUSTER:
        return cast(RedisClient, _cluster(parts, url, options))
    if parts.scheme in SENTINEL:
        return _sentinel(parts, options)
    return Redis.from_pool(BlockingConnectionPool.from_url(url, timeout=seconds, **options))


def cancelled() -> bool:
    """Whether somebody wants the current task to end.

    A command that ends in the very moment in which its task is cancelled may swallow that (`asyncio.wait_for`
    of Python 3.11 does, and the client library awaits through the like); loops over commands ask here.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _cluster(parts: SplitResult, url: str, options: dict[str, Any]) -> RedisCluster:
    plain = url.replace("+cluster", "", 1)
    # One more try where another node answers for a slot by now.
    return RedisCluster.from_url(plain, **{**options, "retry": Retry(NoBackoff(), 1)})


def _sentinel(parts: SplitResult, options: dict[str, Any]) -> RedisClient:
    """`redis+sentinel://user:password@host1:26379,host2:26379/master?db=0`: the password is the master's."""
    user, _, hosts = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    query = dict(parse_qsl(parts.query))
    sentinels = [_host(host) for host in hosts.split(",")]
    tls: dict[str, Any] = {"ssl": True} if parts.scheme.startswith("rediss") else {}
    sentinel = Sentinel(  # type: ignore[no-untyped-call]  # untyped there
        sentinels,
        sentinel_kwargs={
            "socket_timeout": options["socket_timeout"],
            "socket_connect_timeout": options["socket_connect_timeout"],
            "retry": Retry(NoBackoff(), 0),  # the next one may know
            **tls,
        },
    )
    master: _Master = sentinel.master_for(
        parts.path.strip("/"),
        redis_class=_Master,
        db=int(query.get("db", "0")),
        username=unquote(name) or None,
        password=unquote(password) or None,
        **tls,
        **options,
    )
    master.asked = sentinel.sentinels
    return master


class _Master(Redis):
    """A master found through Sentinel; who was asked is let go with it."""

    asked: Sequence[Redis] = ()

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await super().aclose(close_connection_pool)
        for sentinel in self.asked:
            await sentinel.aclose()


def _host(written: str) -> tuple[str, int]:
    host, colon, port = written.rpartition(":")
    if colon and port.isdigit():
        return host.strip("[]"), int(port)
    return written.strip("[]"), _SENTINEL_PORT
