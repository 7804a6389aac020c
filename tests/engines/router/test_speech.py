"""Speech across engines, in virtual time: what the listener hears, and from whom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.base import EngineError, EngineFailed, EngineTimeout, Residency, SpeechChunk, Switch, TtsOptions
from engines.router.tts import RoutedTts
from media.clock import now
from media.frame import Pcm
from tests.engines.router.bench import tts_bench
from tests.fakes.faulty import WORD, FaultyTts
from tests.virtual_time import run_virtual

RATE = 8000
TEXT = "one two three four five six seven eight nine ten"
ONE_WORD = round(WORD * RATE)


@dataclass
class Heard:
    """What a listener heard whose queue plays in real time."""

    chunks: list[SpeechChunk] = field(default_factory=list)
    silences: list[float] = field(default_factory=list)
    """Seconds without sound: before the first, and whenever the queue ran dry."""
    switches: list[Switch] = field(default_factory=list)
    error: EngineError | None = None

    @property
    def pcm(self) -> Pcm:
        return np.concatenate([c.pcm for c in self.chunks]) if self.chunks else np.zeros(0, np.int16)

    @property
    def words(self) -> list[str]:
        return [word.text for chunk in self.chunks for word in chunk.words]

    def spoken_by(self, level: int) -> float:
        """How many words' worth of samples have this level."""
        return float(np.count_nonzero(self.pcm == level)) / ONE_WORD


def listen(
    engines: Sequence[FaultyTts],
    events: Sequence[tuple[float, Callable[[], None]]] = (),
    *,
    text: str = TEXT,
    options: TtsOptions | None = None,
    data: Sequence[Residency] = (),
    before: Callable[[], None] | None = None,
    waits: float = 0.0,
) -> Heard:
    """Hear one passage out. `waits`: how long the first chunk is kept before it is played."""
    heard = Heard()
    options = options or TtsOptions(on_switch=heard.switches.append)

    async def main() -> None:
        bench = tts_bench(engines, data=data)
        tts = RoutedTts(bench)
        await tts.warm_up()
        if before is not None:
            before()
        began = now()
        for at, do in events:
            asyncio.get_running_loop().call_at(began + at, do)
        dry: float | None = None
        try:
            async with aclosing(tts.speak(text, options)) as chunks:  # type: ignore[type-var]
                async for chunk in chunks:
                    if dry is None:
                        heard.silences.append(now() - began)
                        await asyncio.sleep(waits)
                    elif now() > dry:
                        heard.silences.append(now() - dry)
                    dry = max(dry or 0.0, now()) + len(chunk.pcm) / RATE
                    heard.chunks.append(chunk)
        except EngineError as error:
            heard.error = error
        assert all(member.running == 0 for member in bench.members)
        await tts.aclose()
        mine: Any = asyncio.current_task()
        assert [task for task in asyncio.all_tasks() if task is not mine] == []

    run_virtual(main())
    return heard


def two() -> tuple[FaultyTts, FaultyTts]:
    return FaultyTts("first", 100), FaultyTts("second", 200)


def test_the_first_voice_speaks_alone_as_long_as_it_works() -> None:
    first, second = two()
    heard = listen([first, second])
    assert heard.words == TEXT.split() and heard.spoken_by(100) == 10 and heard.switches == []
    assert {chunk.engine for chunk in heard.chunks} == {"first"}
    assert second.asked in ([], ["Yes."])


@pytest.mark.parametrize("then", ["dead", "deaf"])
@pytest.mark.parametrize("chunks", [1, 2, 3, 5])
def test_another_voice_goes_on_with_the_word_where_sound_stopped(then: str, chunks: int) -> None:
    first, second = two()

    def soon() -> None:
        first.fails_after, first.then = chunks, then

    heard = listen([first, second], before=soon)
    assert heard.error is None
    whole = int(chunks * 0.3 / WORD + 1e-9)
    assert second.asked[-1] == " ".join(TEXT.split()[whole:])
    assert heard.spoken_by(200) == 10 - whole
    assert heard.spoken_by(100) == pytest.approx(whole if chunks > 1 else 1.5, abs=0.1), (
        "no half word but the first"
    )
    assert heard.words == TEXT.split()
    (switch,) = heard.switches
    assert switch.why == {"dead": "failed", "deaf": "late"}[then] and switch.gap < 0.2
    assert max(heard.silences[1:], default=0.0) < 0.2


def test_the_change_is_made_before_the_queue_runs_dry() -> None:
    """With more than the standby's usual time to hear there is no silence at all."""
    first, second = two()
    first.piece = 1.0
    for engine in (first, second):
        engine.takes = 0.1

    def soon() -> None:
        first.fails_after, first.then = 1, "deaf"

    heard = listen([first, second], before=soon)
    assert heard.silences[1:] == [] and heard.switches[0].gap == 0.0


def test_a_voice_that_does_not_begin_is_not_waited_for() -> None:
    first, second = two()
    heard = listen([first, second], before=lambda: setattr(first, "mode", "deaf"))
    assert heard.words == TEXT.split() and heard.spoken_by(200) == 10
    assert heard.silences[0] < 0.35 + 0.07
    assert heard.switches[0].gap == pytest.approx(heard.silences[0])


def test_a_prepared_reply_that_waited_is_finished_by_another_voice() -> None:
    """The first chunk is ready long before it may sound; its voice dies meanwhile."""
    first, second = two()
    heard = listen(
        [first, second], [(1.0, lambda: setattr(first, "mode", "dead"))], waits=2.0, text=TEXT * 12
    )
    assert heard.error is None and len(heard.words) == len((TEXT * 12).split())
    assert max(heard.silences[1:], default=0.0) < 0.1


def test_two_failures_within_one_passage() -> None:
    first, second, third = FaultyTts("first", 100), FaultyTts("second", 200), FaultyTts("third", 300)

    def soon() -> None:
        first.fails_after = second.fails_after = 2

    heard = listen([first, second, third], before=soon)
    assert heard.words == TEXT.split()
    assert [heard.spoken_by(level) for level in (100, 200, 300)] == pytest.approx([3, 3, 4], abs=0.1)
    assert [(s.source, s.target) for s in heard.switches] == [("first", "second"), ("second", "third")]


def test_a_voice_without_word_times_is_gone_on_with_by_a_guess() -> None:
    first, second = FaultyTts("first", 100, timed=False), FaultyTts("second", 200)

    def soon() -> None:
        first.fails_after = 3

    heard = listen([first, second], before=soon)
    rest = second.asked[-1].split()
    assert 0 < len(rest) < 10 and TEXT.split()[-len(rest) :] == rest
    assert heard.spoken_by(100) == 4.5 and heard.spoken_by(200) == len(rest)


def test_when_all_fail_the_last_error_is_told_after_what_was_said() -> None:
    first, second = two()

    def soon() -> None:
        first.fails_after = 2
        second.mode = "dead"

    heard = listen([first, second], before=soon)
    assert isinstance(heard.error, EngineFailed) and heard.spoken_by(100) == pytest.approx(3, abs=0.1)


def test_a_passage_that_nobody_speaks_is_given_up() -> None:
    first, second = two()

    def soon() -> None:
        first.mode = second.mode = "deaf"

    heard = listen([first, second], before=soon)
    assert isinstance(heard.error, EngineTimeout) and heard.chunks == []


def test_a_single_engine_gets_a_second_chance() -> None:
    (first, _) = two()

    def soon() -> None:
        first.fails_after = 2
        asyncio.get_running_loop().call_later(0.09, lambda: setattr(first, "mode", "ok"))

    heard = listen([first], before=soon)
    assert heard.error is not None or heard.words == TEXT.split()


def test_an_engine_is_asked_for_its_own_voice_where_it_lacks_the_calls() -> None:
    first, second = two()
    first.mode = "unable"
    heard = listen([first, second], options=TtsOptions(voice="first"))
    assert heard.spoken_by(200) == 10


def test_text_never_goes_further_than_the_call_allows() -> None:
    near, far = two()
    near.mode = "dead"
    heard = listen([near, far], data=[Residency.NODE, Residency.CLOUD])
    assert isinstance(heard.error, EngineError) and TEXT not in far.asked


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0.0, 1.5), st.integers(0, 2), st.sampled_from(["ok", "dead", "deaf", "full"])),
        max_size=6,
    ),
    st.lists(st.floats(0.05, 1.0), min_size=3, max_size=3),
    st.permutations(list(Residency)),
    st.sampled_from(list(Residency)),
)
def test_whatever_breaks_words_come_once_and_in_order(
    faults: list[tuple[float, int, str]],
    pieces: list[float],
    places: list[Residency],
    limit: Residency,
) -> None:
    engines = [FaultyTts(f"e{n}", 100 * (n + 1), piece=piece) for n, piece in enumerate(pieces)]
    events = [(at, lambda e=engines[n], m=m: setattr(e, "mode", m)) for at, n, m in faults]
    heard = listen(engines, events, data=places, options=TtsOptions(data=limit))
    if heard.error is None:
        assert heard.words == TEXT.split()
        assert 10 <= len(heard.pcm) / ONE_WORD <= 10 + 4, "only a begun first word is said again"
    else:
        assert heard.words == TEXT.split()[: len(heard.words)]
    for engine, place in zip(engines, places, strict=True):
        assert limit.allows(place) or set(engine.asked) <= {"Yes."}
