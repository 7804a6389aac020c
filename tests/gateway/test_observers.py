from __future__ import annotations

import re

import pytest

from gateway.calls.timings import BargeInTimings
from gateway.metrics import HOPS, Metrics
from gateway.observers import MetricsObserver
from tests.fakes.timings import timed_turn


def samples(metrics: Metrics) -> dict[str, float]:
    text = metrics.render()[0].decode()
    return {
        name: float(value) for name, value in re.findall(r"^(offhook_\S+) (\S+)$", text, flags=re.MULTILINE)
    }


def test_a_turn_becomes_hops_that_add_up_to_it() -> None:
    metrics = Metrics()
    MetricsObserver(metrics).timed("c1", timed_turn())
    found = samples(metrics)
    assert all(found[f'offhook_hop_seconds_count{{hop="{hop}"}}'] == 1 for hop in HOPS)
    total = sum(found[f'offhook_hop_seconds_sum{{hop="{hop}"}}'] for hop in HOPS)
    assert total == pytest.approx(0.64) == found["offhook_turn_seconds_sum"]
    assert found['offhook_hop_work_seconds_sum{hop="asr_final"}'] == pytest.approx(0.11)


def test_a_turn_without_sound_is_not_counted_as_one() -> None:
    metrics = Metrics()
    MetricsObserver(metrics).timed("c1", timed_turn(first_packet=0.0))
    assert samples(metrics)["offhook_turn_seconds_count"] == 0


def test_an_interruption_is_measured() -> None:
    metrics = Metrics()
    MetricsObserver(metrics).barged_in("c1", BargeInTimings(5.0, 5.05, 5.12))
    assert samples(metrics)["offhook_barge_in_seconds_sum"] == pytest.approx(0.12)
    assert "c1" not in metrics.render()[0].decode()
