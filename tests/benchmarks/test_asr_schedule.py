"""The simulation of a GPU's queue."""

from __future__ import annotations

import pytest

from benchmarks.asr_schedule import ARMS, Curve, Simulation, carries
from benchmarks.report import quantiles
from engines.nemo.geometry import fastconformer

CUT = fastconformer(1)
CURVE = Curve(0.002, 0.0001)


@pytest.mark.parametrize("arm", sorted(ARMS))
def test_a_light_load_is_heard_at_once_and_to_the_last_word(arm: str) -> None:
    told = Simulation(arm, 20, CUT, CURVE, 16).run(10.0)
    assert told.unheard == 0
    assert 20 < len(told.finals) < 60 and len(told.chunks) > 400
    assert min(told.chunks) >= CURVE.of(1) - 1e-9 and max(told.chunks) < 0.03


def test_all_arms_hear_the_same_callers() -> None:
    heard = {arm: Simulation(arm, 50, CUT, CURVE, 16).run(5.0) for arm in ARMS}
    assert len({(len(told.chunks), len(told.finals)) for told in heard.values()}) == 1


def test_under_load_finals_wait_less_than_first_come_first_served() -> None:
    full = int(16 / CURVE.of(16) * CUT.chunk_seconds * 2)
    wait = {arm: quantiles(Simulation(arm, full, CUT, CURVE, 16).run(6.0).waits, 0.99)[0] for arm in ARMS}
    assert wait["ours"] < wait["fifo"] * 0.7


def test_an_overload_is_not_carried() -> None:
    assert carries(Simulation("ours", 200, CUT, CURVE, 16).run(4.0), 0.04)
    assert not carries(Simulation("ours", 3000, CUT, CURVE, 16).run(4.0), 0.04)
