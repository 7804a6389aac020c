"""Every Prometheus metric and every list of buckets, in one place. No metric carries a call's id."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from engines.base import Switch

HOPS = ("vad", "rx", "endpoint", "asr_final", "agent", "tts", "tx")
"""The hops of one turn, in the order in which sound passes them; together they make the turn."""

_HOP_BUCKETS = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 1.5, 2, 3, 5,
    10,
)  # fmt: skip
_TURN_BUCKETS = (
    0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10, 20,
)  # fmt: skip
_BARGE_IN_BUCKETS = (
    0.02,
    0.04,
    0.06,
    0.07,
    0.08,
    0.1,
    0.12,
    0.14,
    0.16,
    0.2,
    0.25,
    0.3,
    0.4,
    0.5,
    0.75,
    1,
    2,
)
_STALL_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_CALL_BUCKETS = (1, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
_WORK_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30)


class TurnMetrics:
    """How long turns take, hop by hop."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._hops = Histogram(
            "offhook_hop_seconds",
            "What a hop added to the caller's wait; the hops of a turn add up to it",
            ["hop"],
            buckets=_HOP_BUCKETS,
            registry=registry,
        )
        self._turn = Histogram(
            "offhook_turn_seconds",
            "True end of the caller's speech to the first audible packet of the reply",
            buckets=_TURN_BUCKETS,
            registry=registry,
        )
        self._barge_in = Histogram(
            "offhook_barge_in_seconds",
            "Caller's first voiced sample to the last packet that carries the interrupted reply",
            buckets=_BARGE_IN_BUCKETS,
            registry=registry,
        )
        self._work = Histogram(
            "offhook_hop_work_seconds",
            "How long a hop's work took, done ahead of time or not",
            ["hop"],
            buckets=_HOP_BUCKETS,
            registry=registry,
        )
        self._by_name = {hop: self._hops.labels(hop) for hop in HOPS}
        self._work_by_name = {hop: self._work.labels(hop) for hop in HOPS}

    def observe(self, hops: Mapping[str, float]) -> None:
        """One turn's ledger, in seconds: any of `HOPS`, `turn`, `barge_in`; raises `KeyError` for others."""
        for hop, seconds in hops.items():
            if hop == "turn":
                self._turn.observe(seconds)
            elif hop == "barge_in":
                self._barge_in.observe(seconds)
            else:
                self._by_name[hop].observe(seconds)

    def observe_work(self, hops: Mapping[str, float]) -> None:
        """How long each hop worked, in seconds; raises `KeyError` for what is none of `HOPS`."""
        for hop, seconds in hops.items():
            self._work_by_name[hop].observe(seconds)


class CallMetrics:
    """How many calls there are, how they end, what is refused."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._active = Gauge("offhook_calls_active", "Calls running now", ["direction"], registry=registry)
        self._ended = Counter("offhook_calls_ended", "Calls by why they ended", ["reason"], registry=registry)
        self._refused = Counter(
            "offhook_calls_refused", "Calls not taken, by the answer's reason", ["reason"], registry=registry
        )
        self._seconds = Histogram(
            "offhook_call_seconds", "Duration of calls", buckets=_CALL_BUCKETS, registry=registry
        )

    def began(self, direction: str) -> None:
        """A call was admitted."""
        self._active.labels(direction).inc()

    def ended(self, direction: str, reason: str, seconds: float) -> None:
        """A call that began is over."""
        self._active.labels(direction).dec()
        self._ended.labels(reason).inc()
        self._seconds.observe(seconds)

    def refused(self, reason: str) -> None:
        """A call was not taken; `reason` comes from a closed list, never from the wire."""
        self._refused.labels(reason).inc()


class EngineMetrics:
    """What engines and agents were asked, how it went, how long it took."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "offhook_engine_requests",
            "Work asked of engines and agents, by outcome",
            ["kind", "engine", "outcome"],
            registry=registry,
        )
        self._seconds = Histogram(
            "offhook_engine_seconds",
            "Time an engine or agent worked on one request",
            ["kind", "engine"],
            buckets=_WORK_BUCKETS,
            registry=registry,
        )

        self._switches = Counter(
            "offhook_engine_switches",
            "Changes of engine within calls",
            ["kind", "source", "target", "why"],
            registry=registry,
        )
        self._gaps = Histogram(
            "offhook_engine_switch_gap_seconds",
            "How long callers waited for the engine that took over",
            ["kind"],
            buckets=_HOP_BUCKETS,
            registry=registry,
        )

    def switched(self, switch: Switch) -> None:
        """An engine took over from another one, and what that cost is known, or it gave nothing."""
        # Workers of a fleet come and go; their entry of the configuration stays.
        source, target = (name.partition("/")[0] for name in (switch.source, switch.target))
        self._switches.labels(switch.kind, source, target, switch.why).inc()
        if not math.isnan(switch.gap):
            self._gaps.labels(switch.kind).observe(switch.gap)

    def done(self, kind: str, engine: str, outcome: str, seconds: float) -> None:
        """One request: kind `asr`, `tts` or `agent`; outcome `ok`, `cancelled` or an error class's name."""
        self._requests.labels(kind, engine, outcome).inc()
        self._seconds.labels(kind, engine).observe(seconds)


class ApiMetrics:
    """What the speech APIs were asked, how it went, how much sound passed. Serves `ApiWatch`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._active = Gauge(
            "offhook_api_active",
            "Requests and sockets of the speech APIs now",
            ["api", "kind"],
            registry=registry,
        )
        self._ended = Counter(
            "offhook_api_requests",
            "Requests and sockets of the speech APIs, by outcome",
            ["api", "kind", "outcome"],
            registry=registry,
        )
        self._seconds = Histogram(
            "offhook_api_seconds",
            "Duration of requests and sockets of the speech APIs",
            ["api", "kind"],
            buckets=_CALL_BUCKETS,
            registry=registry,
        )
        self._sound = Counter(
            "offhook_api_sound_seconds", "Sound that came in and went out", ["api", "way"], registry=registry
        )
        self._characters = Counter(
            "offhook_api_characters", "Characters that were spoken", ["api"], registry=registry
        )
        self._refused = Counter(
            "offhook_api_refused", "Requests turned away at the door", ["reason"], registry=registry
        )

    def began(self, api: str, kind: str) -> None:
        """A request was let in."""
        self._active.labels(api, kind).inc()

    def ended(self, api: str, kind: str, outcome: str, seconds: float, features: Sequence[str] = ()) -> None:
        """A request that began is over; outcome `ok`, `gone` or an error class's name."""
        self._active.labels(api, kind).dec()
        self._ended.labels(api, kind, outcome).inc()
        self._seconds.labels(api, kind).observe(seconds)

    def heard(self, api: str, seconds: float) -> None:
        """So much sound came in."""
        self._sound.labels(api, "in").inc(seconds)

    def said(self, api: str, seconds: float, characters: int) -> None:
        """So much sound went out, made of so many characters."""
        self._sound.labels(api, "out").inc(seconds)
        self._characters.labels(api).inc(characters)

    def turned_away(self, reason: str) -> None:
        """Somebody was not let in; `reason` comes from a closed list."""
        self._refused.labels(reason).inc()


class Metrics:
    """All metrics of one process, in a registry of the caller's choice or one of their own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self._registry = registry
        self.turns = TurnMetrics(registry)
        self.calls = CallMetrics(registry)
        self.engines = EngineMetrics(registry)
        self.api = ApiMetrics(registry)
        self._drops = Counter(
            "offhook_queue_drops",
            "Items dropped because a bounded queue was full",
            ["queue"],
            registry=registry,
        )
        self._stall = Histogram(
            "offhook_loop_lag_seconds",
            "How late the event loop ran a timer",
            buckets=_STALL_BUCKETS,
            registry=registry,
        )
        self._reloads = Counter(
            "offhook_dialplan_reloads", "Readings of a changed dialplan", ["outcome"], registry=registry
        )

    def dropped(self, queue: str, count: int = 1) -> None:
        """Items that a full queue did not take."""
        self._drops.labels(queue).inc(count)

    def loop_lag(self, seconds: float) -> None:
        """One measurement of the stall probe."""
        self._stall.observe(seconds)

    def dialplan_reloaded(self, ok: bool) -> None:
        """A changed dialplan was read, or refused."""
        self._reloads.labels("ok" if ok else "refused").inc()

    def watch_counters(self, name: str, help_text: str, read: Callable[[], Mapping[str, float]]) -> None:
        """Publish counts that another part keeps itself as `offhook_<name>_total{what=…}`."""
        self._registry.register(_Reader(f"offhook_{name}", help_text, read, CounterMetricFamily))

    def watch_gauges(self, name: str, help_text: str, read: Callable[[], Mapping[str, float]]) -> None:
        """Publish levels that another part keeps itself as `offhook_<name>{what=…}`."""
        self._registry.register(_Reader(f"offhook_{name}", help_text, read, GaugeMetricFamily))

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Everything in the text format that `accept` asks for, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _Reader(Collector):
    """Asks a part for its numbers only when somebody looks: counting costs nothing on the path of sound."""

    def __init__(
        self,
        name: str,
        help_text: str,
        read: Callable[[], Mapping[str, float]],
        family: type[CounterMetricFamily] | type[GaugeMetricFamily],
    ) -> None:
        self._name = name
        self._help = help_text
        self._read = read
        self._family = family

    def collect(self) -> Iterable[Metric]:
        family = self._family(self._name, self._help, labels=["what"])
        for what, value in sorted(self._read().items()):
            family.add_metric([what], float(value))
        yield family

    def describe(self) -> Iterable[Metric]:
        """Keeps registration from reading the part, which may not run yet."""
        yield self._family(self._name, self._help, labels=["what"])
