"""Which streams a step advances, in virtual time."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.base import EngineBusy
from engines.nemo.geometry import fastconformer
from engines.nemo.scheduler import MOST_UTTERANCES, Lane, Scheduler, fits
from engines.nemo.utterance import Work
from media.frame import Pcm
from tests.engines.nemo.streams import Ear

CUT = fastconformer(1)  # chunks of 160 ms


def sound(samples: int, value: int = 1) -> Pcm:
    return np.full(samples, value, np.int16)


def opened(scheduler: Scheduler, now: float = 0.0) -> tuple[Lane, Ear]:
    lane, ear = scheduler.open(now), Ear()
    scheduler.start(lane, 1, ear)
    return lane, ear


def test_every_stream_with_a_chunk_is_in_the_next_step_and_no_other() -> None:
    scheduler = Scheduler(CUT, 4, 8)
    full, half, quiet = (opened(scheduler)[0] for _ in range(3))
    scheduler.push(full, sound(CUT.need(True)), 1.0)
    scheduler.push(half, sound(CUT.need(True) - 1), 1.0)
    assert [lane for lane, _ in scheduler.take(1.0)] == [full]
    assert scheduler.take(1.0) == [] and not scheduler.waiting
    scheduler.push(half, sound(1), 1.1)
    assert [lane for lane, _ in scheduler.take(1.1)] == [half]
    assert quiet.utterances


def test_a_stream_has_one_step_at_a_time_and_its_next_one_at_once_after() -> None:
    scheduler = Scheduler(CUT, 1, 8)
    lane, _ = opened(scheduler)
    scheduler.push(lane, sound(CUT.need(True) + CUT.need(False)), 0.0)
    ((_, first),) = scheduler.take(0.0)
    assert first.first and scheduler.take(0.0) == []
    scheduler.done([lane])
    ((_, second),) = scheduler.take(0.0)
    assert not second.first and second.frames_before == CUT.first_frames


def test_the_oldest_deadline_goes_first_and_finals_before_chunks() -> None:
    scheduler = Scheduler(CUT, 4, max_batch=1)
    lanes = [opened(scheduler)[0] for _ in range(3)]
    for place in (1, 0):
        scheduler.push(lanes[place], sound(CUT.need(True)), 1.0 - 0.1 * place)
    scheduler.push(lanes[2], sound(500), 0.5)
    scheduler.end(lanes[2], 1.0)
    served = []
    while taken := scheduler.take(1.0):
        served.append((taken[0][0], taken[0][1].work))
    assert served == [(lanes[2], Work.FINAL), (lanes[1], Work.CHUNK), (lanes[0], Work.CHUNK)]


def test_the_final_comes_within_one_step_of_the_end_whatever_is_left() -> None:
    for left in range(0, CUT.need(False), 37):
        scheduler = Scheduler(CUT, 1, 8)
        lane, _ = opened(scheduler)
        scheduler.push(lane, sound(CUT.need(True) + left), 0.0)
        scheduler.take(0.0)
        scheduler.done([lane])
        scheduler.end(lane, 1.0)
        ((_, row),) = scheduler.take(1.0)
        assert row.work is Work.FINAL and row.samples == left
        assert row.frames_before + row.frames == CUT.whole_frames(CUT.need(True) + left)
        assert row.frames <= CUT.next_frames
        assert int(np.count_nonzero(row.pcm)) == left


def test_a_sound_too_short_for_a_frame_needs_no_step() -> None:
    scheduler = Scheduler(CUT, 1, 8)
    lane, _ = opened(scheduler)
    scheduler.push(lane, sound(CUT.hop - 1), 0.0)
    scheduler.end(lane, 0.0)
    ((_, row),) = scheduler.take(0.0)
    assert (row.work, row.frames) == (Work.FINAL, 0)


def test_a_full_house_refuses_and_a_hang_up_makes_room_even_during_a_step() -> None:
    scheduler = Scheduler(CUT, 2, 8)
    lane, _ = opened(scheduler)
    opened(scheduler)
    with pytest.raises(EngineBusy, match="all 2 streams"):
        scheduler.open(0.0)
    scheduler.push(lane, sound(CUT.need(True)), 0.0)
    scheduler.take(0.0)
    scheduler.close(lane)
    scheduler.close(lane)
    with pytest.raises(EngineBusy):
        scheduler.open(0.0)  # the running step still writes into the slot
    scheduler.done([lane])
    assert scheduler.open(0.0).slot == lane.slot
    assert scheduler.counts["streams_refused_full"] == 2


def test_late_steps_refuse_new_streams_until_they_are_forgotten() -> None:
    scheduler = Scheduler(CUT, 4, 8, max_late=0.5)
    lane, _ = opened(scheduler)
    scheduler.push(lane, sound(CUT.need(True)), 0.0)
    scheduler.take(0.6)
    with pytest.raises(EngineBusy, match=r"0\.60 s late"):
        scheduler.open(1.0)
    scheduler.open(5.7)


def test_what_is_pushed_is_heard_once_and_in_order() -> None:
    scheduler = Scheduler(CUT, 1, 8)
    lane, _ = opened(scheduler)
    whole = (np.arange(20_000) % 30_000).astype(np.int16)
    heard: list[Pcm] = []
    choose, place = random.Random(4), 0
    while place < len(whole):
        size = choose.randrange(1, 3000)
        scheduler.push(lane, whole[place : place + size], 0.0)
        place += size
        while taken := scheduler.take(0.0):
            heard.append(taken[0][1].pcm)
            scheduler.done([lane])
    scheduler.end(lane, 0.0)
    ((_, row),) = scheduler.take(0.0)
    heard.append(row.pcm[: row.samples])
    assert (np.concatenate(heard) == whole).all()


def test_a_pause_asks_for_one_peek_which_a_resume_takes_back() -> None:
    scheduler = Scheduler(CUT, 1, 8)
    lane, _ = opened(scheduler)
    scheduler.push(lane, sound(2000), 0.0)
    scheduler.take(0.0)
    scheduler.done([lane])
    scheduler.pause(lane, 0.1)
    ((_, row),) = scheduler.take(0.1)
    assert (row.work, row.samples) == (Work.PEEK, 520)
    scheduler.done([lane])
    assert not scheduler.waiting
    scheduler.pause(lane, 0.2)
    scheduler.resume(lane)
    assert not scheduler.waiting
    scheduler.push(lane, sound(3000), 0.3)
    ((_, row),) = scheduler.take(0.3)
    assert row.work is Work.CHUNK and row.frames_before == CUT.first_frames


def test_utterances_of_a_stream_run_in_order_and_are_bounded() -> None:
    scheduler = Scheduler(CUT, 1, 8)
    lane = scheduler.open(0.0)
    for number in range(MOST_UTTERANCES):
        scheduler.start(lane, number, Ear())
        scheduler.push(lane, sound(1000), 0.0)
        scheduler.end(lane, 0.0)
    with pytest.raises(EngineBusy):
        scheduler.start(lane, 99, Ear())
    order = []
    while taken := scheduler.take(0.0):
        order.append(taken[0][1].utterance.number)
        scheduler.finish(lane, taken[0][1].utterance)
        scheduler.done([lane])
    assert order == list(range(MOST_UTTERANCES))


def test_an_utterance_too_far_behind_is_refused_and_forgotten() -> None:
    scheduler = Scheduler(CUT, 1, 8, max_behind=1.0)
    lane, _ = opened(scheduler)
    scheduler.push(lane, sound(20_000), 0.0)
    with pytest.raises(EngineBusy, match="wait to be heard"):
        scheduler.push(lane, sound(100), 0.0)
    assert not scheduler.waiting and not lane.utterances
    scheduler.push(lane, sound(100), 0.0)
    assert scheduler.counts["pushes_without_utterance"] == 1


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), max_size=120), st.integers(1, 3))
def test_no_order_of_events_loses_a_slot_or_runs_a_stream_twice(
    events: list[tuple[int, int]], slots: int
) -> None:
    scheduler = Scheduler(CUT, slots, 2, max_late=1e9)
    lanes: list[Lane] = []
    running: list[Lane] = []
    for now, (event, which) in enumerate(events):
        lane = lanes[which % len(lanes)] if lanes else None
        if event == 0:
            if len(lanes) < slots and scheduler.streams < slots:
                lanes.append(scheduler.open(now))
                scheduler.start(lanes[-1], now, Ear())
        elif event == 6:
            taken = scheduler.take(now)
            assert len(taken) <= 2
            assert not {id(lane) for lane, _ in taken} & {id(lane) for lane in running}
            running += [lane for lane, _ in taken]
        elif event == 5 and running:
            scheduler.done([running.pop(0)])
        elif lane is not None and event == 1:
            scheduler.push(lane, sound(1500), now)
        elif lane is not None and event == 2:
            scheduler.end(lane, now)
        elif lane is not None and event == 3:
            scheduler.pause(lane, now)
        elif lane is not None and event == 4:
            lanes.remove(lane)
            scheduler.close(lane)
    for lane in lanes:
        scheduler.close(lane)
    scheduler.done(running)
    assert scheduler.streams == 0 and not scheduler.waiting


def test_a_batch_takes_the_smallest_bucket_that_holds_it() -> None:
    assert [fits(size, (1, 2, 4, 8)) for size in (1, 2, 3, 5, 8)] == [1, 2, 4, 8, 8]
    with pytest.raises(Exception, match="larger than the largest"):
        fits(9, (1, 2, 4, 8))
