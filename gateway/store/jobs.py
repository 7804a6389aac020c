"""Batch jobs on a Redis stream: submitted once, run by whichever worker is free, finished once.

A worker holds a job by a lease that it renews; one that is killed or hangs loses it to another. Whoever
finishes first publishes the result; a second result for the same job is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from redis.exceptions import ResponseError

from gateway.errors import QueueFull
from gateway.store.keys import Keys
from gateway.store.link import Link

T = TypeVar("T")

GROUP = "workers"
MOST_BYTES = 1_048_576
"""Of a payload or a result; recordings stay where they are, and the payload names them."""
_BLOCK_MS = 200
"""How long one look for a new job waits."""
_FINISHED = 10_000
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")

_SUBMIT = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 'known' end
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[3]) then return 'full' end
redis.call('HSET', KEYS[1], 'state', 'queued', 'payload', ARGV[2], 'attempts', 0, 'progress', 0)
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('XADD', KEYS[2], '*', 'id', ARGV[1])
return 'taken'
"""

# A job that is finished, or that nobody remembers, leaves the queue; every other one counts one more attempt.
_BEGIN = """
local state = redis.call('HGET', KEYS[1], 'state')
if not state or state == 'done' or state == 'failed' then
  redis.call('XACK', KEYS[2], ARGV[2], ARGV[1])
  redis.call('XDEL', KEYS[2], ARGV[1])
  return {}
end
redis.call('HSET', KEYS[1], 'state', 'running', 'worker', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return {redis.call('HGET', KEYS[1], 'payload'), redis.call('HINCRBY', KEYS[1], 'attempts', 1)}
"""

# Only its holder may renew a lease: one that was away too long must not take the job back.
_RENEW = """
local held = redis.call('XPENDING', KEYS[1], ARGV[2], ARGV[1], ARGV[1], 1)
if #held == 0 or held[1][2] ~= ARGV[3] then return 0 end
redis.call('XCLAIM', KEYS[1], ARGV[2], ARGV[3], 0, ARGV[1], 'JUSTID')
redis.call('HSET', KEYS[2], 'progress', ARGV[4])
redis.call('EXPIRE', KEYS[2], ARGV[5])
return 1
"""

_FINISH = """
redis.call('XACK', KEYS[2], ARGV[2], ARGV[1])
redis.call('XDEL', KEYS[2], ARGV[1])
local state = redis.call('HGET', KEYS[1], 'state')
if not state or state == 'done' or state == 'failed' then return 0 end
redis.call('HSET', KEYS[1], 'state', ARGV[3], 'result', ARGV[4], 'progress', 1)
redis.call('HDEL', KEYS[1], 'payload')
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[7], '*', 'id', ARGV[6], 'state', ARGV[3])
return 1
"""


class JobState(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as anybody may ask for it."""

    state: JobState
    progress: float
    """0..1."""
    attempts: int
    result: bytes | None
    """What the worker made of it, or, of a failed one, why."""


@dataclass(frozen=True, slots=True)
class Held:
    """A job in a worker's hands."""

    entry: str
    """Its place in the stream."""
    job_id: str
    payload: bytes
    attempt: int
    """1 for the first worker."""


class Jobs:
    """The queue, for those who submit, ask and work. Every method raises `StoreLost` while Redis is gone."""

    def __init__(self, link: Link, keys: Keys, *, most: int, keep: int) -> None:
        """`most`: jobs that may wait. `keep`: seconds that a job is remembered after its last change."""
        self._link, self._keys, self._most, self._keep = link, keys, most, keep

    async def submit(self, job_id: str, payload: bytes) -> bool:
        """Queue a job; False when one of this id is there already. Raises `QueueFull`, `ValueError`."""
        if not _ID.fullmatch(job_id):
            raise ValueError("job id: give 1 to 128 letters, digits, dots, dashes, underscores and colons")
        if len(payload) > MOST_BYTES:
            raise ValueError(f"payload: is longer than {MOST_BYTES} octets; put a reference into it")
        keys = (self._keys.job(job_id), self._keys.queue)
        answer = await self._eval(_SUBMIT, keys, job_id, payload, self._most, self._keep)
        if answer == b"full":
            raise QueueFull(f"{self._most} jobs wait already")
        return bool(answer == b"taken")

    async def view(self, job_id: str) -> JobView | None:
        """How a job stands; None when nobody remembers it."""
        fields = ("state", "progress", "attempts", "result")
        held = await self._link.call(lambda client: client.hmget(self._keys.job(job_id), *fields))
        state, progress, attempts, result = held
        if state is None:
            return None
        return JobView(JobState(state.decode()), float(progress or 0), int(attempts or 0), result)

    async def waiting(self) -> int:
        """Jobs that wait or run."""
        return int(await self._link.call(lambda client: client.xlen(self._keys.queue)))

    async def next(self, worker: str, lease: float) -> Held | None:
        """A job whose worker was silent for `lease` seconds, else a new one; None after a short look."""
        entry = await self._grouped(lambda client: self._abandoned(client, worker, lease))
        if entry is None:
            entry = await self._grouped(lambda client: self._fresh(client, worker))
        if entry is None:
            return None
        place, job_id = entry
        keys = (self._keys.job(job_id), self._keys.queue)
        begun = await self._eval(_BEGIN, keys, place, GROUP, worker, self._keep)
        return Held(place, job_id, begun[0], int(begun[1])) if begun else None

    async def renew(self, held: Held, worker: str, progress: float) -> bool:
        """Keep the lease; False when it is another's by now."""
        keys = (self._keys.queue, self._keys.job(held.job_id))
        kept = await self._eval(_RENEW, keys, held.entry, GROUP, worker, f"{progress:.4f}", self._keep)
        return bool(kept)

    async def finish(self, held: Held, state: JobState, result: bytes) -> bool:
        """Publish the result; False when the job had one already: then this one is dropped."""
        keys = (self._keys.job(held.job_id), self._keys.queue, self._keys.finished)
        told = result[:MOST_BYTES] if state is JobState.FAILED else result
        won = await self._eval(
            _FINISH, keys, held.entry, GROUP, state.value, told, self._keep, held.job_id, _FINISHED
        )
        return bool(won)

    async def _eval(self, script: str, keys: tuple[str, ...], *arguments: object) -> Any:
        return await self._link.call(lambda client: client.eval(script, len(keys), *keys, *arguments))

    async def _grouped(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Do it; where the group is missing (at first, or after Redis lost everything), make it and do it."""

        async def with_group(client: Any) -> T:
            try:
                return await work(client)
            except ResponseError as error:
                if "NOGROUP" not in str(error):
                    raise
            try:
                await client.xgroup_create(self._keys.queue, GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise
            return await work(client)

        return await self._link.call(with_group)

    async def _abandoned(self, client: Any, worker: str, lease: float) -> tuple[str, str] | None:
        idle = round(lease * 1000)
        answer = await client.xautoclaim(self._keys.queue, GROUP, worker, idle, "0-0", count=1)
        return _entry(answer[1])

    async def _fresh(self, client: Any, worker: str) -> tuple[str, str] | None:
        answer = await client.xreadgroup(GROUP, worker, {self._keys.queue: ">"}, count=1, block=_BLOCK_MS)
        streams = list(answer.values()) if isinstance(answer, dict) else [part[1] for part in answer or ()]
        entries = streams[0] if streams else []
        return _entry(entries[0] if entries and isinstance(entries[0], list) else entries)


def _entry(entries: Any) -> tuple[str, str] | None:
    if not entries:
        return None
    place, fields = entries[0]
    return place.decode(), (fields or {}).get(b"id", b"").decode()
