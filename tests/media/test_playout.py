from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from media.frame import Pcm
from media.legs.base import LegEvent, PlayoutDrained, PlayoutMark, PlayoutStarted
from media.playout import MOST_MARKS, QueuePlayout

RATE, FRAME = 8000, 160


def ramp(count: int, start: int = 1) -> Pcm:
    return np.arange(start, start + count, dtype=np.int16)


def opened(depth: float = 120.0) -> tuple[QueuePlayout, list[LegEvent]]:
    events: list[LegEvent] = []
    return QueuePlayout(RATE, events.append, depth), events


def test_a_reply_is_played_whole_and_announced() -> None:
    playout, events = opened()
    assert playout.write(ramp(400), 1) == 400
    playout.mark(7)
    playout.finish()
    heard = np.concatenate([playout.pull(at / 100) for at in range(4)])
    assert heard[:400].tolist() == ramp(400).tolist() and not heard[400:].any()
    assert events == [PlayoutStarted(1, 0.0), PlayoutMark(1, 7, 0.02), PlayoutDrained(1, 400, 0.02)]


def test_an_empty_playout_is_silent_and_says_nothing() -> None:
    playout, events = opened()
    playout.finish()
    assert not playout.pull(0.0).any() and events == []
    assert (playout.clear(), playout.position()) == (0, 0)


def test_a_cleared_reply_never_sounds_again() -> None:
    playout, events = opened()
    playout.write(ramp(500), 3)
    playout.mark(1)
    playout.pull(0.0)
    assert playout.clear() == FRAME
    assert playout.write(ramp(10), 3) == 0
    assert playout.write(ramp(10), 2) == 0
    assert not playout.pull(0.02).any()
    assert events == [PlayoutStarted(3, 0.0)]
    assert playout.write(ramp(10), 4) == 10


def test_a_finished_reply_takes_no_more() -> None:
    playout, _ = opened()
    playout.write(ramp(10), 1)
    playout.finish()
    assert playout.write(ramp(10), 1) == 0


def test_a_new_reply_finishes_the_one_before_it() -> None:
    playout, events = opened()
    playout.write(ramp(100), 1)
    playout.write(ramp(100), 2)
    playout.pull(0.0)
    assert events == [PlayoutStarted(1, 0.0), PlayoutDrained(1, 100, 0.0), PlayoutStarted(2, 0.0)]
    assert playout.position() == 60


def test_clearing_before_the_first_sample_was_sent_says_nothing_was_heard() -> None:
    playout, _ = opened()
    playout.write(ramp(FRAME), 1)
    playout.finish()
    playout.pull(0.0)
    playout.write(ramp(FRAME), 2)
    assert playout.position() == 0
    assert playout.clear() == 0


def test_a_full_queue_takes_what_fits() -> None:
    playout, _ = opened(depth=0.1)
    assert playout.write(ramp(1000), 1) == 800
    assert playout.write(ramp(10), 1) == 0
    playout.pull(0.0)
    assert playout.write(ramp(1000), 1) == FRAME
    assert playout.refused == 200 + 10 + 840


def test_marks_are_bounded() -> None:
    playout, events = opened()
    playout.write(ramp(10), 1)
    for mark in range(MOST_MARKS + 5):
        playout.mark(mark)
    playout.pull(0.0)
    assert len([event for event in events if isinstance(event, PlayoutMark)]) == MOST_MARKS


def test_ducking_moves_in_a_straight_line_and_comes_back() -> None:
    playout, _ = opened()
    playout.write(np.full(FRAME * 4, 10_000, np.int16), 1)
    playout.pull(0.0)
    playout.duck(0.2, ramp_ms=20)
    ducked = playout.pull(0.02)
    assert np.all(np.diff(ducked) <= 0) and abs(int(np.diff(ducked).min())) < 100
    assert ducked[-1] == 2000
    playout.duck(1.0, ramp_ms=10)
    restored = playout.pull(0.04)
    assert restored[79] == 10_000 and restored[-1] == 10_000
    assert (playout.pull(0.06) == 10_000).all()


def test_ducking_keeps_its_length_across_frames() -> None:
    playout, _ = opened()
    playout.write(np.full(FRAME * 3, 10_000, np.int16), 1)
    playout.duck(0.0, ramp_ms=40)
    frames = [playout.pull(at / 50) for at in range(3)]
    assert frames[0][-1] == 5000 and frames[1][-1] == 0 and not frames[2].any()


def test_the_writer_may_reuse_its_array() -> None:
    playout, _ = opened()
    pcm = ramp(FRAME)
    playout.write(pcm, 1)
    pcm[:] = 0
    assert playout.pull(0.0).any()


steps = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 700), st.integers(1, 6)),
    st.tuples(st.sampled_from(["pull", "clear", "finish", "mark"]), st.just(0), st.just(0)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=60))
def test_every_sample_is_sent_cleared_or_waiting(script: list[tuple[str, int, int]]) -> None:
    playout, events = opened(depth=0.2)
    barred = 0
    for tick, (what, count, reply) in enumerate(script):
        if what == "write":
            if playout.write(ramp(count), reply):
                assert reply > barred
                barred = max(barred, reply - 1)
        elif what == "pull":
            playout.pull(tick / 50)
        elif what == "clear":
            before = playout.position()
            assert playout.clear() == before
            assert playout.queued == 0
        elif what == "finish":
            playout.finish()
        else:
            playout.mark(tick)
        assert playout.written == playout.sent + playout.cleared + playout.queued
        assert 0 <= playout.queued <= 0.2 * RATE
    started = [event.reply for event in events if isinstance(event, PlayoutStarted)]
    drained = [event.reply for event in events if isinstance(event, PlayoutDrained)]
    assert started == sorted(set(started)) and drained == sorted(set(drained))
    assert set(drained) <= set(started)
