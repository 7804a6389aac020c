"""Limits of recordings, jobs and callbacks."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.secret import Secret


@dataclass(frozen=True, slots=True)
class CallbackSettings:
    """Results that are sent to an address of the client's, signed as Standard Webhooks has it."""

    secret: Secret = Secret()
    """Signs every callback: `whsec_` and base64 of 24 to 64 random octets; `offhook batch secret` makes one.
    Without it jobs with a callback are refused."""
    tries: int = 8
    """How often a callback is sent until it is answered with 2xx, 1 to 20."""
    first_wait: float = 2.0
    """Seconds before the second try, 0.1 to 600; each later wait is four times as long."""
    longest_wait: float = 3600.0
    """Seconds that a wait lasts at most, 1 to 86,400."""
    seconds: float = 15.0
    """Seconds in which a callback must be answered, 1 to 120."""
    at_once: int = 16
    """Callbacks on their way at the same time, 1 to 1000; those that wait for another try do not count."""

    def __post_init__(self) -> None:
        limits: dict[str, tuple[float, float]] = {
            "tries": (1, 20),
            "first_wait": (0.1, 600),
            "longest_wait": (1, 86_400),
            "seconds": (1, 120),
            "at_once": (1, 1000),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: must lie between {low:g} and {high:g}")


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """Recordings beside live calls."""

    at_once: int = 2
    """Recordings recognised at the same time; more wait. 1 to 64."""
    waiting: int = 64
    """Requests that may wait for their recording before the next is refused as busy; 0 to 10,000."""
    endpoint_ms: int = 500
    """Silence that ends an utterance of a recording, 100 to 10,000, where the client names none."""
    jobs_waiting: int = 1000
    """Jobs that may wait; the next is refused as busy. 1 to 1,000,000."""
    jobs_kept: int = 1000
    """Finished jobs whose results can still be asked for, the oldest forgotten first; 1 to 100,000."""
    engine_tries: int = 5
    """How often a job is tried while the recogniser has no room or breaks, 1 to 100."""
    callback: CallbackSettings = field(default_factory=CallbackSettings)
    """Results sent to an address of the client's."""

    def __post_init__(self) -> None:
        limits: dict[str, tuple[int, int]] = {
            "at_once": (1, 64),
            "waiting": (0, 10_000),
            "endpoint_ms": (100, 10_000),
            "jobs_waiting": (1, 1_000_000),
            "jobs_kept": (1, 100_000),
            "engine_tries": (1, 100),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: must lie between {low} and {high}")
