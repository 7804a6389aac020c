"""From the WebRTC thread to the event loop, and to the far end's reports: bounded, whole, and right."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.legs.base import LegEvent, PlayoutDrained, PlayoutMark, PlayoutStarted
from media.legs.webrtc_buffer import ReceiveBuffer
from media.legs.webrtc_ear import Heard
from media.legs.webrtc_frames import DRAINED, MARK, META, STARTED, FrameQueue
from media.legs.webrtc_reports import Reports

OURS, THEIRS = 4711, 815


def heard(value: int, samples: int = 320, *, lost: bool = False, dtx: bool = False) -> Heard:
    return Heard(np.full(samples, value, np.int16), 1.25, lost, dtx)


def test_frames_cross_in_order_with_what_belongs_to_them() -> None:
    queue = FrameQueue()
    queue.push([(7, 0, heard(1)), (9, 160, heard(2, 160, lost=True))])
    queue.push([(7, 320, heard(3, dtx=True))])
    assert os.eventfd_read(queue.fileno()) == 2
    pcm, meta = np.zeros((2, 320), np.int16), np.zeros(2, META)
    assert queue.poll(pcm, meta) == 2
    assert meta["leg"].tolist() == [7, 9]
    assert meta["samples"].tolist() == [320, 160]
    assert meta["flags"].tolist() == [0, 1]
    assert meta["arrived_ns"].tolist() == [1_250_000_000] * 2
    assert pcm[1, :160].tolist() == [2] * 160
    assert queue.poll(pcm, meta) == 1
    assert (int(meta["pts"][0]), int(meta["flags"][0])) == (320, 2)
    assert queue.poll(pcm, meta) == 0
    queue.close()


def test_a_reader_that_stands_still_costs_frames_and_no_memory() -> None:
    queue = FrameQueue()
    for _ in range(100):
        queue.push([(1, 0, heard(1, 1))] * 100)
    assert queue.dropped == 10_000 - 8_192
    pcm, meta = np.zeros((10_000, 320), np.int16), np.zeros(10_000, META)
    assert queue.poll(pcm, meta) == 8_192
    queue.close()


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (PlayoutStarted(3, 2.5), (1, STARTED, 3, 0, 2_500_000_000)),
        (PlayoutDrained(3, 640, 2.5), (1, DRAINED, 3, 640, 2_500_000_000)),
        (PlayoutMark(3, 8, 2.5), (1, MARK, 3, 8, 2_500_000_000)),
    ],
)
def test_what_happens_to_the_playout_is_told_once(event: LegEvent, told: tuple[int, ...]) -> None:
    queue = FrameQueue()
    assert not queue.untold
    queue.post(1, event)
    assert queue.untold
    assert list(queue.events()) == [told]
    assert list(queue.events()) == []
    queue.close()


def exchange(now: float, delay: float, lost: int = 0) -> tuple[Reports, Reports]:
    """Two sides that report to each other, `delay` seconds apart each way."""
    here, there = Reports(), Reports()
    buffer = ReceiveBuffer(48_000)
    for number in range(100):
        if number >= lost:
            there.heard(OURS, 65_500 + number & 0xFFFF)
        here.heard(THEIRS, number)
    there.read(here.write(OURS, (1, 2, 3), buffer, 48_000, now), THEIRS, now + delay)
    here.read(there.write(THEIRS, (1, 2, 3), buffer, 48_000, now + 1 + delay), OURS, now + 1 + 2 * delay)
    return here, there


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.4])
def test_the_round_trip_is_reckoned_from_reports(delay: float) -> None:
    here, there = exchange(1_000.0, delay)
    assert here.rtt == pytest.approx(2 * delay, abs=0.001)
    assert there.rtt is None
    assert here.remote_lost == here.lost == 0


def test_lost_packets_are_counted_over_the_wrap() -> None:
    reports = Reports()
    for number in range(0, 200, 2):
        reports.heard(OURS, 65_480 + number & 0xFFFF)
    assert reports.lost == 99
    other = Reports()
    other.read(reports.write(THEIRS, (0, 0, 0), ReceiveBuffer(8_000), 8_000, 5.0), OURS, 5.0)
    assert other.remote_lost == 99
    assert 45 <= other.remote_loss_percent <= 50


@given(st.binary(max_size=200), st.floats(0, 1e6))
def test_any_report_is_read_or_ignored(data: bytes, now: float) -> None:
    reports = Reports()
    for written in (data, b"\x81\xc9" + data, b"\x80\xc8" + data):
        reports.read(written, OURS, now)
    assert reports.write(OURS, (0, 0, 0), ReceiveBuffer(48_000), 48_000, now)


@given(st.floats(0, 1e7), st.floats(-0.02, 5))
def test_a_report_can_be_written_at_any_moment(now: float, later: float) -> None:
    reports = Reports()
    reports.heard(OURS, 1)
    first = reports.write(OURS, (1, 1, 1), ReceiveBuffer(48_000), 48_000, now)
    reports.read(first, 0, now)
    # The clock's nominal ticks may lie a little before the last report's arrival.
    assert reports.write(
        OURS, (2**32 - 1, 2**40, 2**40), ReceiveBuffer(48_000), 48_000, max(0.0, now + later)
    )
