"""The store's section of the configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from engines.fleet import check_prefix, check_url


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Where sessions, workers, jobs, usage and rate limits are kept."""

    url: str = field(default="", repr=False)
    """A server of yours: `redis://host:6379/0`, `rediss://user:password@host`, `unix:///path`,
    `redis+sentinel://host:26379/name`, `redis+cluster://host:6379`; also `REDIS_URL` in the environment.
    Empty: a local one."""
    local: Literal["auto", "server", "process"] = "auto"
    """Without `url`: `server` starts a `redis-server` that only this node reaches, `process` keeps everything
    in memory and loses it at the end; `auto`: the server where one is installed."""
    prefix: str = "offhook"
    """What every key begins with; nodes and workers that belong together share it."""
    folder: str = ""
    """For the local server's data and for usage that Redis did not take yet; empty: `store` in
    `node.record_dir`."""
    deadline_seconds: float = 0.5
    """0.02 to 30: for one command; then Redis counts as lost, and calls go on without it."""
    connections: int = 16
    """2 to 1000: at once, from this node."""
    memory_mb: int = 256
    """16 to 1,000,000: what the local server may hold; beyond it nothing new is taken."""
    session_seconds: float = 60.0
    """3 to 86,400: a node silent for so long no longer counts, nor do its calls and streams."""
    jobs: int = 10_000
    """1 to 10,000,000: batch jobs that may wait; the next one is refused."""
    job_lease_seconds: float = 30.0
    """0.5 to 3600: a worker silent for so long loses its job to another."""
    job_attempts: int = 3
    """1 to 100: workers that may break on a job before it counts as failed."""
    job_seconds: int = 86_400
    """60 to 31,536,000: how long a job and its result are kept."""
    prompt_seconds: int = 604_800
    """0 to 31,536,000: how long spoken prompts are kept for other nodes; 0: not at all."""
    spool_mb: int = 64
    """1 to 100,000: usage kept on disk while Redis is gone; beyond it events are dropped and counted."""

    def __post_init__(self) -> None:
        if self.url:
            check_url("url", self.url)
        check_prefix(self.prefix)
        ranges: dict[str, tuple[float, float]] = {
            "deadline_seconds": (0.02, 30), "connections": (2, 1000), "memory_mb": (16, 1_000_000),
            "session_seconds": (3, 86_400), "jobs": (1, 10_000_000), "job_lease_seconds": (0.5, 3600),
            "job_attempts": (1, 100), "job_seconds": (60, 31_536_000), "prompt_seconds": (0, 31_536_000),
            "spool_mb": (1, 100_000),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: give {low:g} to {high:g}")
