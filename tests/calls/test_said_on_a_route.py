"""What is said, played and cleared by order while no agent talks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from gateway.actions.flow import Reach
from gateway.calls.orders import BridgeCall, CallHandle, ClearNow, GoTo, OrderRefused, PlayNow, SayNow
from gateway.dialplan.actions import Answer, ConnectAgent, Ring, SayText
from gateway.dialplan.actions_ask import Gather, Record
from gateway.dialplan.actions_reach import Bridge
from gateway.dialplan.forms import Action
from gateway.dialplan.match import Match, Route
from gateway.dialplan.plan import Dialplan
from gateway.dialplan.steps import plain
from media.legs.base import DtmfReceived, EndReason
from media.wav import read_wav, write_wav
from tests.calls.test_orders_from_outside import OneDialer
from tests.fakes.agent import ScriptedAgent
from tests.fakes.asr import ScriptedAsr
from tests.fakes.desk import FrontDesk, Phone
from tests.fakes.tts import ToneTts
from tests.virtual_time import run_virtual

TEN = "one two three four five six seven eight nine ten."
"""A second of the humming voice."""
NOWHERE = Reach()


class Scene:
    """A call on a route that is left to itself. Made inside a running loop."""

    def __init__(
        self,
        actions: Sequence[Action],
        says: Sequence[tuple[float, float, str]] = (),
        keys: Sequence[tuple[float, str]] = (),
        folder: Path = Path("recordings"),
        reach: Reach = NOWHERE,
    ) -> None:
        self.tts = ToneTts()
        self.desk = FrontDesk(
            [], tts=self.tts, asr=ScriptedAsr(says), folder=folder, reach=reach, make_agent=ScriptedAgent
        )
        self.desk.plan = Dialplan(
            (
                Route("one", Match(), plain(*actions)),
                Route("two", Match(never=True), plain(SayText("Two."))),
            )
        )
        self.phone = Phone(says=[span[:2] for span in says])
        self.phone.does = [(at, DtmfReceived(key, at)) for at, key in keys]
        self.desk.reception.take(self.phone)

    @property
    def call(self) -> CallHandle:
        (call,) = self.desk.registry
        return call

    def order(self, *orders: SayNow | PlayNow | ClearNow) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.call.obey(order)) for order in orders]

    @property
    def last(self) -> float:
        """When something was heard last."""
        return max(at for at, _, _ in self.phone.playout.heard)

    @property
    def levels(self) -> list[int]:
        """What was heard, in its order: every sentence has a level of its own, 100 times its number."""
        heard: list[int] = []
        for _, _, pcm in self.phone.playout.heard:
            if not heard or heard[-1] != abs(pcm).max():
                heard.append(int(abs(pcm).max()))
        return heard

    def heard_from(self, level: int) -> float:
        """When this level was heard first."""
        return min(at for at, _, pcm in self.phone.playout.heard if abs(pcm).max() == level)

    def told(self, name: str) -> str:
        """The last text spoken that names a variable."""
        return next(text for text in reversed(self.tts.spoken) if text.startswith(name))

    async def over(self) -> None:
        await self.desk.until_idle()
        assert self.phone.playout.refused == 0
        mine = asyncio.current_task()
        assert [task.get_name() for task in asyncio.all_tasks() if task is not mine] == []


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("interrupt", [False, True])
def test_an_announcement_is_heard_out_before_it_unless_it_interrupts(interrupt: bool) -> None:
    async def main() -> None:
        scene = Scene([Answer(), SayText(f"{TEN} {TEN}"), SayText("And then.")])
        await asyncio.sleep(0.5)
        await scene.call.obey(SayNow("Now listen.", interrupt=interrupt))
        at = now()
        await scene.over()
        assert scene.tts.spoken[-2:] == ["Now listen.", "And then."]
        assert scene.levels == ([100, 200, 300])
        assert at == pytest.approx(0.8 if interrupt else 2.3, abs=0.1), "done when it was heard"
        (record,) = scene.desk.keeper.records
        assert record.end_reason is EndReason.DIALPLAN_HUNG_UP

    run_virtual(main())


def test_the_last_announcement_does_not_hang_up_on_what_waits(tmp_path: Path) -> None:
    async def main() -> None:
        write_wav(tmp_path / "gong.wav", np.full(8000, 7000, np.int16), 8000)
        scene = Scene([Answer(), SayText(TEN)])
        await asyncio.sleep(0.5)
        orders = scene.order(
            SayNow("Second."), PlayNow(tmp_path / "gong.wav"), SayNow("First.", interrupt=True)
        )
        await asyncio.gather(*orders)
        await scene.over()
        assert scene.tts.spoken == [TEN, "First.", "Second."]
        assert scene.levels == [100, 200, 300, 7000]

    run_virtual(main())


def test_clear_is_silent_within_a_tick_and_the_route_goes_on() -> None:
    async def main() -> None:
        scene = Scene(
            [Answer(), SayText(f"{TEN} {TEN} {TEN}"), Gather(timeout=2.0, retries=0), SayText("Next.")]
        )
        await asyncio.sleep(0.5)
        waiting = scene.order(SayNow("Never."))
        await asyncio.sleep(0.1)
        cleared = now()
        await scene.call.obey(ClearNow())
        await asyncio.gather(*waiting)
        await asyncio.sleep(1.0)
        assert scene.last < cleared + 0.021 and "Never." not in scene.tts.spoken
        await scene.over()
        assert scene.tts.spoken[-1] == "Next."
        assert scene.heard_from(200) == pytest.approx(cleared + 2.0, abs=0.1)

    run_virtual(main())


def test_a_question_waits_for_its_answer_anew_once_it_was_heard() -> None:
    async def main() -> None:
        scene = Scene([Answer(), Gather(say="Question.", timeout=2.0, retries=0), SayText("Next.")])
        await asyncio.sleep(1.6)
        await scene.call.obey(SayNow(f"{TEN} {TEN} {TEN}"))
        heard = now()
        assert heard == pytest.approx(4.6, abs=0.1)
        await scene.over()
        assert scene.levels == [100, 200, 300] and scene.tts.spoken[-1] == "Next."
        assert scene.heard_from(300) == pytest.approx(heard + 2.0, abs=0.1)

    run_virtual(main())


def test_keys_count_while_it_is_said_and_it_is_heard_out() -> None:
    async def main() -> None:
        scene = Scene(
            [Answer(), Gather(say="Question.", timeout=2.0, into="pin"), SayText("You keyed ${pin}.")],
            keys=[(1.0, "4"), (1.9, "2"), (2.6, "#")],
        )
        await asyncio.sleep(0.5)
        await scene.call.obey(SayNow(f"{TEN} {TEN}"))
        await scene.over()
        assert scene.told("You keyed") == "You keyed 42."
        assert scene.levels == [100, 200, 300]

    run_virtual(main())


def test_words_count_while_it_is_said() -> None:
    async def main() -> None:
        scene = Scene(
            [Answer(), Gather(input="speech", timeout=2.0, into="city"), SayText("You said ${city}.")],
            says=[(1.0, 1.8, "hamburg")],
        )
        await asyncio.sleep(0.5)
        await scene.call.obey(SayNow(f"{TEN} {TEN} {TEN}"))
        assert now() == pytest.approx(3.5, abs=0.1)
        await scene.over()
        assert scene.told("You said") == "You said hamburg."

    run_virtual(main())


def test_an_order_may_take_the_place_of_the_question() -> None:
    async def main() -> None:
        scene = Scene([Answer(), Gather(say=f"{TEN} {TEN}", timeout=2.0, retries=0), SayText("Next.")])
        await asyncio.sleep(0.5)
        await scene.call.obey(SayNow("Listen.", interrupt=True))
        heard = now()
        assert heard < 0.8
        await scene.over()
        assert scene.levels == [100, 200, 300]
        assert scene.heard_from(300) == pytest.approx(heard + 2.0, abs=0.1)

    run_virtual(main())


def test_a_key_silences_the_question_and_not_what_was_ordered() -> None:
    async def main() -> None:
        scene = Scene(
            [Answer(), SayText(TEN), Gather(say=TEN, timeout=2.0, into="pin"), SayText("You keyed ${pin}.")],
            keys=[(1.5, "7")],
        )
        await asyncio.sleep(0.5)
        await scene.call.obey(SayNow(f"{TEN}"))
        await scene.over()
        assert scene.levels == [100, 200, 300], "the question is not wanted any more"
        assert scene.told("You keyed") == "You keyed 7."

    run_virtual(main())


def test_a_recording_holds_the_caller_alone_and_silence_counts_anew(tmp_path: Path) -> None:
    async def main() -> None:
        scene = Scene(
            [Answer(), Record(max_seconds=60.0, silence=2.0, beep=False), SayText("Kept.")],
            says=[(0.5, 1.5, "hello"), (6.0, 7.0, "bye")],
            folder=tmp_path,
        )
        await asyncio.sleep(2.0)
        await scene.call.obey(SayNow(f"{TEN} {TEN} {TEN}"))
        assert now() == pytest.approx(5.0, abs=0.1)
        await scene.over()
        assert scene.levels == [100, 200]

    run_virtual(main())
    (tape,) = tmp_path.rglob("*.wav")
    sound, _ = read_wav(tape)
    loud = np.flatnonzero(np.abs(sound[:, 0]) > 0)
    assert set(np.abs(sound[loud, 0])) == {3000}, "nothing of ours"
    assert len(loud) == pytest.approx(16_000, abs=400), "both that the caller said"
    assert len(sound) / 8000 == pytest.approx(7.8, abs=0.5)


def test_an_agent_that_follows_waits_until_it_was_heard() -> None:
    async def main() -> None:
        scene = Scene([Answer(), SayText(TEN), ConnectAgent("desk")], says=[(4.0, 5.0, "hello")])
        await asyncio.sleep(0.5)
        await scene.call.obey(SayNow(TEN))
        await asyncio.sleep(5.0)
        scene.phone.close(EndReason.CALLER_HUNG_UP)
        await scene.over()
        assert scene.tts.spoken[:3] == [TEN, TEN, "You said hello"]

    run_virtual(main())


def test_whoever_goes_to_another_route_is_told_that_it_was_not_heard() -> None:
    async def main() -> None:
        scene = Scene([Answer(), SayText(f"{TEN} {TEN}")])
        await asyncio.sleep(0.5)
        orders = scene.order(SayNow("Now.", interrupt=True), SayNow("Later."))
        await asyncio.sleep(0.05)
        await scene.call.obey(GoTo("two"))
        for order in orders:
            with pytest.raises(OrderRefused, match="something else"):
                await order
        await scene.over()
        assert scene.tts.spoken[-1] == "Two."

    run_virtual(main())


def test_another_route_may_be_ordered_during_the_last_words() -> None:
    async def main() -> None:
        scene = Scene([Answer(), SayText("Hello.")])
        await asyncio.sleep(0.05)
        (order,) = scene.order(SayNow(f"{TEN} {TEN}"))
        await asyncio.sleep(1.0)
        await scene.call.obey(GoTo("two"))
        with pytest.raises(OrderRefused):
            await order
        await scene.over()
        assert scene.tts.spoken[-1] == "Two."

    run_virtual(main())


def test_nothing_can_be_heard_before_the_call_is_up_or_after_it() -> None:
    async def main() -> None:
        scene = Scene([Ring(1.0), Answer(), SayText(TEN)])
        scene.phone.sample_rate = 0
        await asyncio.sleep(0.5)
        with pytest.raises(OrderRefused, match="before the call is up"):
            await scene.call.obey(SayNow("Hello?"))
        scene.phone.sample_rate = 8000
        await asyncio.sleep(1.0)
        orders = scene.order(SayNow("Too late."), SayNow("Far too late."))
        await asyncio.sleep(0.1)
        scene.phone.close(EndReason.CALLER_HUNG_UP)
        for order in orders:
            with pytest.raises(OrderRefused, match="ended before"):
                await order
        await scene.over()

    run_virtual(main())


def test_a_voice_or_a_file_that_fails_is_told_and_the_route_is_not_troubled(tmp_path: Path) -> None:
    async def main() -> None:
        scene = Scene([Answer(), Gather(timeout=2.0, retries=0), SayText("Next.")])
        await asyncio.sleep(0.5)
        with pytest.raises(OrderRefused, match="could not be said"):
            await scene.call.obey(PlayNow(tmp_path / "missing.wav"))
        scene.tts.fails = 1
        with pytest.raises(OrderRefused, match="could not be said"):
            await scene.call.obey(SayNow("Unspeakable."))
        await scene.over()
        assert scene.tts.spoken[-1] == "Next."
        assert scene.desk.keeper.records[0].end_reason is EndReason.DIALPLAN_HUNG_UP

    run_virtual(main())


def test_only_so_many_wait() -> None:
    async def main() -> None:
        scene = Scene([Answer(), SayText(f"{TEN} {TEN}")])
        await asyncio.sleep(0.3)
        waits = scene.order(*(SayNow(f"Text {n}.") for n in range(16)))
        await asyncio.sleep(0)
        with pytest.raises(OrderRefused, match="clear them first"):
            await scene.call.obey(SayNow("One too many."))
        await scene.call.obey(ClearNow())
        await asyncio.gather(*waits)
        await scene.over()
        assert scene.levels == [100]

    run_virtual(main())


def between(phone: Phone, start: float, end: float) -> set[int]:
    """Levels heard in a stretch of time."""
    return {int(abs(pcm).max()) for at, _, pcm in phone.playout.heard if start < at < end} - {0}


def test_a_connected_caller_alone_hears_it_and_the_other_goes_on_hearing_him() -> None:
    async def main() -> None:
        callee = Phone("5", says=[(2.0, 9.0)])
        scene = Scene(
            [Answer(), Bridge("5"), SayText("Next.")],
            says=[(2.0, 9.0, "")],
            reach=Reach(OneDialer(callee)),
        )
        await asyncio.sleep(4.0)
        await scene.call.obey(SayNow(TEN))
        assert now() == pytest.approx(5.2, abs=0.2)
        whisper = int(between(scene.phone, 4.3, 4.9).pop())
        assert whisper < 3000 and between(scene.phone, 4.3, 4.9) == {whisper}, "not mixed"
        assert between(callee, 4.1, 5.1) == {3000}
        await asyncio.sleep(1.4)
        assert between(scene.phone, 5.4, 6.4) == {3000}, "then the other is heard again"
        order = scene.order(SayNow(f"{TEN} {TEN}"))
        await asyncio.sleep(0.5)
        cleared = now()
        await scene.call.obey(ClearNow())
        await asyncio.gather(*order)
        await asyncio.sleep(0.5)
        assert between(scene.phone, cleared + 0.041, cleared + 0.5) == {3000}
        callee.close(EndReason.CALLER_HUNG_UP)
        await scene.over()
        assert scene.tts.spoken[-1] == "Next."

    run_virtual(main())


def test_clear_does_not_silence_the_other_telephone() -> None:
    async def main() -> None:
        callee = Phone("5", says=[(2.0, 9.0)])
        scene = Scene([Answer(), Bridge("5")], reach=Reach(OneDialer(callee)))
        await asyncio.sleep(3.0)
        await scene.call.obey(ClearNow())
        await asyncio.sleep(1.0)
        assert between(scene.phone, 3.0, 4.0) == {3000}
        scene.phone.close(EndReason.CALLER_HUNG_UP)
        await scene.over()

    run_virtual(main())


def test_each_of_two_connected_calls_has_its_own_whispers() -> None:
    async def main() -> None:
        scene = Scene([Answer(), Gather(timeout=60.0)])
        other = Phone(says=[(1.0, 20.0)], name="p2")
        scene.desk.reception.take(other)
        await asyncio.sleep(0.5)
        one, two = (scene.desk.registry.get(name) for name in ("p1", "p2"))
        assert one is not None and two is not None
        await one.obey(BridgeCall("p2"))
        await asyncio.sleep(1.5)
        await one.obey(SayNow(TEN))
        assert 3000 not in between(scene.phone, 2.3, 2.9) and between(other, 2.0, 4.0) == set()
        await two.obey(SayNow(TEN))
        await asyncio.sleep(0.5)
        assert between(other, 3.5, 4.0) == {200} and between(scene.phone, 3.5, 4.0) == {3000}
        other.close(EndReason.CALLER_HUNG_UP)
        await scene.over()

    run_virtual(main())
