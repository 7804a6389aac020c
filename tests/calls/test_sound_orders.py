"""What is said, played and cleared by order while an agent makes its own sound."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.calls.orders import ClearNow, OrderRefused, PlayNow, SayNow
from gateway.calls.sound_stage import SoundStage
from gateway.calls.stage import CallOver
from media.legs.base import EndReason
from media.wav import write_wav
from tests.calls.sound_call import SoundOutcome, loud
from tests.calls.test_media_stream import CLEAR, call, is_event, listens, mark, media
from tests.fakes.app_socket import AppSocket
from tests.fakes.tts import ToneTts

TEN = "one two three four five six seven eight nine ten."
"""A second of the humming voice, whose samples are 100 at first, 200 in its second sentence, and so on."""
BOT = 5000

Given = Callable[[SoundStage], Coroutine[Any, Any, None]]


def ordered(app: Any, given: Given, **more: Any) -> SoundOutcome:
    return call(app, meet=lambda stage: asyncio.ensure_future(given(stage)), **more)


def levels(outcome: SoundOutcome) -> list[tuple[int, float]]:
    """Who was heard, one after another: level and seconds. The bot's is that of its G.711."""
    heard = outcome.heard[outcome.heard != 0].astype(int)
    edges = np.flatnonzero(np.diff(heard)) + 1
    return [(int(part[0]), round(len(part) / 8000, 2)) for part in np.split(heard, edges) if len(part)]


def who(outcome: SoundOutcome) -> list[tuple[str, float]]:
    return [("bot" if level > 4000 else "us", seconds) for level, seconds in levels(outcome)]


async def streams(socket: AppSocket) -> None:
    """A bot that speaks in real time for two seconds, then wants to know when it was heard."""
    await socket.until(is_event("start"))
    for _ in range(100):
        socket.send(media(loud(0.02, BOT)))
        await asyncio.sleep(0.02)
    socket.send(mark("said"))
    await listens(socket)


async def burst(socket: AppSocket) -> None:
    """A bot that sends two seconds at once."""
    await socket.until(is_event("start"))
    socket.send(media(loud(2.0, BOT)))
    socket.send(mark("said"))
    await listens(socket)


def test_words_come_whole_after_what_waits_and_before_what_the_bot_sends_next() -> None:
    done: list[float] = []

    async def given(stage: SoundStage) -> None:
        await asyncio.sleep(1.0)
        await stage.obey(SayNow(f"{TEN} Two words."))
        done.append(asyncio.get_running_loop().time())

    outcome = ordered(streams, given, until=6.0)
    heard = who(outcome)
    assert [name for name, _ in heard] == ["bot", "us", "us", "bot"]
    assert heard[1:3] == [("us", 1.0), ("us", 0.2)]
    assert heard[0][1] + heard[3][1] == pytest.approx(2.0, abs=0.001), "none of the bot's is lost"
    assert heard[0][1] == pytest.approx(1.0, abs=0.1)
    (told,) = [at for at, m in outcome.sent if m["event"] == "mark"]
    assert told == pytest.approx(3.2, abs=0.1), "its mark comes when its sound was heard, after ours"
    assert done == [pytest.approx(2.3, abs=0.15)]
    (turn,) = outcome.record.turns
    assert (turn.number, turn.reply, turn.heard) == (0, f"{TEN} Two words.", f"{TEN} Two words.")
    assert outcome.watcher.timings == []


def test_an_order_that_interrupts_cuts_the_bot_and_its_marks_come_back() -> None:
    async def given(stage: SoundStage) -> None:
        await asyncio.sleep(0.8)
        await stage.obey(SayNow(TEN, interrupt=True))

    outcome = ordered(burst, given, until=4.0)
    (bot, first), (us, second) = who(outcome)
    assert (bot, us, second) == ("bot", "us", 1.0)
    assert first == pytest.approx(0.8, abs=0.05)
    (told,) = [at for at, m in outcome.sent if m["event"] == "mark"]
    assert told == pytest.approx(0.8, abs=0.05)


def test_the_bots_clear_cuts_our_words_too_as_a_caller_who_interrupts_would() -> None:
    async def app(socket: AppSocket) -> None:
        await socket.until(is_event("start"))
        await asyncio.sleep(1.0)
        socket.send(CLEAR)
        socket.send(media(loud(0.5, BOT)))
        await listens(socket)

    done: list[float] = []

    async def given(stage: SoundStage) -> None:
        await asyncio.sleep(0.5)
        await stage.obey(SayNow(TEN))
        done.append(asyncio.get_running_loop().time())

    outcome = ordered(app, given, until=4.0)
    (us, cut), (bot, rest) = who(outcome)
    assert (us, bot) == ("us", "bot") and rest == pytest.approx(0.5, abs=0.001)
    assert cut == pytest.approx(0.45, abs=0.05)
    assert done == [pytest.approx(1.0, abs=0.05)], "done when it was cut"
    (turn,) = outcome.record.turns
    assert turn.heard == "one two three four" and turn.reply == TEN


def test_clear_by_order_forgets_what_waits() -> None:
    tts = ToneTts()

    async def given(stage: SoundStage) -> None:
        await asyncio.sleep(0.5)
        orders = [asyncio.create_task(stage.obey(SayNow(text))) for text in ("First words.", "Never said.")]
        await asyncio.sleep(0.3)
        await stage.obey(ClearNow())
        await asyncio.gather(*orders)

    outcome = ordered(burst, given, until=3.0, tts=tts)
    ((name, seconds),) = who(outcome)
    assert name == "bot" and seconds == pytest.approx(0.8, abs=0.05)
    assert tts.spoken == ["First words."]


def test_files_and_what_cannot_be_said(tmp_path: Path) -> None:
    write_wav(tmp_path / "gong.wav", np.full(4000, 700, np.int16), 8000)
    tts = ToneTts(fails=1)

    async def given(stage: SoundStage) -> None:
        with pytest.raises(OrderRefused, match="nobody can speak"):
            await stage.obey(SayNow("Too early."))
        await asyncio.sleep(0.5)
        with pytest.raises(OrderRefused, match="could not be spoken"):
            await stage.obey(PlayNow(tmp_path / "missing.wav"))
        with pytest.raises(OrderRefused, match="could not be spoken"):
            await stage.obey(SayNow("Broken."))
        await stage.obey(PlayNow(tmp_path / "gong.wav"))
        with pytest.raises(OrderRefused, match="ended before"):
            await stage.obey(SayNow(f"{TEN} {TEN} {TEN}"))

    outcome = ordered(listens, given, until=3.0, tts=tts)
    assert levels(outcome)[0] == (700, 0.5)


def test_a_text_longer_than_may_wait_is_said_to_its_end() -> None:
    async def given(stage: SoundStage) -> None:
        await asyncio.sleep(0.5)
        await stage.obey(SayNow(f"{TEN} " * 40))

    outcome = ordered(listens, given, until=50.0)
    assert sum(seconds for _, seconds in who(outcome)) == pytest.approx(40.0, abs=0.1)


def test_our_words_answer_nobody_a_silent_bot_is_still_found_out() -> None:
    async def given(stage: SoundStage) -> None:
        await asyncio.sleep(3.0)
        await stage.obey(SayNow(TEN))

    outcome = ordered(listens, given, says=[(1.0, 2.0)], until=30.0)
    assert outcome.end == CallOver(EndReason.DEAD_AIR)
    assert outcome.record.duration == pytest.approx(4.0 + 8.0, abs=0.3), "its time counts from our words on"
