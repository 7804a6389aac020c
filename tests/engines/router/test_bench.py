"""Which engine is the best, what is known of each, and how one that failed comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from engines.base import Asr, EngineBusy, EngineError, EngineFailed, EngineRefused, Residency
from engines.fleet import WorkerKind, WorkerSeen
from engines.router import Bench, Member, RouterSettings
from engines.router.asr import probe_asr
from engines.router.fleet import FleetFollower
from media.clock import now
from tests.engines.router.bench import asr_bench
from tests.fakes.faulty import FaultyAsr
from tests.virtual_time import run_virtual


def bench_of(*members: Member[Asr], settings: RouterSettings | None = None) -> Bench[Asr]:
    return Bench("asr", members, probe_asr, settings or RouterSettings())


def member(name: str, rank: int = 1, **more: Any) -> Member[Asr]:
    return Member[Asr](name, FaultyAsr(name), rank=rank, **more)


def in_time(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    run_virtual(work())


def names(bench: Bench[Asr], limit: Residency = Residency.CLOUD) -> list[str]:
    return [m.name for m in bench.ranked(limit)]


def test_the_lowest_rank_serves_and_equals_share_by_load_then_by_cost() -> None:
    async def main() -> None:
        first, second, third, last = (
            member("first"), member("second", cost=2.0), member("third", cost=1.0), member("last", 2),
        )  # fmt: skip
        bench = bench_of(last, first, second, third)
        assert names(bench) == ["first", "third", "second", "last"], "all idle: the cheaper first"
        first.running, second.running, third.running = 2, 1, 3
        assert names(bench) == ["second", "first", "third", "last"]

    in_time(main)


def test_load_is_the_share_of_places_and_counts_what_others_ask() -> None:
    async def main() -> None:
        small, large = member("small", places=4), member("large", places=100)
        small.running, large.running = 1, 10
        bench = bench_of(small, large)
        assert names(bench) == ["large", "small"]
        large.elsewhere = 60
        assert names(bench) == ["small", "large"]

    in_time(main)


def test_who_just_failed_comes_last_and_who_keeps_failing_not_at_all() -> None:
    async def main() -> None:
        one, two = member("one"), member("two", 2)
        bench = bench_of(one, two)
        await asyncio.sleep(1.0)
        bench.missed(one, "test")
        assert names(bench) == ["two", "one"]
        bench.missed(one, "test")
        assert names(bench) == ["two"]

    in_time(main)


def test_the_full_the_absent_and_the_forbidden_are_passed_over_and_told_apart() -> None:
    async def main() -> None:
        one = member("one", data=Residency.SITE)
        bench = bench_of(one)
        assert names(bench, Residency.NODE) == []
        assert isinstance(bench.refusal(Residency.NODE), EngineRefused)
        bench.report(one, EngineBusy("full"))
        assert names(bench) == [] and isinstance(bench.refusal(Residency.SITE), EngineBusy)
        await asyncio.sleep(0.6)
        assert names(bench) == ["one"], "it is asked again soon"
        one.away = True
        assert names(bench) == [] and isinstance(bench.refusal(Residency.SITE), EngineFailed)
        bench.report(one, EngineRefused("not that"))
        assert not one.suspect, "what it cannot do says nothing of its health"

    in_time(main)


def test_an_engine_that_failed_is_tried_by_us_and_not_by_callers() -> None:
    async def main() -> None:
        engine = FaultyAsr("one")
        bench = asr_bench([engine])
        await bench.warm_up()
        engine.set("dead")
        (one,) = bench.members
        bench.missed(one, "test")
        await asyncio.sleep(0.1)
        assert names(bench) == [], "the try that followed at once failed as well"
        engine.mode = "ok"
        await asyncio.sleep(2.5)
        assert names(bench) == ["one"] and not one.suspect
        await bench.aclose()

    in_time(main)


def test_a_standby_is_known_to_be_stopped_before_anybody_needs_it() -> None:
    async def main() -> None:
        first, second = FaultyAsr("first"), FaultyAsr("second")
        bench = asr_bench([first, second])
        await bench.warm_up()
        second.set("deaf")
        await asyncio.sleep(6.0)
        assert names(bench) == ["first"]
        second.set("ok")
        await asyncio.sleep(12.0)
        assert names(bench) == ["first", "second"]
        await bench.aclose()

    in_time(main)


@pytest.mark.parametrize("more", [{"cost": 0.5}, {"data": Residency.CLOUD}])
def test_an_engine_that_costs_is_tried_only_after_it_failed(more: dict[str, Any]) -> None:
    async def main() -> None:
        engine = FaultyAsr("hosted")
        bench = bench_of(Member[Asr]("hosted", engine, **more))
        await bench.warm_up()
        await asyncio.sleep(60.0)
        assert engine.streams == []
        bench.missed(bench.members[0], "test")
        await asyncio.sleep(1.0)
        assert len(engine.streams) == 1 and names(bench) == ["hosted"]
        await bench.aclose()

    in_time(main)


def test_it_starts_with_whoever_works_and_not_with_nobody() -> None:
    async def main() -> None:
        first, second = FaultyAsr("first"), FaultyAsr("second")
        first.mode = "dead"
        bench = asr_bench([first, second])
        await bench.warm_up()
        assert names(bench)[0] == "second"
        await bench.aclose()
        second.mode = "dead"
        bench = asr_bench([first, second])
        with pytest.raises(EngineError, match="dead"):
            await bench.warm_up()
        await bench.aclose()

    in_time(main)


def test_hedges_are_bounded_so_that_slow_engines_do_not_double_their_load() -> None:
    async def main() -> None:
        one = member("one")
        bench = bench_of(one, settings=replace(RouterSettings(), hedges=0.25, hedges_at_once=3))
        assert [bench.may_hedge() for _ in range(5)] == [True, True, True, False, False]
        for _ in range(4):
            bench.worked(one)
        assert [bench.may_hedge(), bench.may_hedge()] == [True, False]
        assert bench.counts["hedges"] == 4 and bench.counts["hedges_spared"] == 3

    in_time(main)


def test_two_engines_of_one_name_are_refused() -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="two engines are called 'one'"):
            bench_of(member("one"), member("one"))

    in_time(main)


class Register:
    """A fleet in plain sight."""

    def __init__(self) -> None:
        self.seen: list[WorkerSeen] = []

    def workers(self, kind: WorkerKind) -> tuple[WorkerSeen, ...]:
        return tuple(self.seen)

    async def start(self) -> None: ...

    async def aclose(self) -> None: ...


def seen(name: str, running: int = 0, ready: bool = True, address: str = "") -> WorkerSeen:
    return WorkerSeen(name, "asr", address or f"{name}:2233", "", running, 10, ready, 0.0)


def test_workers_of_a_fleet_join_share_and_leave() -> None:
    async def main() -> None:
        register, made = Register(), list[FaultyAsr]()
        bench = bench_of()

        def make(worker: WorkerSeen) -> Member[Asr]:
            made.append(FaultyAsr(worker.address))
            return Member[Asr](f"gpu/{worker.name}", made[-1], rank=1)

        follower = FleetFollower(bench, register, "asr", make)
        await follower.start()
        register.seen = [seen("a", running=5), seen("b", running=1)]
        await bench.warm_up()
        await asyncio.sleep(0.6)
        assert names(bench) == ["gpu/b", "gpu/a"] and bench.members[0].places == 10
        register.seen = [seen("a"), seen("b", ready=False)]
        await asyncio.sleep(0.6)
        assert names(bench) == ["gpu/a"]
        register.seen = [seen("a", address="elsewhere:1")]
        await asyncio.sleep(0.6)
        assert made[0].closed and made[-1].name == "elsewhere:1" and names(bench) == ["gpu/a"]
        register.seen = []
        began = now()
        await asyncio.sleep(30.0)
        assert names(bench) == [] and len(bench.members) == 2, "they may come back"
        await asyncio.sleep(40.0)
        assert len(bench.members) == 0 and all(engine.closed for engine in made) and now() - began == 70.0
        await follower.aclose()
        await bench.aclose()

    in_time(main)
