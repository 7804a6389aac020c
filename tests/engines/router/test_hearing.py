"""Recognition across engines, in virtual time: who answers, what is heard again, what is told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.base import AsrOptions, EngineBusy, EngineError, EngineRefused, Residency, Switch, Transcript
from engines.router.asr import RoutedAsr
from media.clock import now
from media.frame import AudioFrame
from tests.engines.router.bench import asr_bench
from tests.fakes.faulty import FaultyAsr
from tests.virtual_time import run_virtual

# A word each fifth of a second; segment n is the speech from n * 2 s to n * 2 + 1 s.
SAYS = [(round(0.1 + n * 0.2, 2), f"w{n}") for n in range(60)]


def words_of(segment: int) -> str:
    return " ".join(word for at, word in SAYS if segment * 2 <= at < segment * 2 + 1)


@dataclass
class Call:
    """What one call heard."""

    answers: list[tuple[float, Transcript]] = field(default_factory=list)
    switches: list[Switch] = field(default_factory=list)
    told: list[Switch] = field(default_factory=list)
    error: EngineError | None = None

    @property
    def finals(self) -> list[tuple[int, str]]:
        return [(t.segment, t.text) for _, t in self.answers if t.is_final]

    def final_at(self, segment: int) -> float:
        return next(at for at, t in self.answers if t.is_final and t.segment == segment)


Event = tuple[float, Callable[[], None]]


def converse(
    engines: Sequence[FaultyAsr],
    events: Sequence[Event] = (),
    segments: int = 2,
    *,
    data: Sequence[Residency] = (),
    limit: Residency = Residency.SITE,
    interim: bool = True,
    patience: float = 6.0,
) -> Call:
    """Speak so many segments, a second each and two apart, with these events at their times."""
    call = Call()

    async def main() -> None:
        bench = asr_bench(engines, call.told, data)
        asr = RoutedAsr(bench)
        await asr.warm_up()
        began = now()
        for at, do in events:
            asyncio.get_running_loop().call_at(began + at, do)
        options = AsrOptions(interim=interim, data=limit, on_switch=call.switches.append)
        stream = asr.stream(options)

        async def read() -> None:
            try:
                async with aclosing(stream.results()) as results:  # type: ignore[type-var]
                    async for transcript in results:
                        call.answers.append((now() - began, transcript))
            except EngineError as error:
                call.error = error

        reading = asyncio.create_task(read())
        for number in range(segments * 100):
            segment, place = divmod(number, 100)
            await asyncio.sleep(began + number * 0.02 - now())
            if place == 0:
                stream.start(segment)
            frame = AudioFrame(np.zeros(160, np.int16), 8000, number * 160, now())
            if place < 50:
                stream.push(frame)
            if place == 50:
                stream.pause()
            if place == 65:
                stream.end()
        await asyncio.sleep(patience)
        await stream.aclose()
        await reading
        assert all(member.running == 0 for member in bench.members)
        await asr.aclose()
        assert all(engine.closed for engine in engines)
        assert all(each.closed for engine in engines for each in engine.streams)
        mine = asyncio.current_task()
        assert [task for task in asyncio.all_tasks() if task is not mine] == []

    run_virtual(main())
    return call


def two() -> tuple[FaultyAsr, FaultyAsr]:
    return FaultyAsr("first", SAYS), FaultyAsr("second", SAYS)


def test_the_first_engine_serves_as_long_as_it_works() -> None:
    first, second = two()
    call = converse([first, second])
    assert call.finals == [(0, words_of(0)), (1, words_of(1))] and call.switches == []
    assert [stream for stream in second.streams if stream.options.interim] == []


@pytest.mark.parametrize("at", [0.3, 0.99, 1.02, 1.2, 1.31])
@pytest.mark.parametrize("how", ["dead", "deaf"])
def test_another_engine_hears_the_whole_segment_again(at: float, how: str) -> None:
    first, second = two()
    call = converse([first, second], [(at, lambda: first.set(how))])
    assert call.finals == [(0, words_of(0)), (1, words_of(1))]
    (switch, *more) = call.switches
    assert (switch.kind, switch.source, switch.target) == ("asr", "first", "second")
    assert switch.why == {"dead": "failed", "deaf": "late"}[how] and not more
    assert call.final_at(0) < 1.3 + 0.4 and 0 <= switch.gap < 0.7
    assert call.told == call.switches, "the node is told as well, once the gap is known"


def test_a_stopped_engine_costs_less_than_its_usual_time_and_a_little() -> None:
    first, second = two()
    call = converse([first, second], [(4.9, lambda: first.set("deaf"))], segments=6)
    early = next(at for at, t in call.answers if t.early and t.segment == 2)
    assert early - 5.0 < 0.25 + 0.06, "asked at the pause, at 5.0"
    assert [text for _, text in call.finals] == [words_of(n) for n in range(6)]


def test_who_was_only_slow_goes_on() -> None:
    first, second = two()
    second.takes = 2.0

    def slow() -> None:
        first.takes = 0.4

    call = converse([first, second], [(0.9, slow)], segments=1)
    assert call.finals == [(0, words_of(0))] and call.switches == []


def test_a_better_engine_is_returned_to_between_segments() -> None:
    first, second = two()
    call = converse([first, second], [(0.5, lambda: first.set("dead")), (3.0, lambda: first.set("ok"))], 5)
    assert [(s.source, s.target, s.why) for s in call.switches] == [
        ("first", "second", "failed"),
        ("second", "first", "preferred"),
    ]
    assert call.switches[1].gap == 0.0
    assert call.finals == [(n, words_of(n)) for n in range(5)]


def test_another_call_learns_from_what_one_call_saw() -> None:
    """An engine that somebody just found wanting is waited for hardly at all."""
    first, second = two()

    async def main() -> list[float]:
        bench = asr_bench([first, second])
        asr = RoutedAsr(bench)
        await asr.warm_up()
        streams = [asr.stream(AsrOptions(interim=False)) for _ in range(2)]
        first.set("deaf")
        took = []
        for number, stream in enumerate(streams):
            stream.start(1)
            for n in range(50):
                stream.push(AudioFrame(np.zeros(160, np.int16), 8000, n * 160, now()))
            stream.end()
            began = now()
            async for transcript in stream.results():
                assert transcript.text == words_of(0), number
                break
            took.append(now() - began)
        for stream in streams:
            await stream.aclose()
        await asr.aclose()
        return took

    took = run_virtual(main())
    assert took[0] > 0.25 and took[1] < 0.12


def test_several_unfinished_segments_are_heard_again_in_order() -> None:
    first, second = two()

    async def main() -> list[tuple[int, str]]:
        bench = asr_bench([first, second])
        asr = RoutedAsr(bench)
        await asr.warm_up()
        stream = asr.stream(AsrOptions(interim=False))
        first.takes = 0.24
        for segment in range(3):
            stream.start(segment)
            for n in range(segment * 100, segment * 100 + 50):
                stream.push(AudioFrame(np.zeros(160, np.int16), 8000, n * 160, now()))
            if segment < 2:
                stream.end()
        await asyncio.sleep(0.01)
        first.set("dead")
        await asyncio.sleep(0.1)
        stream.end()
        finals = []
        async for transcript in stream.results():
            finals.append((transcript.segment, transcript.text))
            if len(finals) == 3:
                break
        await stream.aclose()
        await asr.aclose()
        return finals

    assert run_virtual(main()) == [(n, words_of(n)) for n in range(3)]


def test_words_that_were_promised_are_not_taken_back_by_the_next_engine() -> None:
    first = FaultyAsr("first", SAYS)
    second = FaultyAsr("second", [(at, word.upper()) for at, word in SAYS])
    call = converse([first, second], [(0.7, lambda: first.set("dead"))], segments=1)
    shown = [t for _, t in call.answers if not t.is_final and not t.early]
    assert all(t.text == t.text.lower() for t in shown)
    assert call.finals == [(0, words_of(0).upper())], "a final may differ"


def test_of_an_engine_that_gives_finals_only_nothing_is_due_before_the_end() -> None:
    first = FaultyAsr("first", SAYS, takes=0.2, plain=True)
    second = FaultyAsr("second", SAYS)
    call = converse([first, second], segments=4)
    assert call.switches == [] and [n for n, _ in call.finals] == [0, 1, 2, 3]
    assert [stream for stream in second.streams if stream.options.interim] == []
    first.set("deaf")
    call = converse([first, second], segments=1)
    assert call.finals == [(0, words_of(0))] and call.final_at(0) < 1.3 + 0.25 + 0.1


def test_noise_costs_nobody_his_place() -> None:
    first, second = FaultyAsr("first"), FaultyAsr("second")
    call = converse([first, second], segments=3)
    assert call.finals == [(0, ""), (1, ""), (2, "")] and call.switches == []


def test_without_any_engine_it_waits_and_goes_on_when_one_is_back() -> None:
    first, second = two()
    dead = [(0.5, lambda: first.set("dead")), (0.5, lambda: second.set("dead"))]
    call = converse([first, second], [*dead, (4.0, lambda: second.set("ok"))], segments=4, patience=8.0)
    assert call.error is None
    assert call.finals == [(n, words_of(n)) for n in range(4)]
    assert call.final_at(0) > 4.0


def test_a_final_that_its_only_engine_lost_holds_up_the_next_one_but_for_a_moment() -> None:
    first = FaultyAsr("first", SAYS)

    async def main() -> tuple[int, float]:
        asr = RoutedAsr(asr_bench([first]))
        await asr.warm_up()
        stream = asr.stream(AsrOptions())
        first.set("deaf")
        for segment in range(2):
            stream.start(segment)
            stream.push(AudioFrame(np.zeros(160, np.int16), 8000, segment * 16000 + 800, now()))
            stream.end()
            await asyncio.sleep(0.1)
            first.set("ok")
        began = now()
        finals = [t.segment async for t in _first(stream)]
        took = now() - began
        await stream.aclose()
        await asr.aclose()
        return finals[0], took

    segment, took = run_virtual(main())
    assert segment == 1 and took < 0.6


def test_what_nobody_waits_for_any_more_is_not_heard_again() -> None:
    first, second = two()

    async def main() -> list[int]:
        asr = RoutedAsr(asr_bench([first, second]))
        await asr.warm_up()
        stream = asr.stream(AsrOptions())
        first.set("deaf")
        for segment in range(2):
            stream.start(segment)
            stream.push(AudioFrame(np.zeros(160, np.int16), 8000, segment * 16000 + 800, now()))
            stream.end()
        stream.forget(0)
        first.set("dead")
        finals = [t.segment async for t in _first(stream)]
        await stream.aclose()
        await asr.aclose()
        return finals

    assert run_virtual(main()) == [1]


async def _first(stream: object):  # type: ignore[no-untyped-def]
    async for transcript in stream.results():  # type: ignore[attr-defined]
        yield transcript
        return


def test_a_full_engine_is_passed_over_and_all_full_refuse_the_call() -> None:
    first, second = two()
    first.mode = "full"
    assert converse([first, second], segments=1).finals == [(0, words_of(0))]

    async def main() -> None:
        first.mode = second.mode = "full"
        RoutedAsr(asr_bench([first, second])).stream(AsrOptions())

    with pytest.raises(EngineBusy, match="full"):
        run_virtual(main())


def test_an_engine_that_cannot_serve_this_call_is_left_to_others() -> None:
    first, second = two()
    first.mode = "unable"
    call = converse([first, second], segments=1)
    assert call.finals == [(0, words_of(0))]
    second.mode = "unable"

    async def main() -> None:
        RoutedAsr(asr_bench([first, second])).stream(AsrOptions())

    with pytest.raises(EngineRefused, match="unable"):
        run_virtual(main())


def test_a_call_whose_sound_must_stay_is_refused_where_nobody_may_hear_it() -> None:
    far = FaultyAsr("far", SAYS)

    async def main() -> None:
        RoutedAsr(asr_bench([far], data=[Residency.CLOUD])).stream(AsrOptions(data=Residency.SITE))

    with pytest.raises(EngineRefused, match="stays within its site"):
        run_virtual(main())
    assert far.limits == []


MODES = st.sampled_from(["ok", "dead", "deaf", "full", "unable"])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.0, 7.0), st.integers(0, 2), MODES), max_size=8),
    st.permutations(list(Residency)),
    st.sampled_from(list(Residency)),
)
def test_sound_never_goes_further_than_the_call_allows(
    faults: list[tuple[float, int, str]], places: list[Residency], limit: Residency
) -> None:
    """Whatever breaks, also when all that may be used is broken. And each segment has one final at most."""
    engines = [FaultyAsr(f"engine-{place}", SAYS) for place in places]
    events = [(at, lambda e=engines[n], m=mode: e.set(m)) for at, n, mode in faults]
    call = converse(engines, events, 4, data=places, limit=limit, patience=4.0)
    for engine, place in zip(engines, places, strict=True):
        probes = sum(not stream.options.interim for stream in engine.streams)
        if not limit.allows(place):
            assert len(engine.streams) == probes and all(s.options.interim is False for s in engine.streams)
        for stream in engine.streams:
            assert stream.options.interim is False or limit.allows(place)
    segments = [segment for segment, _ in call.finals]
    assert segments == sorted(set(segments))
    assert all(text == words_of(segment) for segment, text in call.finals)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_no_word_is_lost_and_none_comes_twice_while_one_engine_works(seed: int) -> None:
    """Three engines that break and mend at random, the last one of which never does."""
    chance = random.Random(seed)
    engines = [FaultyAsr(f"e{n}", SAYS) for n in range(3)]
    faults = [
        (chance.uniform(0, 12), engine, chance.choice(["dead", "deaf", "ok", "full"]))
        for engine in engines[:2]
        for _ in range(chance.randrange(5))
    ]
    events = [(at, lambda e=engine, m=mode: e.set(m)) for at, engine, mode in faults]
    call = converse(engines, events, 6)
    assert call.finals == [(n, words_of(n)) for n in range(6)]
    for segment in range(6):
        assert call.final_at(segment) - (segment * 2 + 1.3) < 0.7
