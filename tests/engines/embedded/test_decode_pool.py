"""The decode threads: what runs first, what is shed, what gives way. Real threads, held by events."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from engines.base import EngineBusy
from engines.embedded.decode_pool import DecodePool, Outcome, PoolSettings, Priority, Work

SOON = 5.0
FINAL, EARLY, INTERIM = Priority.FINAL, Priority.EARLY, Priority.INTERIM
BACKGROUND = Priority.BACKGROUND


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Desk:
    """Asks one pool and notes the outcomes."""

    pool: DecodePool
    done: dict[str, Outcome[str]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)

    def ask(self, priority: Priority, name: str, work: Work[str] | None = None) -> bool:
        def finished(outcome: Outcome[str]) -> None:
            self.done[name] = outcome

        def note(aborted: Callable[[], bool]) -> str:
            self.order.append(name)
            return work(aborted) if work else name

        self.ticket = self.pool.submit(priority, note, finished)
        return self.ticket is not None

    async def until(self, *names: str) -> None:
        async with asyncio.timeout(SOON):
            while not set(names) <= set(self.done):  # noqa: ASYNC110 - threads report when they like
                await asyncio.sleep(0.001)


@contextmanager
def desk(clock: Clock | None = None, **settings: float) -> Iterator[Desk]:
    values = {"threads": 1, "nice": 0, **settings}
    pool = DecodePool(PoolSettings(**values), "test", clock or Clock())  # type: ignore[arg-type]
    try:
        yield Desk(pool)
    finally:
        pool.close()


class Gate:
    """Work that keeps its thread until the test lets it go, or until it is asked to give way."""

    def __init__(self) -> None:
        self.running = threading.Event()
        self.open = threading.Event()

    def __call__(self, aborted: Callable[[], bool]) -> str:
        self.running.set()
        while not self.open.wait(0.001):
            if aborted():
                raise RuntimeError("gave way")
        return "through"


def test_finals_run_before_early_decodes_before_interims() -> None:
    async def main() -> None:
        with desk() as d:
            gate = Gate()
            d.ask(FINAL, "gate", gate)
            gate.running.wait(SOON)
            d.ask(EARLY, "early")
            d.ask(FINAL, "final 1")
            d.ask(FINAL, "final 2")
            gate.open.set()
            await d.until("early", "final 1", "final 2")
            assert d.order == ["gate", "final 1", "final 2", "early"]

    asyncio.run(main())


def test_an_outcome_comes_on_the_asking_loop() -> None:
    async def main() -> None:
        with desk() as d:
            where: list[int] = []
            d.pool.submit(FINAL, lambda _: "x", lambda _: where.append(threading.get_ident()))
            async with asyncio.timeout(SOON):
                while not where:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
            assert where == [threading.get_ident()]

    asyncio.run(main())


def test_an_error_is_an_outcome_and_the_thread_lives_on() -> None:
    async def main() -> None:
        def broken(_: Callable[[], bool]) -> str:
            raise ValueError("bad audio")

        with desk() as d:
            d.ask(FINAL, "broken", broken)
            d.ask(FINAL, "next")
            await d.until("broken", "next")
            assert isinstance(d.done["broken"].error, ValueError)
            assert d.done["next"].value == "next"
            assert d.pool.stats()["final_failed"] == 1

    asyncio.run(main())


def test_a_running_interim_gives_way_to_a_final() -> None:
    async def main() -> None:
        with desk() as d:
            gate = Gate()
            d.ask(INTERIM, "interim", gate)
            gate.running.wait(SOON)
            d.ask(FINAL, "final")
            await d.until("interim", "final")
            assert d.done["interim"] == Outcome()
            assert d.done["final"].value == "final"
            assert d.pool.stats()["interim_gave_way"] == 1

    asyncio.run(main())


def test_interims_wait_for_nobody() -> None:
    async def main() -> None:
        with desk() as d:
            gate = Gate()
            d.ask(FINAL, "gate", gate)
            gate.running.wait(SOON)
            assert d.ask(INTERIM, "first in the queue")
            assert not d.ask(INTERIM, "second")
            assert d.pool.stats()["interim_shed_queue"] == 1
            gate.open.set()
            await d.until("first in the queue")

    asyncio.run(main())


def test_an_interim_older_than_its_deadline_is_dropped() -> None:
    async def main() -> None:
        clock = Clock()
        with desk(clock) as d:
            gate = Gate()
            d.ask(FINAL, "gate", gate)
            gate.running.wait(SOON)
            d.ask(INTERIM, "late")
            clock.now += 0.6
            gate.open.set()
            await d.until("late")
            assert d.done["late"] == Outcome()
            assert d.order == ["gate"]
            assert d.pool.stats()["interim_shed_late"] == 1

    asyncio.run(main())


def test_interims_keep_to_their_share_of_the_time() -> None:
    async def main() -> None:
        clock = Clock()

        def costly(_: Callable[[], bool]) -> str:
            clock.now += 0.4
            return "done"

        with desk(clock, interim_duty=0.25) as d:
            assert d.ask(INTERIM, "1", costly)
            await d.until("1")
            assert not d.ask(INTERIM, "2", costly)
            assert d.pool.stats()["interim_shed_duty"] == 1
            clock.now += 1.0
            assert d.ask(INTERIM, "3", costly)
            await d.until("3")

    asyncio.run(main())


def test_early_decodes_are_shed_when_the_queue_is_long_and_finals_never() -> None:
    async def main() -> None:
        with desk(early_queued=2) as d:
            gate = Gate()
            d.ask(FINAL, "gate", gate)
            gate.running.wait(SOON)
            assert d.ask(EARLY, "1") and d.ask(EARLY, "2")
            assert not d.ask(EARLY, "3")
            assert d.ask(FINAL, "final")
            gate.open.set()
            await d.until("1", "2", "final")

    asyncio.run(main())


def test_a_final_pushes_something_else_out_of_a_full_queue_and_is_refused_by_finals() -> None:
    async def main() -> None:
        with desk(queued=2, early_queued=9) as d:
            gate = Gate()
            d.ask(FINAL, "gate", gate)
            gate.running.wait(SOON)
            d.ask(EARLY, "early")
            d.ask(FINAL, "1")
            d.ask(FINAL, "2")
            with pytest.raises(EngineBusy):
                d.ask(FINAL, "3")
            gate.open.set()
            await d.until("early", "1", "2")
            assert d.done["early"] == Outcome()

    asyncio.run(main())


def test_a_claimed_early_decode_overtakes() -> None:
    async def main() -> None:
        with desk() as d:
            gate = Gate()
            d.ask(FINAL, "gate", gate)
            gate.running.wait(SOON)
            d.ask(EARLY, "other")
            d.ask(EARLY, "claimed")
            assert d.ticket
            d.ticket.promote()
            gate.open.set()
            await d.until("other", "claimed")
            assert d.order == ["gate", "claimed", "other"]

    asyncio.run(main())


@pytest.mark.parametrize("running", [True, False])
def test_nobody_hears_of_a_cancelled_job(running: bool) -> None:
    async def main() -> None:
        with desk() as d:
            gate = Gate()
            if not running:
                d.ask(FINAL, "gate", gate)
                gate.running.wait(SOON)
            d.ask(FINAL, "cancelled", gate if running else None)
            gate.running.wait(SOON)
            assert d.ticket
            d.ticket.cancel()
            gate.open.set()
            d.ask(FINAL, "next")
            await d.until("next")
            assert "cancelled" not in d.done

    asyncio.run(main())


def test_the_wait_of_finals_is_remembered_for_a_while() -> None:
    async def main() -> None:
        clock = Clock()
        with desk(clock) as d:
            gate = Gate()
            d.ask(FINAL, "gate", gate)
            gate.running.wait(SOON)
            d.ask(FINAL, "waits")
            clock.now += 0.7
            assert d.pool.final_wait() == pytest.approx(0.7)
            gate.open.set()
            await d.until("waits")
            assert d.pool.final_wait() == pytest.approx(0.7)
            clock.now += 6.0
            assert d.pool.final_wait() == 0.0

    asyncio.run(main())


def test_a_closed_pool_refuses_and_reports_what_it_dropped() -> None:
    async def main() -> None:
        with desk() as d:
            gate = Gate()
            d.ask(FINAL, "running", gate)
            gate.running.wait(SOON)
            d.ask(FINAL, "queued")
            d.pool.close()
            await d.until("running", "queued")
            assert isinstance(d.done["queued"].error, EngineBusy)
            with pytest.raises(EngineBusy):
                d.ask(FINAL, "too late")

    asyncio.run(main())


@pytest.mark.parametrize(
    "wrong",
    [{"threads": -1}, {"nice": 20}, {"queued": 0}, {"interim_duty": 1.1}, {"interim_deadline": 0.0}],
)
def test_settings_name_the_field(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PoolSettings(**wrong)  # type: ignore[arg-type]


def test_background_work_takes_what_is_left() -> None:
    async def main() -> None:
        with desk() as d:
            gate = Gate()
            d.ask(FINAL, "held", gate)
            gate.running.wait(SOON)
            for priority, name in ((BACKGROUND, "recording"), (EARLY, "early"), (FINAL, "final")):
                assert d.ask(priority, name)
            assert d.pool.final_wait() == 0.0
            gate.open.set()
            await d.until("recording", "early", "final")
            assert d.order == ["held", "final", "early", "recording"]

    asyncio.run(main())


def test_background_work_gives_way_and_is_run_again() -> None:
    async def main() -> None:
        with desk() as d:
            gate = Gate()
            d.ask(BACKGROUND, "recording", gate)
            gate.running.wait(SOON)
            d.ask(FINAL, "final")
            await d.until("final")
            assert "recording" not in d.done
            gate.open.set()
            await d.until("recording")
            assert d.done["recording"] == Outcome("through")
            assert d.order == ["recording", "final", "recording"]
            assert d.pool.stats()["background_gave_way"] == 1

    asyncio.run(main())


def test_recordings_that_wait_cost_no_live_caller_anything() -> None:
    async def main() -> None:
        with desk(queued=4) as d:
            gate = Gate()
            d.ask(FINAL, "held", gate)
            gate.running.wait(SOON)
            for number in range(4):
                d.ask(BACKGROUND, f"recording {number}")
            assert d.ask(EARLY, "early")
            assert d.ask(FINAL, "final")
            gate.open.set()
            await d.until("early", "final")
            refused = [name for name, outcome in d.done.items() if isinstance(outcome.error, EngineBusy)]
            assert refused == ["recording 3", "recording 2"]

    asyncio.run(main())
