"""Every key that Offhook writes into Redis: its name, what it holds, how long it lives."""

from __future__ import annotations

from dataclasses import dataclass

from engines.fleet_redis import index_key, worker_key


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of key."""

    pattern: str
    """After the prefix; `<...>` varies. Braces keep what belongs together in one slot of a cluster."""
    kind: str
    life: str
    holds: str


TABLE = (
    Row("{workers}:<kind>", "set", "1 h after the last heartbeat", "names of workers, `asr` or `tts`"),
    Row("{workers}:<kind>:<name>", "string", "the worker's `fleet.ttl_seconds`", "address, engine, load"),
    Row("{sessions}:<kind>", "set", "1 h after the last change", "ids of calls or streams that run"),
    Row("{sessions}:<kind>:<id>", "string", "`session_seconds`, renewed", "node, since when, facts"),
    Row("{jobs}:queue", "stream", "none: jobs must survive", "ids of jobs that wait or run; group `workers`"),
    Row("{jobs}:job:<id>", "hash", "`job_seconds` from the last change", "payload, state, progress, result"),
    Row("{jobs}:finished", "stream", "the last 10,000", "ids of finished jobs, in order"),
    Row("{usage}:events", "stream", "none: usage must survive", "usage not reported yet; group `report`"),
    Row("{usage}:seen:<id>", "string", "7 days", "an event was taken: none counts twice"),
    Row("{limits:<name>}:bucket", "hash", "until it is full again", "tokens left of a rate limit"),
    Row("{limits:<name>}:held", "sorted set", "until the last lease ends", "leases of a concurrency limit"),
    Row("{outbound:<trunk>}:<day>", "hash", "3 days", "minutes and money that calls of ours have used"),
    Row("{placed}:<hash>", "string", "1 day; 60 s while it is placed", "the call of an idempotency key"),
    Row("{prompts}:<hash>", "string", "`prompt_seconds` from the last use", "a spoken prompt"),
)
"""All of them; the README shows it."""


class Keys:
    """Names of keys under one prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.queue = f"{prefix}:{{jobs}}:queue"
        self.finished = f"{prefix}:{{jobs}}:finished"
        self.usage = f"{prefix}:{{usage}}:events"

    def workers(self, kind: str) -> str:
        """Names of the workers of a kind."""
        return index_key(self.prefix, "asr" if kind == "asr" else "tts")

    def worker(self, kind: str, name: str) -> str:
        """One worker."""
        return worker_key(self.prefix, "asr" if kind == "asr" else "tts", name)

    def sessions(self, kind: str) -> str:
        """Ids of the sessions of a kind."""
        return f"{self.prefix}:{{sessions}}:{kind}"

    def session(self, kind: str, session_id: str) -> str:
        """One session."""
        return f"{self.sessions(kind)}:{session_id}"

    def job(self, job_id: str) -> str:
        """One batch job."""
        return f"{self.prefix}:{{jobs}}:job:{job_id}"

    def usage_seen(self, event_id: str) -> str:
        """Whether a usage event was taken."""
        return f"{self.prefix}:{{usage}}:seen:{event_id}"

    def bucket(self, name: str) -> str:
        """A rate limit."""
        return f"{self.prefix}:{{limits:{name}}}:bucket"

    def held(self, name: str) -> str:
        """A concurrency limit."""
        return f"{self.prefix}:{{limits:{name}}}:held"

    def outbound(self, trunk: str, day: str) -> str:
        """What calls through a trunk used of a day."""
        return f"{self.prefix}:{{outbound:{trunk}}}:{day}"

    def placed(self, name: str) -> str:
        """Which call an idempotency key stands for."""
        return f"{self.prefix}:{{placed}}:{name}"

    def prompt(self, digest: str) -> str:
        """A spoken prompt."""
        return f"{self.prefix}:{{prompts}}:{digest}"
