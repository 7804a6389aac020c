"""Would the store work as it is configured? For the doctor."""

from __future__ import annotations

import asyncio
from pathlib import Path

from engines.redis_client import LOST, connect
from engines.redis_url import shown
from gateway.store.local_server import installed
from gateway.store.settings import RedisSettings

_SECONDS = 5.0


class StoreUnfit(Exception):
    """It would not: what is wrong, and the cure."""

    def __init__(self, what: str, cure: str) -> None:
        super().__init__(what)
        self.cure = cure


async def check_store(settings: RedisSettings, folder: Path) -> str:
    """What was found, in a few words. `folder`: for what is kept on disk. Raises `StoreUnfit`."""
    if not settings.url:
        return _local(settings, folder)
    name, loop = shown(settings.url), asyncio.get_running_loop()
    client = connect(settings.url, seconds=settings.deadline_seconds, connections=2)
    try:
        async with asyncio.timeout(_SECONDS):
            await client.ping()
            began = loop.time()
            # As every part uses it: a script, under the prefix.
            key = f"{settings.prefix}:{{doctor}}"
            await client.eval("return redis.call('EXISTS', KEYS[1])", 1, key)
            took = loop.time() - began
    except LOST as error:
        cure = "start it, mend redis.url (also REDIS_URL), or see what its user may do: it needs EVAL"
        raise StoreUnfit(f"{name} cannot be used: {str(error) or type(error).__name__}", cure) from None
    finally:
        await client.aclose()
    if took > settings.deadline_seconds / 2:
        cure = "move Redis nearer, or raise redis.deadline_seconds"
        raise StoreUnfit(f"{name} took {took * 1000:.0f} ms for one command", cure)
    return f"{name} answers within {took * 1000:.1f} ms"


def _local(settings: RedisSettings, folder: Path) -> str:
    binary = None if settings.local == "process" else installed()
    if binary is None and settings.local == "server":
        cure = "install it (apt-get install redis-server), set redis.url, or redis.local: process"
        raise StoreUnfit("redis-server is not installed", cure)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        cure = "set redis.folder, or give this user the right to write there"
        raise StoreUnfit(f"{folder} cannot be written: {error.strerror}", cure) from None
    if binary is None:
        return "none: jobs and sessions are kept in memory and end with the node"
    return f"{binary}, started by the node, on a socket of its own"
