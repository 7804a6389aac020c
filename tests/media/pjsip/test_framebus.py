"""The frame bus as Python sees it, with its clock ticked by hand."""

from __future__ import annotations

import select
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

framebus = pytest.importorskip("framebus", reason="python -m media.pjsip.build --install makes it")

Pcm = npt.NDArray[np.int16]
SILENCE = np.zeros(160, np.int16)


class Bench:
    """One bus with one leg, and the arrays to poll into."""

    def __init__(self, **sizes: Any) -> None:
        self.bus = framebus.FrameBus(4, **sizes)
        self.leg = self.bus.open()
        self.pcm = np.zeros((8, 320), np.int16)
        self.meta = np.zeros(8, framebus.FRAME_DTYPE)

    def tick(self, pcm: Pcm = SILENCE, **how: int) -> Pcm:
        """20 ms: says what was sent."""
        sent: Pcm = self.bus.simulate_tick(self.leg, pcm, **how)
        return sent

    def write(self, samples: int, reply: int, first: int = 1) -> int:
        """Appends audio that counts upwards."""
        return int(self.bus.write(self.leg, np.arange(first, first + samples, dtype=np.int16), reply))

    def events(self) -> list[tuple[int, int, int]]:
        """(kind, reply, value) of what happened, without the attaching."""
        return [event[1:4] for event in self.bus.events() if event[1] != framebus.ATTACHED]

    def poll(self) -> int:
        return int(self.bus.poll(self.pcm, self.meta))

    def readable(self) -> bool:
        return bool(select.select([self.bus.fileno()], [], [], 0)[0])


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_was_heard_comes_out_in_order_with_its_stamps(bench: Bench) -> None:
    for i in range(3):
        bench.tick(np.full(160, i + 1, np.int16), arrived_ns=1000 + i, flags=framebus.LOST if i == 1 else 0)
    assert bench.poll() == 3
    assert bench.meta["leg"][:3].tolist() == [bench.leg] * 3
    assert bench.meta["samples"][:3].tolist() == [160] * 3
    assert bench.meta["pts"][:3].tolist() == [0, 160, 320]
    assert bench.meta["arrived_ns"][:3].tolist() == [1000, 1001, 1002]
    assert bench.meta["flags"][:3].tolist() == [0, framebus.LOST, 0]
    assert bench.pcm[:3, :160].tolist() == [[i + 1] * 160 for i in range(3)]
    assert bench.poll() == 0


def test_packets_of_any_length_become_frames_of_20_ms(bench: Bench) -> None:
    bench.tick(np.arange(240, dtype=np.int16), arrived_ns=1)
    bench.tick(np.arange(240, 480, dtype=np.int16), arrived_ns=2)
    assert bench.poll() == 3
    assert bench.pcm[:3, :160].ravel().tolist() == list(range(480))
    assert bench.meta["arrived_ns"][:3].tolist() == [1, 1, 2]


def test_wide_band_frames_are_320_samples(bench: Bench) -> None:
    assert bench.bus.sample_rate(bench.leg) == 0
    assert len(bench.tick(np.arange(320, dtype=np.int16), rate=16000)) == 320
    assert bench.bus.sample_rate(bench.leg) == 16000
    assert bench.poll() == 1
    assert bench.meta["samples"][0] == 320
    assert bench.pcm[0].tolist() == list(range(320))


def test_the_descriptor_is_readable_until_all_was_polled(bench: Bench) -> None:
    bench.events()
    bench.poll()
    assert not bench.readable()
    for _ in range(10):
        bench.tick()
    assert bench.readable()
    assert bench.poll() == 8
    assert bench.readable()
    assert bench.poll() == 2
    assert not bench.readable()


def test_a_full_receive_ring_drops_the_newest_and_says_so() -> None:
    bench = Bench(rx_seconds=0.1)
    for i in range(8):
        bench.tick(np.full(160, i, np.int16))
    assert bench.poll() == 5
    assert bench.meta["pts"][:5].tolist() == [0, 160, 320, 480, 640]
    assert bench.bus.stats(bench.leg)["dropped"] == 3
    bench.tick()
    assert bench.poll() == 1
    assert bench.meta["pts"][0] == 8 * 160


def test_a_reply_is_sent_sample_by_sample_and_its_end_is_told(bench: Bench) -> None:
    assert bench.write(400, reply=1) == 400
    bench.bus.mark(bench.leg, 7)
    assert bench.bus.finish(bench.leg)
    sent = np.concatenate([bench.tick() for _ in range(3)])
    assert sent.tolist() == [*range(1, 401), *[0] * 80]
    assert bench.events() == [(framebus.STARTED, 1, 0), (framebus.MARK, 1, 7), (framebus.DRAINED, 1, 400)]
    assert bench.bus.position(bench.leg) == (1, 400)
    assert not bench.bus.finish(bench.leg)


def test_replies_follow_each_other_without_a_gap(bench: Bench) -> None:
    bench.write(200, reply=1)
    bench.write(200, reply=2, first=1001)
    sent = np.concatenate([bench.tick(), bench.tick(), bench.tick()])
    assert sent[:400].tolist() == [*range(1, 201), *range(1001, 1201)]
    kinds = [(kind, reply) for kind, reply, _ in bench.events()]
    assert kinds[:3] == [(framebus.STARTED, 1), (framebus.DRAINED, 1), (framebus.STARTED, 2)]


def test_clear_is_exact_and_final(bench: Bench) -> None:
    bench.write(800, reply=3)
    bench.bus.mark(bench.leg, 1)
    bench.tick()
    bench.tick()
    assert bench.bus.clear(bench.leg) == (3, 320)
    assert not bench.tick().any()
    assert bench.events() == [(framebus.STARTED, 3, 0), (framebus.CLEARED, 3, 1)]
    assert bench.write(160, reply=3) == 0
    assert bench.write(160, reply=2) == 0
    assert bench.bus.stats(bench.leg)["stale"] == 2
    assert bench.write(160, reply=4) == 160
    assert bench.tick().tolist() == list(range(1, 161))


def test_clear_can_bar_a_reply_that_has_not_come_yet(bench: Bench) -> None:
    bench.write(160, reply=1)
    bench.bus.clear(bench.leg, through=2)
    assert bench.write(160, reply=2) == 0
    assert bench.write(160, reply=3) == 160


def test_clear_between_two_replies_names_the_one_that_was_due(bench: Bench) -> None:
    bench.write(160, reply=1)
    bench.bus.finish(bench.leg)
    bench.tick()
    bench.write(160, reply=2)
    assert bench.bus.clear(bench.leg) == (2, 0)


def test_running_dry_is_told_once_per_gap(bench: Bench) -> None:
    bench.write(160, reply=1)
    for _ in range(3):
        bench.tick()
    bench.write(160, reply=1)
    for _ in range(2):
        bench.tick()
    underruns = [event for event in bench.events() if event[0] == framebus.UNDERRUN]
    assert underruns == [(framebus.UNDERRUN, 1, 160), (framebus.UNDERRUN, 1, 320)]
    bench.bus.finish(bench.leg)
    bench.tick()
    assert bench.events() == [(framebus.DRAINED, 1, 320)]


def test_the_queue_is_bounded_and_refills_as_it_plays() -> None:
    bench = Bench(playout_seconds=0.1)
    assert bench.write(5000, reply=1) == 1600
    assert bench.write(1, reply=1) == 0
    bench.tick()
    assert bench.write(5000, reply=1) == 160


def test_a_ramp_ends_at_its_gain_and_back(bench: Bench) -> None:
    loud = np.full(800, 10000, np.int16)
    bench.bus.write(bench.leg, loud, 1)
    bench.bus.duck(bench.leg, 0.25, 20)
    ramp = bench.tick()
    assert (np.diff(ramp) <= 0).all()
    assert ramp[0] > 9900
    assert bench.tick().tolist() == [2500] * 160
    bench.bus.duck(bench.leg, 1.0, 0)
    assert bench.tick()[-1] == 10000


def test_bytes_are_as_good_as_an_array_and_other_types_are_refused(bench: Bench) -> None:
    assert bench.bus.write(bench.leg, b"\x01\x00\x02\x00", 1) == 2
    with pytest.raises(TypeError):
        bench.bus.write(bench.leg, b"\x01", 1)
    with pytest.raises(TypeError):
        bench.bus.write(bench.leg, np.zeros(4, np.float32), 1)
    with pytest.raises(TypeError):
        bench.bus.poll(np.zeros((4, 160), np.int16), bench.meta)
    with pytest.raises(TypeError):
        bench.bus.poll(bench.pcm, np.zeros(4, np.int64))


def test_a_closed_leg_is_refused_and_its_number_does_not_come_back(bench: Bench) -> None:
    bench.tick()
    bench.bus.close(bench.leg)
    for call in ("close", "position", "clear", "finish", "stats", "sample_rate"):
        with pytest.raises(ValueError, match="not open"):
            getattr(bench.bus, call)(bench.leg)
    later = {bench.bus.open() for _ in range(4)}
    assert bench.leg not in later
    with pytest.raises(RuntimeError, match="all 4 legs"):
        bench.bus.open()


def test_a_codec_change_drops_what_waits_at_the_old_rate(bench: Bench) -> None:
    bench.write(800, reply=1)
    bench.bus.mark(bench.leg, 5)
    bench.tick()
    assert not bench.tick(np.zeros(320, np.int16), rate=16000).any()
    assert (framebus.CLEARED, 1, 5) in bench.events()


def test_totals_remember_the_legs_that_are_gone(bench: Bench) -> None:
    bench.write(160, reply=1)
    bench.tick()
    bench.bus.close(bench.leg)
    totals = bench.bus.totals()
    assert (totals["open"], totals["frames"], totals["played_samples"], totals["ticks"]) == (0, 1, 160, 1)


def test_every_tick_is_in_the_histogram(bench: Bench) -> None:
    for _ in range(5):
        bench.tick()
    histogram = bench.bus.tick_histogram()
    assert histogram.shape == (2, len(framebus.TICK_BOUNDS_US) + 1)
    assert histogram.sum(axis=1).tolist() == [5, 5]


def test_install_needs_pjsua(bench: Bench) -> None:
    with pytest.raises(RuntimeError, match="libInit"):
        bench.bus.install()
    bench.bus.wakeup()


class Pair:
    """Two legs of one bus."""

    def __init__(self, first_rate: int = 8000, second_rate: int = 8000) -> None:
        self.bus = framebus.FrameBus(4)
        self.rates = (first_rate, second_rate)
        self.legs = (self.bus.open(), self.bus.open())
        for leg, rate in zip(self.legs, self.rates, strict=True):
            self.bus.simulate_tick(leg, np.zeros(rate // 50, np.int16), rate=rate)

    def tick(self, first: int, second: int) -> tuple[Pcm, Pcm]:
        """20 ms in which both far ends say a constant; what each then hears."""
        sent = [
            self.bus.simulate_tick(leg, np.full(rate // 50, said, np.int16), rate=rate)
            for leg, rate, said in zip(self.legs, self.rates, (first, second), strict=True)
        ]
        return sent[0], sent[1]


def test_patched_legs_hear_each_other_within_a_tick_and_nobody_after() -> None:
    pair = Pair()
    assert [int(sent.max()) for sent in pair.tick(100, 200)] == [0, 0]
    pair.bus.patch(*pair.legs)
    assert [int(sent.max()) for sent in pair.tick(100, 200)] == [0, 100], "the second beats after the first"
    for _ in range(50):
        assert [sent.tolist() for sent in pair.tick(100, 200)] == [[200] * 160, [100] * 160]
    stats = pair.bus.stats(pair.legs[0])
    assert (stats["patch_samples"], stats["patch_gaps"], stats["patch_dropped"]) == (50 * 160, 0, 0)
    pair.bus.unpatch(pair.legs[1])
    assert [int(sent.max()) for sent in pair.tick(100, 200)] == [0, 0]


def test_what_is_played_is_heard_before_the_other_voice() -> None:
    pair = Pair()
    pair.bus.patch(*pair.legs)
    pair.tick(100, 200)
    pair.bus.write(pair.legs[0], np.full(240, 7, np.int16), 1)
    assert pair.tick(100, 200)[0].tolist() == [7] * 160
    assert pair.tick(100, 200)[0].tolist() == [7] * 80 + [200] * 80
    assert pair.bus.position(pair.legs[0]) == (1, 240)


@pytest.mark.parametrize("rates", [(8000, 16000), (16000, 8000)])
def test_other_rates_are_met(rates: tuple[int, int]) -> None:
    pair = Pair(*rates)
    pair.bus.patch(*pair.legs)
    for _ in range(20):
        first, second = pair.tick(1000, 2000)
    assert (len(first), len(second)) == (rates[0] // 50, rates[1] // 50)
    assert np.abs(first - 2000).max() <= 20 and np.abs(second - 1000).max() <= 20


def test_a_patch_ends_with_either_leg_and_with_the_next_patch() -> None:
    bus = framebus.FrameBus(4)
    legs = [bus.open() for _ in range(3)]
    for leg in legs:
        bus.simulate_tick(leg, SILENCE)
    bus.patch(legs[0], legs[1])
    bus.patch(legs[0], legs[2])
    for _ in range(3):
        bus.simulate_tick(legs[0], np.full(160, 9, np.int16))
        stale, heard = bus.simulate_tick(legs[1], SILENCE), bus.simulate_tick(legs[2], SILENCE)
    assert not stale.any() and heard.tolist() == [9] * 160
    bus.close(legs[0])
    for _ in range(3):
        assert not bus.simulate_tick(legs[2], SILENCE).any()
    with pytest.raises(ValueError):
        bus.patch(legs[1], legs[1])
    with pytest.raises(ValueError):
        bus.patch(legs[0], legs[1])


def test_a_leg_that_stood_still_does_not_hear_the_past() -> None:
    pair = Pair()
    pair.bus.patch(*pair.legs)
    pair.tick(1, 2)
    for i in range(40):  # the second leg is on hold: it hears nothing and takes nothing
        pair.bus.simulate_tick(pair.legs[0], np.full(160, i, np.int16))
    assert pair.tick(40, 2)[1].tolist() == [40] * 160
