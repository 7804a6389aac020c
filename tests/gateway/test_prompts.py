from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from engines.base import TtsOptions
from engines.speech_cache import SpeechCache
from gateway.agents.echo import EchoSettings
from gateway.calls.settings import PhraseSettings
from gateway.dialplan.actions import Answer, SayText
from gateway.dialplan.forms import Action
from gateway.dialplan.match import Match, Route
from gateway.dialplan.plan import Dialplan
from gateway.dialplan.steps import plain
from gateway.prompts import Prompter, prompts, sentences
from tests.fakes.tts import ToneTts
from tests.virtual_time import run_virtual

PHRASES = PhraseSettings("Filler.", "", "", "", "", "", "")
OPTIONS = TtsOptions(8000)


def plan(*texts: str) -> Dialplan:
    actions: list[Action] = [Answer(), *(SayText(text) for text in texts)]
    return Dialplan((Route("desk", Match(), plain(*actions)),))


def test_all_that_is_known_to_be_said_is_collected_as_it_will_be_spoken() -> None:
    found = list(prompts(PHRASES, ["Hello. How are you?"], plan("This is a notice. Goodbye.")))
    assert found == ["Filler.", "Hello.", "How are you?", "This is a notice.", "Goodbye."]


def test_every_default_phrase_is_among_them() -> None:
    assert len(list(prompts(PhraseSettings(), [], Dialplan(())))) == 7


def test_prepared_prompts_come_from_the_cache() -> None:
    async def main() -> None:
        tts = ToneTts()
        cache = SpeechCache(tts)
        prompter = Prompter(cache, OPTIONS, PHRASES, {"echo": EchoSettings(greeting="Hello.")})
        prompter.prepare(plan("This is a notice."))
        await prompter.done()
        assert sorted(tts.spoken) == ["Filler.", "Hello.", "This is a notice."]
        for text in sentences("This is a notice. Hello."):
            assert [chunk async for chunk in cache.speak(text, OPTIONS)]
        assert len(tts.spoken) == 3 and cache.stats()["hits"] == 2
        prompter.prepare(plan("This is a notice.", "And another."))
        await prompter.done()
        assert tts.spoken[3:] == ["And another."]

    run_virtual(main())


def test_a_newer_plan_replaces_the_work_on_an_older_one() -> None:
    async def main() -> None:
        tts = ToneTts(takes=1.0)
        prompter = Prompter(SpeechCache(tts), OPTIONS, PHRASES, {})
        prompter.prepare(plan("Old one.", "Old two."))
        await asyncio.sleep(1.5)
        prompter.prepare(plan("New one."))
        await prompter.done()
        assert tts.spoken == ["Filler.", "New one."]
        await prompter.aclose()
        await prompter.aclose()

    run_virtual(main())


def test_a_voice_that_fails_is_no_reason_not_to_start() -> None:
    async def main() -> None:
        prompter = Prompter(SpeechCache(ToneTts(fails=1)), OPTIONS, PHRASES, {})
        prompter.prepare(plan("Hello."))
        await prompter.done()

    with capture_logs() as lines:
        run_virtual(main())
    assert [line["event"] for line in lines] == ["prompts not prepared"]
