from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.calls.timings import (
    BargeInTimings,
    Hop,
    ListeningStamps,
    Percentiles,
    ReplyStamps,
    TurnTimings,
)

stamps = st.one_of(st.just(0.0), st.floats(1, 20))


def test_nothing_done_ahead_every_share_is_the_work() -> None:
    timings = TurnTimings(
        1,
        ListeningStamps(10.0, 10.2, 10.21, 10.5, last_audio=10.5, final=10.6),
        ReplyStamps(asked=10.6, first_text=10.9, sentence=10.9, first_pcm=11.0, queued=11.0),
        first_packet=11.02,
    )
    expected = [0.2, 0.01, 0.29, 0.1, 0.3, 0.1, 0.02]
    assert list(timings.shares().values()) == pytest.approx(expected)
    assert list(timings.own().values()) == pytest.approx(expected)


def test_work_done_ahead_has_no_share() -> None:
    timings = TurnTimings(
        1,
        ListeningStamps(10.0, 10.2, 10.2, 10.4, last_audio=10.2, final=10.26),
        ReplyStamps(asked=10.26, first_text=10.3, sentence=10.3, first_pcm=10.35, queued=10.4),
        first_packet=10.42,
    )
    shares, own = timings.shares(), timings.own()
    assert shares[Hop.ASR_FINAL] == shares[Hop.AGENT] == shares[Hop.TTS] == 0
    assert own[Hop.ASR_FINAL] == pytest.approx(0.06) and own[Hop.AGENT] == pytest.approx(0.04)
    assert shares[Hop.TX] == pytest.approx(0.02)


@given(st.lists(stamps, min_size=11, max_size=11), st.floats(1, 5), st.floats(5, 30))
def test_shares_always_add_up(values: list[float], speech_end: float, packet: float) -> None:
    timings = TurnTimings(1, ListeningStamps(speech_end, *values[:5]), ReplyStamps(*values[5:10]), packet)
    assert sum(timings.shares().values()) == pytest.approx(timings.total, abs=1e-9)
    assert all(share >= 0 for share in timings.shares().values())
    assert all(work >= 0 for work in timings.own().values())


def test_a_turn_without_sound_has_no_total() -> None:
    timings = TurnTimings(1, ListeningStamps(10.0, 10.2, 10.2), ReplyStamps(), first_packet=0.0)
    assert math.isnan(timings.total) and timings.shares() == {}
    assert timings.own() == {Hop.VAD: pytest.approx(0.2), Hop.RX: 0.0}


def test_barge_in() -> None:
    timings = BargeInTimings(onset=5.0, ducked=5.04, stopped=5.08)
    assert timings.duck == pytest.approx(0.04) and timings.stop == pytest.approx(0.08)


@given(st.lists(st.floats(0, 10), min_size=1))
def test_percentiles_are_values_in_order(values: list[float]) -> None:
    found = Percentiles.of(values)
    assert found is not None
    assert found.p50 <= found.p95 <= found.p99 <= found.worst == max(values)
    assert {found.p50, found.p95, found.p99} <= set(values)


def test_percentiles_by_nearest_rank() -> None:
    found = Percentiles.of(float(n) for n in range(1, 101))
    assert found == Percentiles(50, 95, 99, 100)
    assert Percentiles.of([]) is None
