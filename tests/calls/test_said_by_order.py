"""What is said, played and cleared by order while an agent talks with the caller."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gateway.calls.orders import CallHandle, ClearNow, OrderRefused, PlayNow, SayNow
from gateway.calls.settings import SessionSettings
from gateway.calls.turn_settings import BargeIn, TurnSettings
from gateway.dialplan.actions import Answer, ConnectAgent
from media.legs.base import EndReason
from media.wav import write_wav
from tests.fakes.agent import ScriptedAgent
from tests.fakes.asr import ScriptedAsr
from tests.fakes.desk import FrontDesk, Phone
from tests.fakes.tts import ToneTts
from tests.virtual_time import run_virtual

TEN = "one two three four five six seven eight nine ten."
"""A second of the humming voice."""


class Scene:
    """A call with a scripted agent. Made inside a running loop."""

    def __init__(
        self,
        greeting: str = "",
        says: Sequence[tuple[float, float, str]] = (),
        agent: ScriptedAgent | None = None,
        session: SessionSettings | None = None,
    ) -> None:
        self.agent = agent or ScriptedAgent(greeting=greeting)
        self.tts = ToneTts()
        self.desk = FrontDesk(
            [Answer(), ConnectAgent("desk")],
            tts=self.tts,
            asr=ScriptedAsr(says),
            make_agent=lambda: self.agent,
            session=session or SessionSettings(),
        )
        self.phone = Phone(says=[span[:2] for span in says])
        self.desk.reception.take(self.phone)

    @property
    def call(self) -> CallHandle:
        (call,) = self.desk.registry
        return call

    @property
    def heard(self) -> list[tuple[str, bool]]:
        (record,) = self.desk.keeper.records
        return [(turn.heard, turn.interrupted) for turn in record.turns]

    @property
    def audible(self) -> list[float]:
        return [at for at, _, _ in self.phone.playout.heard]

    async def over(self) -> None:
        self.phone.close(EndReason.CALLER_HUNG_UP)
        await self.desk.until_idle()
        assert self.phone.playout.refused == 0


def test_a_text_is_said_at_once_where_nobody_speaks_and_it_is_done_when_it_was_heard() -> None:
    async def main() -> None:
        scene = Scene()
        await asyncio.sleep(1.0)
        began = asyncio.get_running_loop().time()
        await scene.call.obey(SayNow(TEN))
        assert 1.0 < asyncio.get_running_loop().time() - began < 1.3
        await scene.over()
        assert scene.heard == [(TEN, False)]
        assert scene.agent.told[-1] == (0, TEN, True), "the agent knows what was said in its name"

    run_virtual(main())


@pytest.mark.parametrize("interrupt", [False, True])
def test_what_is_being_said_is_heard_out_before_it_unless_it_interrupts(interrupt: bool) -> None:
    async def main() -> None:
        scene = Scene(f"{TEN} {TEN} {TEN}")
        await asyncio.sleep(0.7)
        await scene.call.obey(SayNow("Now listen.", interrupt=interrupt))
        await scene.over()
        greeting, words = scene.heard
        assert words == ("Now listen.", False)
        assert greeting[1] is interrupt
        if interrupt:
            assert greeting[0].startswith("one two three") and len(greeting[0].split()) < 9
            assert max(scene.audible) < 1.3
        else:
            assert greeting[0] == f"{TEN} {TEN} {TEN}"

    run_virtual(main())


def test_texts_come_in_their_order_each_whole() -> None:
    async def main() -> None:
        scene = Scene(TEN)
        await asyncio.sleep(0.3)
        await asyncio.gather(*(scene.call.obey(SayNow(text)) for text in ("First.", "Second.", "Third.")))
        await scene.over()
        assert scene.tts.spoken[-3:] == ["First.", "Second.", "Third."]
        assert " ".join(heard for heard, _ in scene.heard) == f"{TEN} First. Second. Third."

    run_virtual(main())


def test_the_caller_interrupts_it_and_is_answered_by_an_agent_that_knows_how_far_it_got() -> None:
    async def main() -> None:
        scene = Scene(says=[(2.0, 3.5, "what was that")])
        await asyncio.sleep(1.0)
        await scene.call.obey(SayNow(f"{TEN} {TEN} {TEN}"))
        assert asyncio.get_running_loop().time() < 5.0, "done when it was cut"
        await asyncio.sleep(3.0)
        await scene.over()
        (words, cut), answer = scene.heard
        assert cut and words.startswith("one two") and len(words.split()) < 14
        assert answer == ("You said what was that", False)
        assert (0, words, False) in scene.agent.told

    run_virtual(main())


@pytest.mark.parametrize("interrupt", [False, True])
def test_a_caller_who_speaks_is_heard_out_and_answered_first(interrupt: bool) -> None:
    async def main() -> None:
        scene = Scene(says=[(1.0, 2.5, "good morning")])
        await asyncio.sleep(1.5)
        await scene.call.obey(SayNow("The line closes soon.", interrupt=interrupt))
        await scene.over()
        assert scene.heard == [("You said good morning", False), ("The line closes soon.", False)]

    run_virtual(main())


def test_an_order_given_while_the_agent_thinks_waits_for_its_answer() -> None:
    async def main() -> None:
        agent = ScriptedAgent(takes=1.0)
        scene = Scene(says=[(1.0, 2.0, "hello")], agent=agent)
        await asyncio.sleep(3.0)
        await scene.call.obey(SayNow("One moment.", interrupt=True))
        await scene.over()
        assert scene.heard == [("You said hello", False), ("One moment.", False)]

    run_virtual(main())


def test_a_file_is_played_and_one_that_cannot_be_had_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        write_wav(tmp_path / "gong.wav", np.full(8000, 7000, np.int16), 8000)
        scene = Scene("Hello.")
        await asyncio.sleep(1.0)
        await scene.call.obey(PlayNow(tmp_path / "gong.wav"))
        loud = [at for at, _, pcm in scene.phone.playout.heard if abs(pcm).max() == 7000]
        assert len(loud) * 0.02 == pytest.approx(1.0, abs=0.03)
        with pytest.raises(OrderRefused, match="could not be played"):
            await scene.call.obey(PlayNow(tmp_path / "missing.wav"))
        await asyncio.sleep(0.5)
        await scene.call.obey(SayNow("Goodbye."))
        await scene.over()
        assert scene.heard[-1] == ("Goodbye.", False)

    run_virtual(main())


def test_clear_silences_what_sounds_within_a_tick_and_what_waits_for_ever() -> None:
    async def main() -> None:
        scene = Scene(f"{TEN} {TEN} {TEN}", says=[(4.0, 5.0, "still there")])
        await asyncio.sleep(0.5)
        waits = [asyncio.create_task(scene.call.obey(SayNow(text))) for text in ("Never.", "Heard.")]
        await asyncio.sleep(0.5)
        cleared = asyncio.get_running_loop().time()
        await scene.call.obey(ClearNow())
        await asyncio.gather(*waits)
        await asyncio.sleep(2.5)
        assert max(scene.audible) < cleared + 0.021
        assert "Never." not in scene.tts.spoken and "Heard." not in scene.tts.spoken
        await asyncio.sleep(4.0)
        await scene.over()
        assert scene.heard[-1] == ("You said still there", False), "the conversation goes on"

    run_virtual(main())


def test_clear_leaves_a_caller_who_contests_the_floor_his_turn() -> None:
    async def main() -> None:
        barge_in = replace(TurnSettings().barge_in, policy=BargeIn.WORDS)
        scene = Scene(
            f"{TEN} {TEN} {TEN}",
            says=[(1.0, 2.5, "please stop it now")],
            session=replace(SessionSettings(), turns=TurnSettings(barge_in=barge_in)),
        )
        await asyncio.sleep(1.4)
        assert scene.audible[-1] > 1.37
        cleared = asyncio.get_running_loop().time()
        await scene.call.obey(ClearNow())
        await asyncio.sleep(1.0)
        assert max(scene.audible) < cleared + 0.021
        await asyncio.sleep(3.0)
        await scene.over()
        assert scene.heard[-1] == ("You said please stop it now", False)

    run_virtual(main())


def test_clear_changes_nothing_where_nothing_sounds() -> None:
    async def main() -> None:
        scene = Scene(says=[(1.0, 2.0, "hello")])
        for _ in range(60):
            await asyncio.sleep(0.05)
            if not scene.audible:
                await scene.call.obey(ClearNow())
        await asyncio.sleep(2.0)
        await scene.over()
        assert scene.heard == [("You said hello", False)]

    run_virtual(main())


def test_a_call_that_ends_first_refuses_what_waits() -> None:
    async def main() -> None:
        scene = Scene(TEN)
        await asyncio.sleep(0.3)
        order = asyncio.create_task(scene.call.obey(SayNow("Too late.")))
        await asyncio.sleep(0.1)
        await scene.over()
        with pytest.raises(OrderRefused, match="ended before"):
            await order

    run_virtual(main())


def test_only_so_many_wait() -> None:
    async def main() -> None:
        scene = Scene(f"{TEN} {TEN}")
        await asyncio.sleep(0.3)
        waits = [asyncio.create_task(scene.call.obey(SayNow(f"Text {n}."))) for n in range(16)]
        await asyncio.sleep(0)
        with pytest.raises(OrderRefused, match="clear them first"):
            await scene.call.obey(SayNow("One too many."))
        await scene.call.obey(ClearNow())
        await asyncio.gather(*waits)
        await scene.over()

    run_virtual(main())


def test_a_voice_that_fails_refuses_the_order_and_the_agent_is_not_troubled() -> None:
    async def main() -> None:
        scene = Scene()
        await asyncio.sleep(0.5)
        scene.tts.fails = 1
        with pytest.raises(OrderRefused, match="could not be spoken"):
            await scene.call.obey(SayNow("Unspeakable."))
        await scene.over()
        assert scene.agent.asked == []

    run_virtual(main())
