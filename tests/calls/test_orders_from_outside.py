"""What is ordered of a call from outside, whatever its route is doing: another route, another telephone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.actions.flow import Reach
from gateway.calls.orders import (
    BridgeCall,
    BridgeDial,
    CallHandle,
    ClearNow,
    CollectKeys,
    End,
    GoTo,
    Hold,
    Mute,
    Order,
    OrderRefused,
    PlayNow,
    RunTwiml,
    SayNow,
    SendKeys,
    SwitchAgent,
    SwitchLanguage,
    TransferAttended,
    TransferBlind,
)
from gateway.dialplan.actions import Answer, ConnectAgent, SayText
from gateway.dialplan.actions_ask import Gather, Record
from gateway.dialplan.actions_reach import Transfer
from gateway.dialplan.forms import Action
from gateway.dialplan.match import Match, Route
from gateway.dialplan.plan import Dialplan
from gateway.dialplan.steps import plain
from gateway.errors import DialFailed
from media.legs.base import EndReason, Leg, LegRinging
from tests.fakes.agent import ScriptedAgent
from tests.fakes.desk import FrontDesk, Phone
from tests.fakes.tts import ToneTts
from tests.virtual_time import run_virtual

LONG = "one two three four five six seven eight nine ten " * 5
"""Five seconds of the humming voice."""
BUSY: list[Action] = [
    SayText(LONG),
    Gather(say=LONG),
    Gather(timeout=30.0),
    Record(max_seconds=30.0, silence=0, beep=False),
    ConnectAgent("desk"),
]
"""What a route may be doing when the order comes."""


class OneDialer:
    """Reaches this telephone after a second, or nobody."""

    def __init__(self, callee: Phone | None) -> None:
        self.callee = callee

    async def dial(
        self, target: str, *, trunk: str = "", caller: str = "", ring_seconds: float = 30.0,
        on_ringing: Callable[[LegRinging], None] | None = None,
    ) -> Leg:  # fmt: skip
        await asyncio.sleep(1.0)
        if self.callee is None:
            raise DialFailed("busy", sip_code=486)
        self.callee.listener = Nobody()
        await self.callee.answer()
        return self.callee


class Nobody:
    def hear(self, frame: object, voice: object) -> None: ...

    def notice(self, event: object) -> None: ...


def front(action: Action, folder: Path, callee: Phone | None = None) -> tuple[FrontDesk, ToneTts]:
    tts = ToneTts()
    desk = FrontDesk(
        [], tts=tts, folder=folder, reach=Reach(OneDialer(callee)),
        make_agent=lambda: ScriptedAgent(greeting=LONG),
    )  # fmt: skip
    routes = (
        Route("one", Match(), plain(Answer(), action, SayText("Next."))),
        Route("two", Match(never=True), plain(SayText("Two."))),
    )
    desk.plan = Dialplan(routes)
    return desk, tts


def call_of(desk: FrontDesk) -> CallHandle:
    (call,) = desk.registry
    return call


@pytest.mark.parametrize("action", BUSY, ids=lambda action: type(action).__name__)
def test_a_call_goes_to_another_route_whatever_it_is_doing(action: Action, tmp_path: Path) -> None:
    async def main() -> None:
        desk, tts = front(action, tmp_path)
        phone = Phone()
        desk.reception.take(phone)
        await asyncio.sleep(1.5)
        await call_of(desk).obey(GoTo("two"))
        await desk.until_idle()
        assert tts.spoken[-1] == "Two." and "Next." not in tts.spoken
        last = max(at for at, _, _ in phone.playout.heard)
        assert last < 3.0, "what was being said is cut off"
        assert phone.playout.refused == 0
        assert [record.end_reason for record in desk.keeper.records] == [EndReason.DIALPLAN_HUNG_UP]

    run_virtual(main())


def test_a_route_that_does_not_exist_is_refused_and_nothing_happens(tmp_path: Path) -> None:
    async def main() -> None:
        desk, tts = front(SayText(LONG), tmp_path)
        desk.reception.take(Phone())
        await asyncio.sleep(1.5)
        with pytest.raises(OrderRefused, match="three"):
            await call_of(desk).obey(GoTo("three"))
        await desk.until_idle()
        assert tts.spoken[-1] == "Next."

    run_virtual(main())


@pytest.mark.parametrize("action", [BUSY[0], BUSY[2], BUSY[4]], ids=lambda action: type(action).__name__)
def test_a_call_is_connected_with_somebody_who_was_dialled_for_it(action: Action, tmp_path: Path) -> None:
    async def main() -> None:
        callee = Phone("5", says=[(4.0, 5.0)])
        desk, tts = front(action, tmp_path, callee)
        phone = Phone()
        desk.reception.take(phone)
        await asyncio.sleep(1.5)
        await call_of(desk).obey(BridgeDial("5"))
        await asyncio.sleep(4.0)
        assert any(4.1 < at < 5.0 and abs(pcm).max() == 3000 for at, _, pcm in phone.playout.heard)
        callee.close(EndReason.CALLER_HUNG_UP)
        await desk.until_idle()
        assert len(desk.keeper.records) == 1

    run_virtual(main())


@pytest.mark.parametrize(
    "action", [BUSY[0], BUSY[4], Transfer("5")], ids=lambda action: type(action).__name__
)
def test_a_browser_that_is_transferred_is_connected_here(action: Action, tmp_path: Path) -> None:
    """It knows no REFER; whoever transfers it need not know that."""

    async def main() -> None:
        callee = Phone("5", says=[(4.0, 5.0)])
        desk, tts = front(action, tmp_path, callee)
        phone = Phone()
        phone.parties = replace(phone.parties, trunk="webrtc")
        desk.reception.take(phone)
        await asyncio.sleep(1.5)
        if not isinstance(action, Transfer):
            await call_of(desk).obey(TransferBlind("5"))
        await asyncio.sleep(4.0)
        assert any(3.0 < at < 5.5 and abs(pcm).max() == 3000 for at, _, pcm in phone.playout.heard)
        callee.close(EndReason.CALLER_HUNG_UP)
        await desk.until_idle()
        assert len(desk.keeper.records) == 1

    run_virtual(main())


def test_who_is_busy_is_told_and_the_call_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        desk, tts = front(SayText(LONG), tmp_path)
        desk.reception.take(Phone())
        await asyncio.sleep(0.5)
        with pytest.raises(OrderRefused) as caught:
            await call_of(desk).obey(BridgeDial("5"))
        assert caught.value.sip_code == 486
        await desk.until_idle()
        assert tts.spoken[-1] == "Next."

    run_virtual(main())


def test_who_was_dialled_for_a_call_that_ends_meanwhile_is_not_kept(tmp_path: Path) -> None:
    async def main() -> None:
        callee = Phone("5")
        desk, _ = front(SayText(LONG), tmp_path, callee)
        phone = Phone()
        desk.reception.take(phone)
        await asyncio.sleep(0.5)
        order = asyncio.create_task(call_of(desk).obey(BridgeDial("5")))
        await asyncio.sleep(0.5)
        phone.close(EndReason.CALLER_HUNG_UP)
        with pytest.raises(OrderRefused, match="meanwhile"):
            await order
        await desk.until_idle()
        assert not callee.was_answered

    run_virtual(main())


def test_an_order_that_another_overtakes_is_refused_however_close_they_are(tmp_path: Path) -> None:
    """Somebody is dialled for the call while it goes to another route, which begins in the same moment."""

    async def main() -> None:
        desk, tts = front(SayText(LONG), tmp_path, Phone("5"))
        desk.reception.take(Phone())
        await asyncio.sleep(0.5)
        order = asyncio.create_task(call_of(desk).obey(BridgeDial("5")))
        await asyncio.sleep(0.5)
        await call_of(desk).obey(GoTo("two"))
        with pytest.raises(OrderRefused, match="meanwhile"):
            await order
        await desk.until_idle()
        assert tts.spoken[-1] == "Two."

    run_virtual(main())


ORDERS: list[Order] = [
    SayNow("Hello."), PlayNow(Path("none.wav")), ClearNow(), SendKeys("1"), CollectKeys(1), Mute(True),
    Hold(True), TransferBlind("5"), TransferAttended("p2"), BridgeDial("5"), BridgeCall("p2"),
    SwitchAgent("desk"), SwitchLanguage("de"), GoTo("two"), RunTwiml(document="<Response/>"),
]  # fmt: skip


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: type(order).__name__)
@pytest.mark.parametrize("action", BUSY, ids=lambda action: type(action).__name__)
@pytest.mark.parametrize("by_us", [True, False])
def test_a_call_that_is_just_ending_refuses_orders_and_nothing_breaks(
    action: Action, order: Order, by_us: bool, tmp_path: Path
) -> None:
    async def main() -> None:
        desk, _ = front(action, tmp_path, Phone("5"))
        phone = Phone()
        desk.reception.take(phone)
        await asyncio.sleep(1.5)
        call = call_of(desk)
        under_way = asyncio.create_task(call.obey(order))
        await asyncio.sleep(0.0)
        if by_us:
            call.hang_up(EndReason.API_HUNG_UP)
        else:
            phone.close(EndReason.CALLER_HUNG_UP)
        for _ in range(5):
            with pytest.raises(OrderRefused):
                await call.obey(order)
            await asyncio.sleep(0.0)
        await call.obey(End(EndReason.API_HUNG_UP))
        await desk.until_idle()
        with pytest.raises(OrderRefused):
            await call.obey(order)
        (told,) = await asyncio.wait_for(asyncio.gather(under_way, return_exceptions=True), 60.0)
        assert told is None or isinstance(told, OrderRefused)

    run_virtual(main())
