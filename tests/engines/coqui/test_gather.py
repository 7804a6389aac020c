from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engines.coqui.costs import Cost
from engines.coqui.gather import Gatherer, Job


def gatherer(*jobs: Job, fixed: float = 0.02, each: float = 0.0005) -> Gatherer:
    made = Gatherer(batch=4, window=0.012, cost=Cost(fixed, each))
    for job in jobs:
        made.add(job)
    return made


def new(id: int, size: int = 50, came: float = 0.0) -> Job:
    return Job(id, size, came, came, playing=False)


def heard(id: int, due: float, size: int = 50, came: float = 0.0) -> Job:
    return Job(id, size, came, due, playing=True)


def taken(made: Gatherer, now: float) -> list[int]:
    return [job.id for job in made.next(now)[0]]


def test_it_waits_a_moment_for_others_then_speaks_all_of_like_length() -> None:
    made = gatherer(new(1), new(2, 48), new(3, 400))
    assert made.next(0.005) == ([], 0.012)
    assert taken(made, 0.012) == [1, 2]
    assert taken(made, 0.013) == [3]
    assert made.next(0.02) == ([], None)


def test_a_full_batch_waits_for_nobody() -> None:
    assert taken(gatherer(*(new(n) for n in range(6))), 0.001) == [0, 1, 2, 3]


def test_who_would_run_dry_goes_before_who_waits() -> None:
    assert taken(gatherer(new(1, 200), heard(2, due=0.2)), 0.02) == [2]
    assert taken(gatherer(new(1, 200), heard(2, due=1.0)), 0.02) == [1]


def test_who_is_about_to_run_dry_waits_for_nobody() -> None:
    assert taken(gatherer(heard(1, due=0.09)), 0.001) == [1]


def test_company_is_left_behind_where_it_would_make_somebody_late() -> None:
    made = gatherer(new(1), new(2), heard(3, due=0.12, size=300), fixed=0.0, each=0.001)
    assert taken(made, 0.012)[0] == 3 or made.waiting == 2


def test_forgotten_sentences_are_not_spoken() -> None:
    made = gatherer(new(1), new(2))
    made.forget(1)
    made.forget(7)
    assert taken(made, 1.0) == [2]


jobs = st.lists(
    st.tuples(st.integers(5, 400), st.floats(0, 0.1), st.floats(0, 5), st.booleans()), max_size=30
)


@given(jobs)
def test_every_sentence_is_spoken_once_in_bounded_batches(
    found: list[tuple[int, float, float, bool]],
) -> None:
    made = gatherer(*(Job(n, size, came, came + due, p) for n, (size, came, due, p) in enumerate(found)))
    spoken: list[int] = []
    now = 0.2
    while made.waiting:
        batch, _ = made.next(now)
        assert 1 <= len(batch) <= 4
        longest = max(job.size for job in batch)
        assert longest * len(batch) <= 1.36 * sum(job.size for job in batch)
        spoken += [job.id for job in batch]
        now += 0.05
    assert sorted(spoken) == list(range(len(found)))
