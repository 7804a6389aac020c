"""Two telephones in one call: sound both ways, keys, ringing, and whoever hangs up first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from gateway.actions.flow import Reach
from gateway.dialplan.actions import Answer, SayText
from gateway.dialplan.actions_reach import Bridge
from gateway.dialplan.match import Match, Route
from gateway.dialplan.plan import Dialplan
from gateway.dialplan.steps import plain
from media.legs.base import DtmfReceived, EndReason, Leg, LegHeld, LegRinging
from tests.fakes.desk import FrontDesk, Phone
from tests.fakes.tts import ToneTts
from tests.virtual_time import run_virtual


class Callee(Phone):
    """Takes a call of ours; notes the keys that reach it."""

    def __init__(self, **given: object) -> None:
        super().__init__("5", **given)  # type: ignore[arg-type]
        self.leg_id = "callee"
        self.keys: list[str] = []

    async def send_dtmf(self, digits: str) -> None:
        self.keys.append(digits)


class OneDialer:
    """Reaches one telephone, after two seconds of ringing."""

    def __init__(self, callee: Callee) -> None:
        self.callee, self.asked = callee, list[tuple[str, str, str]]()
        self.given_up = False

    async def dial(
        self, target: str, *, trunk: str = "", caller: str = "", ring_seconds: float = 30.0,
        on_ringing: Callable[[LegRinging], None] | None = None,
    ) -> Leg:  # fmt: skip
        self.asked.append((target, trunk, caller))
        if on_ringing is not None:
            on_ringing(LegRinging(0.0, 180))
        try:
            await asyncio.sleep(2.0)
        except asyncio.CancelledError:
            self.given_up = True
            raise
        self.callee.listener = Silent()
        await self.callee.answer()
        return self.callee


class Silent:
    def hear(self, frame: object, voice: object) -> None: ...

    def notice(self, event: object) -> None: ...


def front(callee: Callee, tts: ToneTts | None = None) -> tuple[FrontDesk, OneDialer]:
    dialer = OneDialer(callee)
    desk = FrontDesk([], tts=tts or ToneTts(), reach=Reach(dialer))
    steps = plain(Answer(), Bridge("${called}5", caller="+49301"), SayText("Done."))
    desk.plan = Dialplan((Route("one", Match(), steps),))
    return desk, dialer


def level(phone: Phone, after: float, before: float) -> int:
    heard = [np.abs(pcm).max() for at, _, pcm in phone.playout.heard if after < at < before]
    return int(max(heard, default=0))


def test_each_hears_the_other_and_the_route_goes_on_when_the_callee_hangs_up() -> None:
    async def main() -> None:
        callee, tts = Callee(says=[(3.0, 4.0)]), ToneTts()
        desk, dialer = front(callee, tts)
        phone = Phone(says=[(5.0, 6.0)])
        phone.does = [(7.0, DtmfReceived("4", 7.0)), (7.1, DtmfReceived("2", 7.1))]
        desk.reception.take(phone)
        await asyncio.sleep(1.0)
        assert level(phone, 0.0, 1.0) > 500, "he hears it ring"
        await asyncio.sleep(9.0)
        # What one says is the other's sound, at the same level.
        assert level(phone, 3.1, 3.9) == 3000 and level(callee, 5.1, 5.9) == 3000
        assert callee.keys == ["4", "2"]
        callee.close(EndReason.CALLER_HUNG_UP)
        await desk.until_idle()
        assert tts.spoken == ["Done."] and dialer.asked == [("2005", "local", "+49301")]
        assert callee.hung_up[0] is EndReason.CALLER_HUNG_UP
        (record,) = desk.keeper.records
        assert record.end_reason is EndReason.DIALPLAN_HUNG_UP

    run_virtual(main())


def test_the_callee_is_let_go_when_the_caller_hangs_up() -> None:
    async def main() -> None:
        callee = Callee()
        desk, _ = front(callee)
        phone = Phone()
        desk.reception.take(phone)
        await asyncio.sleep(4.0)
        phone.close(EndReason.CALLER_HUNG_UP)
        await desk.until_idle()
        assert callee.hung_up == [EndReason.CALLER_HUNG_UP]
        mine = asyncio.current_task()
        assert [task.get_name() for task in asyncio.all_tasks() if task is not mine] == []

    run_virtual(main())


def test_nobody_is_called_any_more_when_the_caller_gives_up_meanwhile() -> None:
    async def main() -> None:
        callee = Callee()
        desk, dialer = front(callee)
        phone = Phone()
        desk.reception.take(phone)
        await asyncio.sleep(1.0)
        phone.close(EndReason.CALLER_HUNG_UP)
        await desk.until_idle()
        assert dialer.given_up and not callee.was_answered

    run_virtual(main())


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_a_telephone_that_vanished_does_not_keep_the_other_for_ever(who: str) -> None:
    async def main() -> None:
        callee = Callee()
        desk, _ = front(callee)
        phone = Phone()
        (phone if who == "caller" else callee).vanishes_at = 5.0
        desk.reception.take(phone)
        await desk.until_idle(60.0)
        (record,) = desk.keeper.records
        reasons = {"caller": EndReason.MEDIA_LOST, "callee": EndReason.DIALPLAN_HUNG_UP}
        assert record.end_reason is reasons[who] and 34.0 < record.duration < 38.0
        assert callee.hung_up

    run_virtual(main())


def test_whoever_holds_may_be_silent_for_long() -> None:
    async def main() -> None:
        callee = Callee()
        desk, _ = front(callee)
        phone = Phone()
        phone.vanishes_at = 5.0
        phone.does = [(4.0, LegHeld(4.0))]
        desk.reception.take(phone)
        await asyncio.sleep(90.0)
        assert len(desk.registry) == 1
        phone.close(EndReason.CALLER_HUNG_UP)
        await desk.until_idle()

    run_virtual(main())


@pytest.mark.parametrize("patched", [True, False])
def test_legs_that_can_be_patched_carry_no_sound_through_python(patched: bool) -> None:
    async def main() -> None:
        callee = Callee(says=[(3.0, 4.0)])
        desk, _ = front(callee)
        phone = Phone()
        phone.patch = lambda other: patched  # type: ignore[method-assign]
        desk.reception.take(phone)
        await asyncio.sleep(7.0)
        assert (level(phone, 3.1, 7.0) == 0) is patched
        phone.close(EndReason.CALLER_HUNG_UP)
        await desk.until_idle()

    run_virtual(main())
