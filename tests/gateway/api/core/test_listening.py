"""Live listening, in virtual time, with a scripted recogniser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from engines.base import AsrOptions, EngineBusy, EngineFailed, EngineTimeout
from gateway.api.core.framer import Framer
from gateway.api.core.listening import (
    Heard,
    ListenAsk,
    ListenEvent,
    Listening,
    ListenLimits,
    UtteranceOver,
)
from gateway.api.core.transcribing import transcribed
from gateway.api.core.utterances import Began, Stopped
from media.frame import Pcm
from tests.fakes.asr import ScriptedAsr
from tests.fakes.voices import LoudIsVoice, bench, sound
from tests.virtual_time import run_virtual

SAYS = [(0.5, 1.5, "hello there"), (3.0, 3.6, "stop")]
SOUND = sound([(0.5, 1.5), (3.0, 3.6)], 6.0)
ASK = ListenAsk(AsrOptions(sample_rate=8000), endpoint_ms=300)


async def live(
    listening: Listening, pcm: Pcm, *, finalize_at: Sequence[float] = (), finish: bool = True
) -> None:
    """Push the sound as a caller would: a frame every 20 ms."""
    framer = Framer(8000)
    loop = asyncio.get_running_loop()
    wanted = list(finalize_at)
    for place in range(0, len(pcm), 160):
        if wanted and place / 8000 >= wanted[0]:
            listening.finalize()
            wanted.pop(0)
        await listening.push(framer.push(pcm[place : place + 160], loop.time()))
        await asyncio.sleep(0.02)
    if finish:
        await listening.finish()


def heard(
    asr: ScriptedAsr,
    ask: ListenAsk = ASK,
    pcm: Pcm = SOUND,
    limits: ListenLimits | None = None,
    finalize_at: Sequence[float] = (),
) -> list[tuple[float, ListenEvent]]:
    """Every event with the time at which it came."""

    async def scene() -> list[tuple[float, ListenEvent]]:
        listening = Listening(asr, bench(), ask, limits or ListenLimits())
        feeding = asyncio.ensure_future(live(listening, pcm, finalize_at=finalize_at))
        loop = asyncio.get_running_loop()
        try:
            events = [(round(loop.time(), 2), event) async for event in listening.events()]
        finally:
            await asyncio.wait([feeding])
            await listening.aclose()
        feeding.result()
        assert len(asyncio.all_tasks()) == 1
        return events

    return run_virtual(scene())


def finals(events: list[tuple[float, ListenEvent]]) -> list[Heard]:
    return [event for _, event in events if isinstance(event, Heard) and event.is_final]


def test_speech_is_noticed_and_told_once_it_is_over() -> None:
    events = heard(ScriptedAsr(SAYS))
    kinds = [type(event).__name__ for _, event in events if not isinstance(event, Heard) or event.is_final]
    assert kinds == ["Began", "Stopped", "Heard", "Began", "Stopped", "Heard"]
    first, second = finals(events)
    assert (first.text, second.text) == ("hello there", "stop")
    assert first.endpoint and second.endpoint
    assert first.start == pytest.approx(0.5, abs=0.03) and first.end == pytest.approx(1.5, abs=0.03)
    began = next(event for _, event in events if isinstance(event, Began))
    stopped = next(event for _, event in events if isinstance(event, Stopped))
    assert began.at == pytest.approx(0.5, abs=0.03) and stopped.at == pytest.approx(1.5, abs=0.03)


def test_a_final_comes_as_soon_as_the_clients_silence_has_passed() -> None:
    for endpoint in (200, 300, 1000, 3000):
        ask = replace(ASK, endpoint_ms=endpoint)
        events = heard(ScriptedAsr(SAYS[:1]), ask, sound([(0.5, 1.5)], 6.0))
        at = next(at for at, event in events if isinstance(event, Heard) and event.is_final)
        # The early decode of the pause is ready when the endpoint comes; only a short one waits for it.
        assert at == pytest.approx(1.5 + endpoint / 1000 + (0.06 if endpoint == 200 else 0.0), abs=0.05)


def test_a_pause_shorter_than_the_endpoint_keeps_one_utterance() -> None:
    pcm = sound([(0.5, 1.0), (1.4, 2.0)], 4.0)
    says = [(0.5, 1.0, "one"), (1.4, 2.0, "two")]
    assert [h.text for h in finals(heard(ScriptedAsr(says), replace(ASK, endpoint_ms=800), pcm))] == [
        "one two"
    ]
    assert [h.text for h in finals(heard(ScriptedAsr(says), ASK, pcm))] == ["one", "two"]


def test_words_lie_where_the_voice_was() -> None:
    first = finals(heard(ScriptedAsr(SAYS)))[0]
    assert [word.text for word in first.words] == ["hello", "there"]
    assert first.words[0].start == pytest.approx(0.5, abs=0.03)
    assert first.words[0].end == pytest.approx(first.words[1].start, abs=0.021)
    assert first.words[1].end == pytest.approx(1.5, abs=0.03)


def test_finalize_in_the_middle_of_speech_gives_what_was_said() -> None:
    says = [(0.5, 1.0, "hello"), (1.1, 1.5, "there")]
    got = finals(heard(ScriptedAsr(says), finalize_at=[1.05], pcm=sound([(0.5, 1.5)], 3.0)))
    assert [(h.text, h.from_finalize, h.endpoint) for h in got] == [
        ("hello", True, False),
        ("there", False, True),
    ]


def test_finalize_in_silence_is_answered_too() -> None:
    got = finals(heard(ScriptedAsr(SAYS), finalize_at=[0.2]))
    assert (got[0].text, got[0].from_finalize, got[0].number) == ("", True, 0)
    assert not any(h.from_finalize for h in got[1:])


def test_finalize_right_after_the_end_marks_the_final_that_is_still_owed() -> None:
    got = finals(heard(ScriptedAsr(SAYS[:1], takes=0.5), finalize_at=[1.85], pcm=sound([(0.5, 1.5)], 3.0)))
    assert [(h.text, h.from_finalize) for h in got] == [("hello there", True)]


def test_silence_after_the_last_word_ends_the_utterance_once() -> None:
    events = heard(ScriptedAsr(SAYS), replace(ASK, utterance_end_ms=1000))
    overs = [(at, event) for at, event in events if isinstance(event, UtteranceOver)]
    assert [event.last_word_end for _, event in overs] == [
        pytest.approx(1.5, abs=0.03),
        pytest.approx(3.6, abs=0.03),
    ]
    assert [at for at, _ in overs] == [pytest.approx(2.5, abs=0.05), pytest.approx(4.6, abs=0.05)]


def test_without_an_endpoint_only_the_client_ends_an_utterance() -> None:
    assert [h.text for h in finals(heard(ScriptedAsr(SAYS), replace(ASK, endpoint_ms=None)))] == [
        "hello there stop"
    ]


def test_speech_without_end_is_cut_and_goes_on() -> None:
    says = [(t, t + 0.2, f"w{n}") for n, t in enumerate(np.arange(1.0, 18.0, 1.0))]
    got = finals(
        heard(ScriptedAsr(says), pcm=sound([(0.5, 18.5)], 20.0), limits=ListenLimits(longest_seconds=5))
    )
    assert len(got) >= 4
    assert " ".join(h.text for h in got).split() == [f"w{n}" for n in range(17)]
    assert [h.endpoint for h in got] == [False] * (len(got) - 1) + [True]


def test_closing_in_the_middle_of_a_word_gives_its_final() -> None:
    got = finals(heard(ScriptedAsr(SAYS), pcm=SOUND[: round(1.4 * 8000)]))
    assert [(h.text, h.endpoint) for h in got] == [("hello there", False)]


def test_nothing_but_silence_gives_nothing() -> None:
    assert heard(ScriptedAsr([]), pcm=sound([], 3.0)) == []


def test_a_reader_that_is_slow_stops_the_sound_not_the_finals() -> None:
    async def scene() -> tuple[int, list[str]]:
        spans = [(n + 0.2, n + 0.5) for n in range(30)]
        asr = ScriptedAsr([(a, b, f"n{i}") for i, (a, b) in enumerate(spans)])
        listening = Listening(asr, bench(), ASK, ListenLimits(events_waiting=8))
        feeding = asyncio.ensure_future(live(listening, sound(spans, 31.0)))
        await asyncio.sleep(60)
        taken = round(listening.seconds)
        assert not feeding.done()
        texts = [e.text async for e in listening.events() if isinstance(e, Heard) and e.is_final]
        await feeding
        await listening.aclose()
        return taken, texts

    taken, texts = run_virtual(scene())
    assert taken < 6
    assert texts == [f"n{i}" for i in range(30)]


def test_a_recogniser_that_never_answers_is_told() -> None:
    with pytest.raises(EngineTimeout, match="no final after 2 s"):
        heard(ScriptedAsr(SAYS, takes=100.0), limits=ListenLimits(final_seconds=2))


def test_a_recogniser_that_breaks_once_is_not_noticed() -> None:
    assert [h.text for h in finals(heard(ScriptedAsr(SAYS, dies_at=[1.0])))] == ["hello there", "stop"]


def test_a_recogniser_that_keeps_breaking_is_told() -> None:
    class Broken(ScriptedAsr):
        def stream(self, options: AsrOptions):  # type: ignore[no-untyped-def]
            stream = super().stream(options)
            stream.due.put_nowait(None)  # type: ignore[attr-defined]
            return stream

    with pytest.raises(EngineFailed):
        heard(Broken(SAYS))


def test_a_full_recogniser_refuses_at_once() -> None:
    class Full(ScriptedAsr):
        def stream(self, options: AsrOptions):  # type: ignore[no-untyped-def]
            raise EngineBusy("all streams are in use")

    async def scene() -> None:
        detector = LoudIsVoice()
        with pytest.raises(EngineBusy):
            Listening(Full([]), bench(detector), ASK, ListenLimits())

    run_virtual(scene())


def test_a_recording_is_heard_by_the_same_path() -> None:
    async def pieces() -> AsyncIterator[Pcm]:
        for place in range(0, len(SOUND), 7001):
            yield SOUND[place : place + 7001]

    async def scene() -> None:
        seen: list[str] = []
        reached: list[float] = []
        recording = await transcribed(
            ScriptedAsr(SAYS), bench(), pieces(), ASK, ListenLimits(),
            heard=lambda final: seen.append(final.text), progress=reached.append,
        )  # fmt: skip
        assert recording.text == "hello there stop" and seen == ["hello there", "stop"]
        assert recording.seconds == pytest.approx(6.0) == reached[-1]
        assert reached == sorted(reached)
        assert [word.text for word in recording.words] == ["hello", "there", "stop"]

    run_virtual(scene())


def test_a_recording_that_breaks_off_is_told_and_leaves_nothing() -> None:
    async def pieces() -> AsyncIterator[Pcm]:
        yield SOUND
        raise ValueError("truncated")

    async def scene() -> None:
        with pytest.raises(ValueError, match="truncated"):
            await transcribed(ScriptedAsr(SAYS), bench(), pieces(), ASK, ListenLimits())
        assert len(asyncio.all_tasks()) == 1

    run_virtual(scene())
