"""Calls that are ordered: placed once, served like any other, told to the end. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gateway.calls.call_events import MachineJudged, TransferChanged
from gateway.calls.orders import (
    ClearNow,
    End,
    OrderRefused,
    SayNow,
    SendKeys,
    SwitchAgent,
    TransferAttended,
)
from gateway.calls.registry import RegistrySettings
from gateway.control.originate import Detect, Originate
from gateway.dialplan.actions import Answer, HangUpCall, Reject, Ring, SayText
from gateway.errors import DialDenied, DialFailed, Draining, RequestUnfit, TooManyCalls
from media.legs.base import EndReason, Leg, LegError, TransferProgress
from tests.fakes.asr import ScriptedAsr
from tests.fakes.callee import Callee
from tests.fakes.office import BERLIN, DESK, Office, route
from tests.virtual_time import run_virtual


def virtual(test: Callable[[], Any]) -> Callable[[], None]:
    def run() -> None:
        run_virtual(test())

    run.__name__ = test.__name__
    return run


@virtual
async def test_a_call_is_placed_answered_talked_and_told() -> None:
    callee = Callee(rings=0.5, answers=3.0, says=[(1.0, 2.0)], hangs_up=10.0)
    office = Office(callee, asr=ScriptedAsr([(1.0, 2.0, "hello")]))
    call_id = await office.originator.place(Originate(BERLIN, DESK, caller="+49301"))
    assert call_id == "call1" and asyncio.get_running_loop().time() < 0.1
    await asyncio.sleep(1.0)
    (view,) = office.desk.live.views()
    assert (view["call_id"], view["direction"], view["phase"]) == ("call1", "outbound", "ringing")
    record = await office.record()
    assert (record.route, record.parties.called, record.parties.trunk) == ("desk", BERLIN, "carrier")
    assert record.answered_after == pytest.approx(3.0) and record.end_reason is EndReason.CALLER_HUNG_UP
    assert [turn.said for turn in record.turns] == ["hello"]
    story = office.desk.story("call1")
    assert story[0] == "call.began" and story[-1] == "call.ended"
    assert story.index("call.ringing") < story.index("call.answered") < story.index("call.turn")


@pytest.mark.parametrize(("code", "reason"), [(486, EndReason.NOT_ANSWERED), (404, EndReason.NOT_ANSWERED)])
def test_a_refusal_leaves_a_record_with_its_code(code: int, reason: EndReason) -> None:
    async def main() -> None:
        office = Office(Callee(refuses=(1.0, code)))
        await office.originator.place(Originate(BERLIN, DESK))
        record = await office.record()
        assert (record.end_reason, record.sip_code, record.duration) == (reason, code, 0)
        assert office.desk.story("call1")[-1] == "call.ended"

    run_virtual(main())


@virtual
async def test_it_rings_no_longer_than_it_may() -> None:
    callee = Callee(answers=None)
    office = Office(callee)
    await office.originator.place(Originate(BERLIN, DESK, ring_seconds=12))
    record = await office.record()
    assert record.end_reason is EndReason.NOT_ANSWERED and callee.hung_up == [EndReason.NOT_ANSWERED]
    assert asyncio.get_running_loop().time() == pytest.approx(12, abs=0.5)


@virtual
async def test_what_cannot_be_placed_leaves_nothing_behind() -> None:
    office = Office(Callee(), limits=RegistrySettings(max_calls=1, retry_after=7), at_once=1)
    with pytest.raises(DialDenied):
        await office.originator.place(Originate("+19005551234", DESK))
    office.network.error = LegError("no transport", sip_code=503)
    with pytest.raises(DialFailed):
        await office.originator.place(Originate(BERLIN, DESK))
    office.network.error = None
    await office.originator.place(Originate(BERLIN, DESK))
    with pytest.raises(TooManyCalls) as full:
        await office.originator.place(Originate(BERLIN, DESK))
    assert full.value.retry_after == 7
    await office.desk.registry.drain(0.0)
    await office.desk.until_idle()
    with pytest.raises(Draining):
        await office.originator.place(Originate(BERLIN, DESK))
    assert len(office.network.dialled) == 2


@virtual
async def test_one_key_is_one_call() -> None:
    office = Office(Callee(hangs_up=5.0))
    order = Originate(BERLIN, DESK)
    both = await asyncio.gather(*(office.originator.place(order, owner="k", key="a") for _ in range(3)))
    assert both == ["call1"] * 3 and len(office.network.dialled) == 1
    assert await office.originator.place(order, owner="k", key="a") == "call1"
    with pytest.raises(RequestUnfit, match="another call"):
        await office.originator.place(Originate("+4930901821", DESK), owner="k", key="a")
    office.network.callees = [Callee(hangs_up=5.0, name="o2")]
    assert await office.originator.place(order, owner="other", key="a") == "call2"


@virtual
async def test_a_key_whose_call_could_not_be_placed_may_be_used_again() -> None:
    office = Office(Callee(hangs_up=5.0))
    office.network.error = LegError("no transport", sip_code=503)
    with pytest.raises(DialFailed):
        await office.originator.place(Originate(BERLIN, DESK), key="a")
    office.network.error = None
    assert await office.originator.place(Originate(BERLIN, DESK), key="a") == "call2"


@virtual
async def test_a_parked_call_says_what_is_ordered_in_its_order() -> None:
    callee = Callee(answers=1.0)
    office = Office(callee)
    await office.originator.place(Originate(BERLIN))
    await asyncio.sleep(0.5)
    handle = office.desk.registry.get("call1")
    assert handle is not None
    with pytest.raises(OrderRefused, match="answered"):
        await handle.obey(SayNow("too early"))
    await asyncio.sleep(1.0)
    first = asyncio.create_task(handle.obey(SayNow("one two three four")))
    second = asyncio.create_task(handle.obey(SayNow("five")))
    await asyncio.wait({first, second})
    assert first.exception() is None and second.exception() is None
    assert sorted({reply for _, reply, _ in callee.playout.heard}) == [1, 2]
    third = asyncio.create_task(handle.obey(SayNow("a very long text " * 20)))
    await asyncio.sleep(0.5)
    before = len(callee.playout.heard)
    await handle.obey(ClearNow())
    await asyncio.sleep(1.0)
    assert third.done() and len(callee.playout.heard) - before < 5
    await handle.obey(SendKeys("12"))
    assert callee.digits == "12"
    await handle.obey(SwitchAgent("desk"))
    await asyncio.sleep(1.0)
    (view,) = office.desk.live.views()
    assert view["agent"] == "desk"
    await handle.obey(End(EndReason.AGENT_HUNG_UP))
    assert (await office.record()).end_reason is EndReason.AGENT_HUNG_UP


@virtual
async def test_a_parked_call_does_not_wait_for_ever() -> None:
    office = Office(Callee(answers=1.0))
    await office.originator.place(Originate(BERLIN))
    assert (await office.record()).end_reason is EndReason.MAX_DURATION
    assert asyncio.get_running_loop().time() == pytest.approx(101, abs=1)


@virtual
async def test_a_call_that_is_hung_up_while_it_rings_is_cancelled() -> None:
    callee = Callee(answers=None)
    office = Office(callee)
    await office.originator.place(Originate(BERLIN, DESK))
    await asyncio.sleep(2)
    handle = office.desk.registry.get("call1")
    assert handle is not None
    handle.hang_up(EndReason.CANCELLED)
    record = await office.record()
    assert record.end_reason is EndReason.CANCELLED and callee.hung_up == [EndReason.CANCELLED]


@virtual
async def test_what_a_route_does_before_the_answer_is_passed_over() -> None:
    callee = Callee(answers=1.0)
    office = Office(callee)
    await office.originator.place(
        Originate(BERLIN, route(Ring(5.0), Answer(), SayText("hello"), HangUpCall(17)))
    )
    record = await office.record()
    assert record.end_reason is EndReason.DIALPLAN_HUNG_UP and callee.causes == [17]
    assert callee.playout.heard


@virtual
async def test_a_route_that_refuses_ends_the_call() -> None:
    callee = Callee(answers=1.0)
    office = Office(callee)
    await office.originator.place(Originate(BERLIN, route(Reject())))
    assert (await office.record()).end_reason is EndReason.DIALPLAN_HUNG_UP


HELLO: Sequence[tuple[float, float]] = [(0.5, 1.0)]
GREETING: Sequence[tuple[float, float]] = [(0.5, 6.0)]


@pytest.mark.parametrize(
    ("says", "detect", "verdicts", "speaks_after"),
    [
        (HELLO, Detect.FIRST, [("human", False)], 3.0),
        (GREETING, Detect.FIRST, [("machine", False)], 3.9),
        (GREETING, Detect.GREETING_END, [("machine", False)], 8.6),
        (HELLO, Detect.GREETING_END, [("human", False)], 3.0),
        (HELLO, Detect.BESIDE, [("human", False)], 1.0),
        (GREETING[:1], Detect.BESIDE, [("machine", False), ("machine", False)], 1.0),
    ],
)
def test_who_answered_is_found_out(
    says: Sequence[tuple[float, float]],
    detect: Detect,
    verdicts: list[tuple[str, bool]],
    speaks_after: float,
) -> None:
    async def main() -> None:
        callee = Callee(answers=1.0, says=says, hangs_up=15.0)
        office = Office(callee)
        actions = (Answer(), SayText("This is a reminder of your appointment tomorrow. " * 20))
        await office.originator.place(Originate(BERLIN, route(*actions), detect=detect))
        record = await office.record()
        judged = [event for event in record.events if isinstance(event, MachineJudged)]
        assert [(one.verdict, one.beep) for one in judged] == verdicts
        assert callee.playout.heard[0][0] == pytest.approx(speaks_after, abs=0.3)

    run_virtual(main())


def test_machines_can_be_hung_up_on() -> None:
    async def main() -> None:
        callee = Callee(answers=1.0, says=GREETING)
        office = Office(callee)
        await office.originator.place(Originate(BERLIN, DESK, detect=Detect.FIRST, hangs_up=True))
        record = await office.record()
        assert record.end_reason is EndReason.DIALPLAN_HUNG_UP and not callee.playout.heard

    run_virtual(main())


@pytest.mark.parametrize("seconds", [0.0, 181.0])
def test_ringing_has_limits(seconds: float) -> None:
    with pytest.raises(ValueError, match="ring_seconds"):
        Originate(BERLIN, ring_seconds=seconds)


class Sent(Callee):
    """Goes where it is sent, or says why not."""

    def __init__(self, error: LegError | None = None, **more: Any) -> None:
        super().__init__(**more)
        self.error, self.sent = error, list[str]()

    async def transfer_to(self, other: Leg, *, deadline: float, progress: TransferProgress) -> None:
        progress(180)
        if self.error is not None:
            raise self.error
        self.sent.append(other.leg_id)


@virtual
async def test_two_calls_are_connected_by_an_attended_transfer_and_go_on_when_it_fails() -> None:
    refusing = Sent(LegError("declined", sip_code=603), answers=0.5, name="a")
    office = Office(refusing, Callee(answers=0.5, name="b"))
    await office.originator.place(Originate(BERLIN))
    await office.originator.place(Originate("+4930901821"))
    await asyncio.sleep(1.0)
    handle = office.desk.registry.get("call1")
    assert handle is not None
    for nobody in ("call1", "call9"):
        with pytest.raises(OrderRefused, match="no other call"):
            await handle.obey(TransferAttended(nobody))
    with pytest.raises(OrderRefused, match="declined") as refused:
        await handle.obey(TransferAttended("call2"))
    assert refused.value.sip_code == 603 and len(office.desk.registry) == 2
    refusing.error = None
    await handle.obey(TransferAttended("call2"))
    await asyncio.sleep(0.5)
    assert refusing.sent == ["b"]
    (record,) = office.desk.keeper.records
    assert record.end_reason is EndReason.TRANSFERRED
    states = [event.state for event in record.events if isinstance(event, TransferChanged)]
    assert states == ["started", "ringing", "failed", "started", "ringing", "done"]
    other = office.desk.registry.get("call2")
    assert other is not None
    other.hang_up(EndReason.API_HUNG_UP)
    await office.desk.until_idle()
