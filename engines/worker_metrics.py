"""What a worker counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_WAITS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10)


class WorkerMetrics:
    """Serves `WireWatch`; `render` gives the text that Prometheus reads."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        self._requests = Counter(
            "offhook_worker_requests", "Requests by their status", ["method", "status"], registry=registry
        )
        self._refusals = Counter(
            "offhook_worker_refusals", "Turned away at the door", ["method", "why"], registry=registry
        )
        self._running = Gauge(
            "offhook_worker_running", "Requests being served", ["method"], registry=registry
        )
        self._heard = Counter("offhook_worker_heard_seconds", "Sound taken in", registry=registry)
        self._said = Counter("offhook_worker_said_seconds", "Sound given out", registry=registry)
        self._final = Histogram(
            "offhook_worker_final_seconds",
            "From the end of a segment to its final on the wire",
            buckets=_WAITS,
            registry=registry,
        )
        self._sound = Histogram(
            "offhook_worker_first_sound_seconds",
            "From a text to its first sound on the wire",
            buckets=_WAITS,
            registry=registry,
        )
        self._state = Gauge(
            "offhook_worker_state", "1 for the state that the worker is in", ["state"], registry=registry
        )

    def opened(self, method: str) -> None:
        """See `WireWatch`."""
        self._running.labels(method).inc()

    def closed(self, method: str, status: str) -> None:
        """See `WireWatch`."""
        self._running.labels(method).dec()
        self._requests.labels(method, status).inc()

    def refused(self, method: str, why: str) -> None:
        """See `WireWatch`."""
        self._refusals.labels(method, why).inc()

    def heard(self, seconds: float) -> None:
        """See `WireWatch`."""
        self._heard.inc(seconds)

    def said(self, seconds: float) -> None:
        """See `WireWatch`."""
        self._said.inc(seconds)

    def final_after(self, seconds: float) -> None:
        """See `WireWatch`."""
        self._final.observe(seconds)

    def sound_after(self, seconds: float) -> None:
        """See `WireWatch`."""
        self._sound.observe(seconds)

    def state(self, now: str, others: Iterable[str]) -> None:
        """The worker is in the state `now`, in none of the others."""
        for name in others:
            self._state.labels(name).set(float(name == now))

    def watch_engine(self, stats: Callable[[], Mapping[str, float]]) -> None:
        """Show what the engine counts itself."""
        self._registry.register(_EngineStats(stats))

    def tell_engine(self, name: str, facts: Mapping[str, str]) -> None:
        """Which engine it is and what is known of it, as labels of a gauge that is always 1."""
        labels = {key: value for key, value in facts.items() if key.isidentifier() and key != "engine"}
        info = Gauge("offhook_worker_engine_info", "The engine", ["engine", *labels], registry=self._registry)
        info.labels(name, *labels.values()).set(1)

    def render(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry)


class _EngineStats(Collector):
    """The engine's own numbers, read when somebody looks."""

    def __init__(self, stats: Callable[[], Mapping[str, float]]) -> None:
        self._stats = stats

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily("offhook_worker_engine", "What the engine counts", labels=["what"])
        for name, value in self._stats().items():
            family.add_metric([name], float(value))
        return [family]
