"""The scheduler, alone and driving a device in virtual time."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.playout import Device, FixedChunks, Line, Play, Played, Talk, taught
from engines.coqui.scheduler import Bounds, Full, Read, Refuse, Rest, SpeechScheduler, Step, Voice

TOKEN = 1024 / 22050
GPU_LIKE = Device(read=Line(0.004, 2e-5), step=Line(0.008, 5e-5), voice=Line(0.006, 4e-4))


def scheduler(device: Device = GPU_LIKE, **bounds: int | float) -> SpeechScheduler:
    made = Bounds(**({"rows": 256, "waiting": 256} | bounds))  # type: ignore[arg-type]
    return taught(SpeechScheduler(device.token, device.held, made), device)


def calls(count: int, seconds: float, seed: int) -> list[Talk]:
    """So many people on the telephone, each being spoken to about half of the time."""
    chance = random.Random(seed)
    talks = []
    for _ in range(count):
        at = chance.uniform(0, 6)
        while at < seconds:
            stretches = [chance.randint(25, 120) for _ in range(chance.choice([1, 1, 2, 3]))]
            talks.append(Talk(at, stretches))
            at += sum(stretches) * TOKEN + chance.uniform(2, 6)
    return talks


def waits(played: Played, share: float) -> float:
    return float(np.quantile([talk.waited for talk in played.heard], share))


def run_until(made: SpeechScheduler, kind: type, now: float = 0.0) -> object:
    """Do instant work until work of that kind comes up."""
    for _ in range(500):
        work = made.next(now)
        if isinstance(work, kind):
            return work
        if isinstance(work, Read):
            made.was_read(work.rows, 0.004)
        elif isinstance(work, Step):
            made.stepped(work.rows, (), 0.008)
        elif isinstance(work, Voice):
            made.voiced(dict.fromkeys(work.rows, 0.2), now, 0.01)
    raise AssertionError(f"no {kind.__name__} came")


def test_nothing_to_do_is_rest() -> None:
    assert scheduler().next(0.0) == Rest(None)


def test_a_row_is_read_steps_a_few_times_and_is_voiced() -> None:
    made = scheduler()
    made.offer(1, 70, 0.0)
    assert made.next(0.0) == Read((1,))
    made.was_read((1,), 0.005)
    steps = 0
    while made.next(0.0) == Step((1,)):
        made.stepped((1,), (), 0.008)
        steps += 1
    assert made.next(0.0) == Voice((1,)) and 3 <= steps <= 6
    made.voiced({1: 0.1}, 0.05, 0.01)
    assert made.due(1) == pytest.approx(0.15)
    made.stepped((1,), (1,), 0.008)
    assert made.next(0.1) == Voice((1,))
    made.voiced({1: 0.046}, 0.1, 0.01)
    assert made.next(0.1) == Rest(None)


def test_the_oldest_due_begins_first() -> None:
    made = scheduler(rows=1)
    for row, due in ((1, 0.3), (2, 0.1), (3, 0.2)):
        made.offer(row, 70, due)
    assert made.next(0.3) == Read((2,))


def test_rows_that_continue_are_never_refused_and_others_are_when_too_many_wait() -> None:
    made = scheduler(waiting=2)
    made.offer(1, 70, 0.0)
    made.offer(2, 70, 0.0)
    with pytest.raises(Full):
        made.offer(3, 70, 0.0)
    made.offer(4, 70, 0.0, playing=True)
    assert made.waiting == 3


def test_who_waits_in_vain_is_told_and_may_go_elsewhere() -> None:
    made = scheduler(rows=1, patience=0.5)
    made.offer(1, 70, 0.0)
    run_until(made, Step)
    made.offer(2, 70, 0.1)
    run_until(made, Voice, 0.2)
    assert not isinstance(made.next(0.55), Refuse)
    assert made.next(0.65) == Refuse((2,))
    made.forget(2)
    assert not isinstance(made.next(0.65), Refuse)


def test_a_new_caller_waits_while_somebody_would_run_dry_for_him() -> None:
    made = scheduler()
    made.offer(1, 70, 0.0)
    run_until(made, Voice)
    made.voiced({1: 0.15}, 0.0, 0.01)
    made.offer(2, 70, 0.02)
    assert made.next(0.02) == Step((1,))
    made.voiced({1: 3.0}, 0.1, 0.01)
    assert made.next(0.1) == Read((2,))


def test_a_forgotten_row_gets_no_more_work() -> None:
    made = scheduler()
    made.offer(1, 70, 0.0)
    run_until(made, Step)
    made.forget(1)
    made.forget(1)
    assert made.next(0.0) == Rest(None)
    made.stepped((1,), (1,), 0.01)
    made.voiced({1: 1.0}, 0.0, 0.01)


def test_one_caller_hears_the_first_sound_far_earlier_than_with_chunks_of_twenty() -> None:
    talks = [[Talk(0.0, [90])] for _ in range(2)]
    ours = Play(scheduler(), GPU_LIKE, talks[0]).run()
    theirs = Play(FixedChunks(rows=1), GPU_LIKE, talks[1]).run()
    assert theirs.heard[0].waited >= 3 * ours.heard[0].waited
    assert ours.late == 0


@pytest.mark.parametrize(("count", "slowest"), [(8, 0.15), (32, 0.25), (48, 0.6)])
def test_first_sound_stays_early_and_nobody_runs_dry_as_the_load_grows(count: int, slowest: float) -> None:
    """At 48 calls this device is at four fifths of what it can do: one in a hundred waits for its turn."""
    played = Play(scheduler(), GPU_LIKE, calls(count, 30.0, seed=count)).run()
    assert played.late == 0
    assert not any(talk.refused for talk in played.talks)
    assert waits(played, 0.5) < 0.14 and waits(played, 0.99) < slowest


@pytest.mark.parametrize("count", [128, 256])
def test_far_too_many_are_refused_and_those_who_are_heard_are_served(count: int) -> None:
    played = Play(scheduler(), GPU_LIKE, calls(count, 30.0, seed=count)).run()
    assert sum(talk.refused for talk in played.talks) > count / 4
    assert played.late <= 0.002 * played.chunks
    assert waits(played, 0.99) < 0.8
    assert all(talk.done or talk.refused for talk in played.talks)


lines = st.tuples(st.floats(0.001, 0.02), st.floats(1e-5, 1e-3)).map(lambda pair: Line(*pair))
devices = st.builds(
    Device,
    read=st.tuples(st.floats(0.001, 0.01), st.floats(1e-6, 5e-5)).map(lambda pair: Line(*pair)),
    step=st.tuples(st.floats(0.001, 0.012), st.floats(1e-5, 2e-4)).map(lambda pair: Line(*pair)),
    voice=st.tuples(st.floats(0.001, 0.012), st.floats(1e-5, 1e-3)).map(lambda pair: Line(*pair)),
    jitter=st.floats(0, 0.2),
)
passages = st.lists(
    st.tuples(st.floats(0, 8), st.lists(st.integers(5, 120), min_size=1, max_size=3), st.booleans()),
    min_size=1,
    max_size=24,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(devices, passages, st.integers(0, 1000))
def test_whatever_comes_is_spoken_whole_or_refused_and_hardly_anybody_runs_dry(
    device: Device, found: list[tuple[float, list[int], bool]], seed: int
) -> None:
    talks = [Talk(at, stretches, ahead=0.8 if later else 0.0) for at, stretches, later in found]
    played = Play(scheduler(device), device, talks, seed).run()
    for talk in talks:
        assert talk.done != talk.refused
        if talk.done and talk.began is not None:
            spoken = sum(talk.stretches) * TOKEN
            assert talk.dry - talk.began - talk.silence >= spoken - 1e-6
    assert played.late <= 1 + 0.02 * played.chunks
