"""Whole calls in virtual time over several engines: what the caller hears when they break, and the record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from engines.base import Residency, Switch, TtsOptions
from engines.router import RoutedAsr, RoutedTts
from engines.speech_cache import SpeechCache
from gateway.calls.settings import Engines, PhraseSettings, SessionSettings
from gateway.dialplan.plan import Dialplan
from gateway.prompts import Prompter
from media.legs.base import EndReason, LegClosed
from tests.calls.converse import converse
from tests.calls.place_call import Outcome, Watcher
from tests.engines.router.bench import asr_bench, tts_bench
from tests.fakes.agent import ScriptedAgent
from tests.fakes.caller import ScriptedCaller
from tests.fakes.faulty import FaultyAsr, FaultyTts
from tests.virtual_time import run_virtual

PHRASES = PhraseSettings()
Says = tuple[float, float, str]
ASK: Says = (1.5, 2.5, "I want a table.")
AGAIN: Says = (9.0, 10.0, "I want it, please.")


def heard_as(says: Sequence[Says]) -> list[tuple[float, str]]:
    """Each word at its place within what is said."""
    found: list[tuple[float, str]] = []
    for start, end, text in says:
        words = text.split()
        step = (end - start) / len(words)
        found += [(start + (n + 0.5) * step, word) for n, word in enumerate(words)]
    return found


def place(
    asr: Sequence[FaultyAsr],
    tts: Sequence[FaultyTts],
    says: Sequence[Says],
    events: Sequence[tuple[float, Callable[[], None]]] = (),
    *,
    until: float = 12.0,
    places: Sequence[Residency] = (),
    limit: Residency = Residency.SITE,
    agent: ScriptedAgent | None = None,
) -> Outcome:
    """As `place_call`, with several engines, prompts in the cache, and events that break things."""
    watcher, agent, told = Watcher(), agent or ScriptedAgent(), list[Switch]()
    for engine in asr:
        engine.says = heard_as(says)

    async def call() -> Outcome:
        hears = RoutedAsr(asr_bench(asr, told, places))
        speaks = RoutedTts(tts_bench(tts, told, places))
        await asyncio.gather(hears.warm_up(), speaks.warm_up())
        cache = SpeechCache(speaks)
        options = TtsOptions(data=limit)
        prompter = Prompter(cache, options, PHRASES, {})
        prompter.prepare(Dialplan(()))
        await prompter.done()
        began = asyncio.get_running_loop().time()
        for at, do in events:
            asyncio.get_running_loop().call_at(began + at, do)
        moved = [(began + start, began + end) for start, end, _ in says]
        hangs_up = LegClosed(EndReason.CALLER_HUNG_UP, until)
        caller = ScriptedCaller(moved, (), [(began + until, hangs_up)])
        settings = replace(SessionSettings(), phrases=PHRASES)
        record = await converse(caller, Engines(hears, cache, limit), agent, settings, [watcher])
        await prompter.aclose()
        await hears.aclose()
        await speaks.aclose()
        await asyncio.sleep(0)
        mine = asyncio.current_task()
        left = [task.get_name() for task in asyncio.all_tasks() if task is not mine]
        return Outcome(record, caller, agent, watcher, left, record.counts)

    return run_virtual(call())


def both(says: Sequence[Says] = ()) -> tuple[list[FaultyAsr], list[FaultyTts]]:
    return [FaultyAsr("a1"), FaultyAsr("a2")], [FaultyTts("t1", 1000), FaultyTts("t2", 2000)]


@pytest.mark.parametrize("how", ["dead", "deaf"])
@pytest.mark.parametrize("at", [1.6, 2.3, 2.6, 2.8, 2.95])
def test_a_recogniser_that_breaks_is_not_noticed_by_the_caller(at: float, how: str) -> None:
    asr, tts = both()
    call = place(asr, tts, [ASK], [(at, lambda: asr[0].set(how))], until=9.0)
    assert call.turns == [("I want a table.", "You said I want a table.")]
    assert call.watcher.said == ["You said I want a table."]
    assert call.record.end_reason is EndReason.CALLER_HUNG_UP and call.tasks_left == []
    switches = [s for s in call.record.as_json()["switches"] if s["kind"] == "asr"]
    if switches:
        assert (switches[0]["from"], switches[0]["to"]) == ("a1", "a2") and switches[0]["gap_ms"] < 700
    clean = place(*both(), [ASK], until=9.0)
    assert call.audible[0][0] - clean.audible[0][0] < 0.7


@pytest.mark.parametrize("how", ["dead", "deaf"])
def test_a_voice_that_breaks_in_mid_reply_is_gone_on_with(how: str) -> None:
    asr, tts = both()
    agent = ScriptedAgent(says=lambda turn: "Here are one two three four five six seven eight nine words.")

    def soon() -> None:
        tts[0].fails_after, tts[0].then = 3, how

    call = place(asr, tts, [ASK], [(1.0, soon)], until=9.0, agent=agent)
    (turn,) = (turn for turn in call.record.turns if turn.number)
    assert turn.heard == turn.reply == "Here are one two three four five six seven eight nine words."
    assert agent.told[-1] == (1, turn.heard, True)
    levels = [int(abs(pcm).max()) for _, _, pcm in call.caller.playout.heard]
    assert levels[0] == 1000 and levels[-1] == 2000, "begun by one, ended by the other"
    assert len(call.audible) == 1, "without a pause"
    (switch,) = call.record.as_json()["switches"]
    assert (switch["kind"], switch["from"], switch["to"]) == ("tts", "t1", "t2")
    assert switch["gap_ms"] < 50 and switch["at_seconds"] > 2.0


def test_with_everything_unplugged_the_caller_hears_a_phrase_and_is_served_when_it_is_back() -> None:
    asr, tts = both()

    def unplug() -> None:
        for engine in asr:
            engine.set("deaf")
        for voice in tts:
            voice.mode = "dead"

    def plug() -> None:
        for engine in asr:
            engine.set("ok")
        for voice in tts:
            voice.mode = "ok"

    call = place(asr, tts, [ASK, AGAIN], [(1.0, unplug), (7.0, plug)], until=14.0)
    assert call.watcher.said == [PHRASES.apology, "You said I want it, please."]
    waited = call.audible[0][0] - call.record.began - ASK[1]
    assert waited < 0.5 + 1.5 + 0.3, "no dead air: the words' own deadline and no more"
    assert call.turns[-1] == ("I want it, please.", "You said I want it, please.")
    assert call.record.end_reason is EndReason.CALLER_HUNG_UP and call.tasks_left == []


def test_voices_that_are_all_gone_leave_the_phrases_that_were_kept() -> None:
    asr, tts = both()

    def unplug() -> None:
        for voice in tts:
            voice.mode = "deaf"

    call = place(asr, tts, [ASK], [(1.0, unplug)], until=14.0)
    assert call.watcher.said[0] in (PHRASES.filler, PHRASES.apology)
    assert PHRASES.apology in call.watcher.said
    assert call.record.end_reason is EndReason.CALLER_HUNG_UP


@pytest.mark.parametrize("limit", [Residency.NODE, Residency.SITE])
def test_nothing_leaves_the_site_even_when_only_the_cloud_works(limit: Residency) -> None:
    asr, tts = both()

    def break_the_near() -> None:
        asr[0].set("dead")
        tts[0].mode = "dead"

    call = place(
        asr, tts, [ASK, AGAIN], [(1.0, break_the_near)],
        until=20.0, places=[Residency.NODE, Residency.CLOUD], limit=limit,
    )  # fmt: skip
    assert [stream for stream in asr[1].streams if stream.options.interim] == [], "only our own silence"
    assert set(tts[1].asked) <= {"Yes."}
    assert call.watcher.said[0] == PHRASES.apology
    assert all(turn.said == "" for turn in call.record.turns)


def test_where_the_call_allows_it_the_cloud_takes_over() -> None:
    asr, tts = both()

    def break_the_near() -> None:
        asr[0].set("dead")
        tts[0].mode = "dead"

    call = place(
        asr, tts, [ASK], [(1.0, break_the_near)],
        until=9.0, places=[Residency.NODE, Residency.CLOUD], limit=Residency.CLOUD,
    )  # fmt: skip
    assert call.turns == [("I want a table.", "You said I want a table.")]
