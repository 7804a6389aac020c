"""Rate and concurrency limits that all nodes share. Without Redis each node counts for itself."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from gateway.errors import StoreLost
from gateway.store.keys import Keys
from gateway.store.link import Link

# One round trip, one moment: two nodes never take the same token. The clock is Redis' own, the same for all.
_TAKE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local held = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(held[1] or burst), tonumber(held[2] or now)
tokens = math.min(burst, tokens + math.max(0, now - at) * rate)
local wait = 0
if tokens >= 1 then tokens = tokens - 1 else wait = (1 - tokens) / rate end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((burst - tokens) / rate * 1000) + 1000)
return tostring(wait)
"""

_ENTER = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not known and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[1])
redis.call('PEXPIRE', KEYS[1], tonumber(ARGV[3]) + 1000)
return 1
"""

_LOCAL = 10_000
"""Limits that a node counts for itself; then the least used are forgotten."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Limits:
    """Asked before work is taken; never waits longer than one deadline."""

    def __init__(self, link: Link, keys: Keys, clock: Callable[[], float]) -> None:
        """`clock`: seconds, monotonic, for what is counted without Redis."""
        self._link, self._keys, self._clock = link, keys, clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._held: OrderedDict[str, dict[str, float]] = OrderedDict()

    async def take(self, name: str, per_minute: float, burst: float = 0.0) -> float:
        """Take one token of the limit: 0.0 if there was one, else seconds until there is.

        `burst`: tokens that may be taken at once; 0: a minute's.
        """
        rate, most = per_minute / 60, burst or max(per_minute, 1.0)
        try:
            wait = await self._link.call(
                lambda client: client.eval(_TAKE, 1, self._keys.bucket(name), rate, most)
            )
            return float(wait)
        except StoreLost:
            self._link.dropped["shared_limits"] += 1
            return self._take_here(name, rate, most)

    async def enter(self, name: str, lease: str, most: int, seconds: float) -> bool:
        """Take one of `most` places for so long, or renew it; False when all are taken."""
        try:
            key, life = self._keys.held(name), round(seconds * 1000)
            return bool(await self._link.call(lambda client: client.eval(_ENTER, 1, key, lease, most, life)))
        except StoreLost:
            self._link.dropped["shared_limits"] += 1
            return self._enter_here(name, lease, most, seconds)

    async def leave(self, name: str, lease: str) -> None:
        """Give the place back; without Redis it comes back by itself."""
        self._held.get(name, {}).pop(lease, None)
        try:
            await self._link.call(lambda client: client.zrem(self._keys.held(name), lease))
        except StoreLost:
            self._link.dropped["lease_ends"] += 1

    def _take_here(self, name: str, rate: float, most: float) -> float:
        at = self._clock()
        bucket = self._buckets.setdefault(name, _Bucket(most, at))
        self._buckets.move_to_end(name)
        bucket.tokens = min(most, bucket.tokens + (at - bucket.at) * rate)
        bucket.at = at
        while len(self._buckets) > _LOCAL:
            self._buckets.popitem(last=False)
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return 0.0
        return (1 - bucket.tokens) / rate

    def _enter_here(self, name: str, lease: str, most: int, seconds: float) -> bool:
        at = self._clock()
        held = self._held.setdefault(name, {})
        self._held.move_to_end(name)
        for old in [key for key, until in held.items() if until <= at]:
            del held[old]
        while len(self._held) > _LOCAL:
            self._held.popitem(last=False)
        if lease not in held and len(held) >= most:
            return False
        held[lease] = at + seconds
        return True
