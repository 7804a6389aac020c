"""Whether one more call would break the running ones, judged by what is measured. Pure; time comes in.

Each figure is what it would be with one call more: load grows about as the calls do. A figure beyond its
limit refuses new calls until it has come down well below: otherwise each call that ends would let one in
that breaks the rest again.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AdmissionSettings:
    """When new calls are refused for the sake of the running ones."""

    enabled: bool = True
    """Refuse by measured load at all; `limits.max_calls` holds in any case."""
    loop_lag_p99: float = 0.1
    """Seconds, 0.01 to 10, by which one in a hundred timers of the event loop may be late."""
    engine_load: float = 1.0
    """Load of the least loaded recogniser with the new call, 0.1 to 10; 1 is full."""
    turn_p99: float = 1.0
    """Seconds, 0.2 to 60, that one turn in a hundred may take without the agent's share and the pause that
    ends a turn."""
    resume: float = 0.8
    """Share of a limit, 0.1 to 1, below which calls are taken again."""
    window_seconds: float = 15.0
    """Measurements that count, 2 to 600 seconds."""
    free_calls: int = 2
    """So many calls are taken whatever is measured, 1 to 1,900: a node that has nothing to do is not slow
    because of its calls."""

    def __post_init__(self) -> None:
        limits: dict[str, tuple[float, float]] = {
            "loop_lag_p99": (0.01, 10),
            "engine_load": (0.1, 10),
            "turn_p99": (0.2, 60),
            "resume": (0.1, 1),
            "window_seconds": (2, 600),
            "free_calls": (1, 1900),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: must lie between {low:g} and {high:g}")


class _Window:
    """Measurements of the last so many seconds."""

    def __init__(self, seconds: float, least: int) -> None:
        self._seconds = seconds
        self._least = least
        self._values: deque[tuple[float, float]] = deque(maxlen=20_000)

    def add(self, at: float, value: float) -> None:
        self._values.append((at, value))

    def p99(self, now: float) -> float:
        """0 while there are too few to tell."""
        while self._values and self._values[0][0] < now - self._seconds:
            self._values.popleft()
        if len(self._values) < self._least:
            return 0.0
        ordered = sorted(value for _, value in self._values)
        return ordered[min(len(ordered) - 2, int(0.99 * len(ordered)))]


@dataclass(frozen=True, slots=True)
class _Gauge:
    reason: str
    limit: float
    read: Callable[[float], float]
    grows: bool = True
    """Whether one more call is yet to be counted in."""


class Admission:
    """Hears measurements, and says whether one more call is taken. Belongs to one event loop."""

    def __init__(
        self,
        settings: AdmissionSettings,
        clock: Callable[[], float],
        engine_load: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`engine_load`: of the recogniser that the next call would get, with that call."""
        self._settings = settings
        self._clock = clock
        self._lag = _Window(settings.window_seconds, least=40)
        self._turns = _Window(settings.window_seconds * 4, least=20)
        self._gauges: Sequence[_Gauge] = (
            _Gauge("loop_lag", settings.loop_lag_p99, self._lag.p99),
            _Gauge("engine_load", settings.engine_load, lambda now: engine_load(), grows=False),
            _Gauge("turn_time", settings.turn_p99, self._turns.p99),
        )
        self._closed: set[str] = set()
        self.refused: Counter[str] = Counter()

    def lag(self, seconds: float) -> None:
        """The event loop ran a timer so late."""
        self._lag.add(self._clock(), seconds)

    def turn(self, seconds: float) -> None:
        """What a turn took of our own."""
        self._turns.add(self._clock(), seconds)

    def judge(self, running: int) -> str:
        """Why one more call beside so many is refused, "" when it is taken. Counts refusals."""
        why = self.state(running)
        if why:
            self.refused[why] += 1
        return why

    def state(self, running: int) -> str:
        """The same without counting."""
        settings = self._settings
        if not settings.enabled or running < settings.free_calls:
            self._closed.clear()
            return ""
        now = self._clock()
        for gauge in self._gauges:
            limit = gauge.limit * (settings.resume if gauge.reason in self._closed else 1.0)
            factor = (running + 1) / running if gauge.grows else 1.0
            if gauge.read(now) * factor > limit:
                self._closed.add(gauge.reason)
                return gauge.reason
            self._closed.discard(gauge.reason)
        return ""

    def figures(self) -> dict[str, float]:
        """What is measured now."""
        now = self._clock()
        return {gauge.reason: gauge.read(now) for gauge in self._gauges}
