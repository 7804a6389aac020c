"""Metrics: observed values come out, nothing names a call."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from gateway.calls.timings import Hop
from gateway.metrics import HOPS, Metrics


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_a_turns_ledger_is_observed_hop_by_hop(registry: CollectorRegistry) -> None:
    metrics = Metrics(registry)
    metrics.turns.observe({"vad": 0.1, "agent": 0.2, "turn": 0.4})
    metrics.turns.observe({"barge_in": 0.09})
    assert registry.get_sample_value("offhook_hop_seconds_sum", {"hop": "vad"}) == 0.1
    assert registry.get_sample_value("offhook_hop_seconds_count", {"hop": "tx"}) == 0
    assert registry.get_sample_value("offhook_turn_seconds_sum") == 0.4
    assert registry.get_sample_value("offhook_turn_seconds_bucket", {"le": "0.4"}) == 1
    assert registry.get_sample_value("offhook_barge_in_seconds_bucket", {"le": "0.08"}) == 0
    assert registry.get_sample_value("offhook_barge_in_seconds_bucket", {"le": "0.1"}) == 1


def test_work_that_was_done_ahead_is_observed_apart(registry: CollectorRegistry) -> None:
    Metrics(registry).turns.observe_work({"asr_final": 0.3})
    assert registry.get_sample_value("offhook_hop_work_seconds_sum", {"hop": "asr_final"}) == 0.3
    assert registry.get_sample_value("offhook_hop_seconds_sum", {"hop": "asr_final"}) == 0


def test_the_hops_are_those_of_the_ledger() -> None:
    assert HOPS == tuple(Hop)


def test_an_unknown_hop_is_an_error(registry: CollectorRegistry) -> None:
    with pytest.raises(KeyError):
        Metrics(registry).turns.observe({"teleport": 0.1})


def test_every_hop_is_there_before_the_first_turn(registry: CollectorRegistry) -> None:
    text = Metrics(registry).render()[0].decode()
    assert [hop for hop in HOPS if f'offhook_hop_seconds_count{{hop="{hop}"}} 0.0' not in text] == []


def test_calls_are_counted_by_direction_and_reason(registry: CollectorRegistry) -> None:
    calls = Metrics(registry).calls
    calls.began("inbound")
    calls.began("inbound")
    calls.ended("inbound", "caller_hung_up", 12.5)
    calls.refused("too_many_calls")
    assert registry.get_sample_value("offhook_calls_active", {"direction": "inbound"}) == 1
    assert registry.get_sample_value("offhook_calls_ended_total", {"reason": "caller_hung_up"}) == 1
    assert registry.get_sample_value("offhook_call_seconds_sum") == 12.5
    assert registry.get_sample_value("offhook_calls_refused_total", {"reason": "too_many_calls"}) == 1


def test_engines_queues_loop_and_reloads_are_counted(registry: CollectorRegistry) -> None:
    metrics = Metrics(registry)
    metrics.engines.done("asr", "moonshine", "ok", 0.2)
    metrics.engines.done("asr", "moonshine", "EngineBusy", 0.0)
    metrics.dropped("asr", 3)
    metrics.loop_lag(0.004)
    metrics.dialplan_reloaded(True)
    metrics.dialplan_reloaded(False)
    labels = {"kind": "asr", "engine": "moonshine"}
    assert (
        registry.get_sample_value("offhook_engine_requests_total", {**labels, "outcome": "EngineBusy"}) == 1
    )
    assert registry.get_sample_value("offhook_engine_seconds_count", labels) == 2
    assert registry.get_sample_value("offhook_queue_drops_total", {"queue": "asr"}) == 3
    assert registry.get_sample_value("offhook_loop_lag_seconds_bucket", {"le": "0.005"}) == 1
    assert registry.get_sample_value("offhook_dialplan_reloads_total", {"outcome": "refused"}) == 1


def test_other_parts_numbers_are_read_when_somebody_looks(registry: CollectorRegistry) -> None:
    metrics = Metrics(registry)
    counts: dict[str, float] = {}
    metrics.watch_counters("framebus", "Frames by what became of them", lambda: counts)
    metrics.watch_gauges("ports", "Ports by state", lambda: {"quarantined": 2})
    counts.update(late=3, dropped=1)
    assert registry.get_sample_value("offhook_framebus_total", {"what": "late"}) == 3
    assert registry.get_sample_value("offhook_ports", {"what": "quarantined"}) == 2


def test_the_text_follows_what_the_asker_accepts(registry: CollectorRegistry) -> None:
    metrics = Metrics(registry)
    assert metrics.render()[1].startswith("text/plain")
    assert metrics.render("application/openmetrics-text; version=1.0.0")[1].startswith(
        "application/openmetrics"
    )


def test_without_a_registry_each_has_its_own() -> None:
    first, second = Metrics(), Metrics()
    first.calls.refused("full")
    assert b'reason="full"' in first.render()[0]
    assert b'reason="full"' not in second.render()[0]


def test_no_metric_is_labelled_by_call(registry: CollectorRegistry) -> None:
    metrics = Metrics(registry)
    metrics.calls.began("inbound")
    labels = {label for family in registry.collect() for sample in family.samples for label in sample.labels}
    assert labels <= {"hop", "direction", "reason", "kind", "engine", "outcome", "queue", "what", "le"}
