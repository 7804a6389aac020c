"""A far end asks us to call somebody in its place: who is left with whom, what it is told, what is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.actions.flow import Reach
from gateway.calls.call_events import TransferChanged
from gateway.calls.orders import BridgeCall
from gateway.calls.record import CallRecord
from gateway.dialplan.actions import Answer, SayText
from gateway.dialplan.actions_reach import Bridge
from gateway.dialplan.match import Match, Route
from gateway.dialplan.patterns import compile_pattern
from gateway.dialplan.plan import Dialplan
from gateway.dialplan.steps import Step, plain
from media.legs.base import EndReason, LegError, TransferAsked
from media.legs.sip_settings import TrunkSettings
from tests.calls.test_two_calls import loudest
from tests.fakes.callee import Callee
from tests.fakes.desk import FrontDesk, Phone
from tests.fakes.office import Bench
from tests.fakes.tts import ToneTts
from tests.virtual_time import run_virtual

LOCAL = TrunkSettings("local", domain="pbx.example", outbound=True)
TARGET = "sip:107@pbx.example"
OURS = "sip:300@gateway.example"


@dataclass
class Asks:
    """What a far end that asks was told: 202, then each report, or a refusal."""

    answers: list[int] = field(default_factory=list)
    gone: bool = False

    async def accept(self) -> None:
        if self.gone:
            raise LegError("the call is over", sip_code=481)
        self.answers.append(202)
        await self.report(100)

    async def report(self, sip_code: int) -> None:
        if self.gone:
            raise LegError("the call is over", sip_code=481)
        self.answers.append(sip_code)

    async def refuse(self, sip_code: int = 603) -> None:
        self.answers.append(sip_code)


class Desk(Phone):
    """A caller who may ask."""

    def __init__(self, name: str = "p1", says: Sequence[tuple[float, float]] = ()) -> None:
        super().__init__("200", says, name)
        self.asks = Asks()
        self.accept_transfer = self.asks.accept  # type: ignore[method-assign]
        self.report_transfer = self.asks.report  # type: ignore[method-assign]
        self.refuse_transfer = self.asks.refuse  # type: ignore[method-assign]

    def ask(self, target: str = TARGET, *, ours: bool = False) -> None:
        self.listener.notice(TransferAsked(target, asyncio.get_running_loop().time(), ours=ours))

    def leave(self) -> None:
        """It hangs up."""
        self.asks.gone = True
        self.close(EndReason.CALLER_HUNG_UP)


class Other(Callee):
    """Whom we call, who may ask as well."""

    def __init__(self, name: str, **script: object) -> None:
        super().__init__(name=name, **script)  # type: ignore[arg-type]
        self.asks = Asks()
        self.accept_transfer = self.asks.accept  # type: ignore[method-assign]
        self.report_transfer = self.asks.report  # type: ignore[method-assign]
        self.refuse_transfer = self.asks.refuse  # type: ignore[method-assign]

    def ask(self, target: str = TARGET, *, ours: bool = False) -> None:
        self.tell(TransferAsked(target, self.now(), ours=ours))

    def leave(self) -> None:
        self.asks.gone = True
        self.close(EndReason.CALLER_HUNG_UP)


class House(Bench):
    """A node whose plan connects whoever calls 200 with 106; then it says `Next.`"""

    def __init__(self, *callees: Callee, **rule: object) -> None:
        allowed = {"extensions": ("???",), "refer": True, "per_minute": 100} | rule
        super().__init__(*callees, trunk=LOCAL, **allowed)
        self.tts = ToneTts()
        self.desk = FrontDesk([], tts=self.tts, transfers=self.dialer, reach=Reach(self.dialer))
        fallback = plain(SayText("Nobody."))
        bridge = Step(Bridge("106"), fallback=fallback)
        steps = (*plain(Answer()), bridge, *plain(SayText("Next.")))
        support = Match((compile_pattern("300"),))
        self.desk.plan = Dialplan(
            (Route("support", support, plain(Answer(), SayText("Support."))), Route("one", Match(), steps))
        )

    async def connected(self, phone: Desk) -> None:
        """The caller and 106 talk."""
        self.desk.reception.take(phone)
        await asyncio.sleep(3.0)

    async def record(self) -> CallRecord:
        await self.desk.until_idle()
        await asyncio.sleep(1.0)  # far ends that are hung up take a moment
        (record,) = self.desk.keeper.records
        mine = asyncio.current_task()
        assert [task.get_name() for task in asyncio.all_tasks() if task is not mine] == []
        assert not self.guard._lines["local"].running, "a permit is still held"
        return record


def moves(record: CallRecord) -> list[tuple[str, int]]:
    """The states of the transfers that were asked for."""
    told = [event for event in record.events if isinstance(event, TransferChanged) and event.kind == "asked"]
    assert {event.target for event in told} <= {TARGET, OURS}
    return [(event.state, event.sip_code) for event in told]


DONE = [("started", 0), ("trying", 100), ("ringing", 180), ("answered", 200), ("done", 0)]


def test_whom_we_called_sends_the_caller_elsewhere() -> None:
    async def main() -> None:
        other, target = Other("106"), Other("107", says=[(1.0, 2.0)])
        house = House(other, target)
        phone = Desk(says=[(6.0, 7.0)])
        await house.connected(phone)
        other.ask()
        await asyncio.sleep(2.2)  # it answers two seconds after it was called
        assert other.asks.answers == [202, 100, 180, 200]
        other.leave()
        await asyncio.sleep(3.0)
        assert loudest(phone, 6.1, 7.1) == 3000 and loudest(target, 6.1, 6.9) == 3000
        target.leave()
        record = await house.record()
        assert moves(record) == DONE and record.end_reason is EndReason.DIALPLAN_HUNG_UP
        by = {event.by for event in record.events if isinstance(event, TransferChanged) and event.by}
        assert by == {"106"} and house.tts.spoken == ["Next."]
        assert [uri for uri, _, _ in house.network.dialled] == ["sip:106@pbx.example", TARGET]

    run_virtual(main())


def test_the_caller_sends_whom_we_called_elsewhere_and_the_two_talk_on_without_him() -> None:
    async def main() -> None:
        other, target = Other("106", says=[(5.0, 6.0)]), Other("107", says=[(3.0, 4.0)])
        house = House(other, target)
        phone = Desk()
        await house.connected(phone)
        phone.ask()
        await asyncio.sleep(2.2)
        assert phone.asks.answers == [202, 100, 180, 200]
        phone.leave()
        await asyncio.sleep(5.0)
        assert loudest(target, 7.1, 7.9) == 3000 and loudest(other, 8.1, 8.9) == 3000
        assert len(house.desk.registry) == 1, "who is left can still be seen, and ended"
        other.leave()
        record = await house.record()
        assert moves(record) == DONE and record.end_reason is EndReason.TRANSFERRED
        assert target.hung_up and house.tts.spoken == []

    run_virtual(main())


def test_who_does_not_hang_up_after_his_transfer_is_hung_up() -> None:
    async def main() -> None:
        other, target = Other("106"), Other("107")
        house = House(other, target)
        phone = Desk()
        await house.connected(phone)
        other.ask()
        await asyncio.sleep(5.0)
        assert not other.hung_up, "it has a few seconds"
        await asyncio.sleep(2.0)
        assert other.hung_up == [EndReason.TRANSFERRED]
        phone.ask()
        await asyncio.sleep(7.0)
        assert phone.hung_up == [EndReason.TRANSFERRED]
        (call,) = house.desk.registry
        call.hang_up(EndReason.API_HUNG_UP)
        record = await house.record()
        assert target.hung_up and record.end_reason is EndReason.API_HUNG_UP

    run_virtual(main())


@pytest.mark.parametrize("who", ["caller", "other"])
@pytest.mark.parametrize(("does", "codes"), [({"refuses": (1.0, 486)}, 486), ({"answers": None}, 408)])
def test_a_target_that_does_not_answer_leaves_all_as_it_was(
    who: str, does: dict[str, object], codes: int
) -> None:
    async def main() -> None:
        other, target = Other("106", says=[(40.0, 41.0)]), Other("107", **does)
        house = House(other, target)
        phone = Desk()
        await house.connected(phone)
        asker: Desk | Other = phone if who == "caller" else other
        asker.ask()
        await asyncio.sleep(33.0)
        assert asker.asks.answers == [202, 100, 180, codes]
        asker.ask("sip:nobody@elsewhere.example")
        await asyncio.sleep(7.0)
        assert asker.asks.answers[4:] == [603], "asked again, of the guard again"
        assert loudest(phone, 42.1, 42.9) == 3000, "they talk as before"
        phone.leave()
        record = await house.record()
        assert moves_of(record)[:4] == [
            ("started", 0), ("trying", 100), ("ringing", 180),
            ("timed_out" if codes == 408 else "failed", codes),
        ]  # fmt: skip
        assert record.end_reason is EndReason.CALLER_HUNG_UP

    run_virtual(main())


def moves_of(record: CallRecord) -> list[tuple[str, int]]:
    told = [event for event in record.events if isinstance(event, TransferChanged) and event.kind == "asked"]
    return [(event.state, event.sip_code) for event in told]


@pytest.mark.parametrize("answers", [True, False])
def test_whom_we_called_hangs_up_at_once(answers: bool) -> None:
    async def main() -> None:
        other = Other("106")
        target = Other("107", answers=4.0) if answers else Other("107", refuses=(4.0, 486))
        house = House(other, target)
        phone = Desk()
        await house.connected(phone)
        other.ask()
        await asyncio.sleep(0.1)
        other.leave()
        await asyncio.sleep(3.5)
        assert loudest(phone, 3.2, 6.5) > 500, "he hears it ring"
        await asyncio.sleep(2.0)
        if answers:
            target.leave()
        record = await house.record()
        assert house.tts.spoken == (["Next."] if answers else ["Nobody.", "Next."])
        assert moves(record)[-1] == (("done", 0) if answers else ("failed", 486))

    run_virtual(main())


@pytest.mark.parametrize("answers", [True, False])
def test_the_caller_hangs_up_at_once(answers: bool) -> None:
    async def main() -> None:
        other = Other("106", says=[(7.0, 8.0)])
        target = Other("107", answers=4.0) if answers else Other("107", refuses=(4.0, 486))
        house = House(other, target)
        phone = Desk()
        await house.connected(phone)
        phone.ask()
        await asyncio.sleep(0.1)
        phone.leave()
        await asyncio.sleep(3.5)
        assert loudest(other, 3.2, 6.5) > 500 and not other.hung_up, "who waits hears it ring"
        await asyncio.sleep(4.0)
        if answers:
            assert loudest(target, 9.1, 9.9) == 3000
            target.leave()
        record = await house.record()
        assert record.end_reason is (EndReason.TRANSFERRED if answers else EndReason.CALLER_HUNG_UP)
        assert other.hung_up and house.tts.spoken == []

    run_virtual(main())


@pytest.mark.parametrize("rule", [{"refer": False}, {"extensions": ("106",)}, {"at_once": 1}])
def test_what_no_rule_allows_is_refused_and_counted(rule: dict[str, object]) -> None:
    async def main() -> None:
        other = Other("106", says=[(5.0, 6.0)])
        house = House(other, Other("107"), **rule)
        phone = Desk()
        await house.connected(phone)
        askers: list[Desk | Other] = [phone, other]
        for count, asker in enumerate(askers, start=1):
            asker.ask()
            await asyncio.sleep(0.1)
            assert asker.asks.answers == [603] and house.guard.denied.total() == count
        await asyncio.sleep(5.0)
        assert loudest(phone, 7.1, 7.9) == 3000 and len(house.network.dialled) == 1
        phone.leave()
        record = await house.record()
        assert moves(record) == [("started", 0), ("failed", 603)] * 2
        assert len(house.denials) == 2

    run_virtual(main())


def test_nobody_who_is_alone_with_us_can_be_transferred() -> None:
    async def main() -> None:
        house = House(Other("106", answers=None), Other("107"))
        phone = Desk()
        house.desk.reception.take(phone)
        await asyncio.sleep(1.5)
        phone.ask()
        await asyncio.sleep(0.1)
        assert phone.asks.answers == [603]
        phone.leave()
        await house.record()

    run_virtual(main())


def test_a_caller_is_sent_to_another_route_by_whom_we_called() -> None:
    async def main() -> None:
        other = Other("106")
        house = House(other)
        phone = Desk()
        await house.connected(phone)
        other.ask(OURS, ours=True)
        record = await house.record()
        assert house.tts.spoken == ["Support."] and other.hung_up == [EndReason.TRANSFERRED]
        assert moves(record) == [("started", 0), ("trying", 100), ("answered", 200), ("done", 0)]

    run_virtual(main())


@pytest.mark.parametrize("early", [True, False])
def test_one_of_two_calls_sends_the_other_elsewhere(early: bool) -> None:
    async def main() -> None:
        target = Other("107", says=[(1.0, 2.0)])
        house = House(Other("106", answers=None), target)
        one, two = Desk("p1"), Desk("p2", says=[(6.0, 7.0)])
        house.desk.plan = Dialplan((Route("one", Match(), plain(Answer(), SayText("word " * 60))),))
        house.network.callees.pop(0)
        for phone in (one, two):
            house.desk.reception.take(phone)
        await asyncio.sleep(1.0)
        call = house.desk.registry.get("p1")
        assert call is not None
        await call.obey(BridgeCall("p2"))
        await asyncio.sleep(1.0)
        one.ask()
        await asyncio.sleep(0.2 if early else 2.5)
        one.leave()
        await asyncio.sleep(6.0)
        assert loudest(two, 5.1, 5.9) == 3000 and loudest(target, 6.1, 6.9) == 3000
        two.leave()
        await house.desk.until_idle()
        records = {record.call_id: record for record in house.desk.keeper.records}
        assert moves(records["p2"]) == DONE
        assert moves(records["p1"]) == (DONE[:2] if early else DONE)
        assert target.hung_up and one.asks.answers[:2] == [202, 100]

    run_virtual(main())


STEPS = ("caller asks", "other asks", "caller leaves", "other leaves", "target leaves", "api ends it")


@example([("caller leaves", 0.03125), ("other asks", 0.0)], {})
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(STEPS), st.floats(0.0, 5.0)), max_size=6),
    st.sampled_from([{}, {"answers": 1.0}, {"refuses": (1.0, 486)}, {"answers": None}]),
)
def test_whatever_happens_nobody_is_left_behind(
    steps: list[tuple[str, float]], target_does: dict[str, object]
) -> None:
    """No leg stays up, no task runs, no permit is held once a call is over; and every call gets there."""

    async def main() -> None:
        other, target = Other("106"), Other("107", **target_does)
        house = House(other, target, Other("108"))
        phone = Desk()
        await house.connected(phone)
        for what, pause in steps:
            call = next(iter(house.desk.registry), None)
            match what:
                case "caller asks" if not phone.hung_up:
                    phone.ask()
                case "other asks" if not other.closed:
                    other.ask()
                case "caller leaves" if not phone.hung_up:
                    phone.leave()
                case "other leaves":
                    other.leave()
                case "target leaves":
                    target.leave()
                case "api ends it" if call is not None:
                    call.hang_up(EndReason.API_HUNG_UP)
            await asyncio.sleep(pause)
        for call in house.desk.registry:
            call.hang_up(EndReason.API_HUNG_UP)
        await house.record()
        await asyncio.sleep(1.0)
        assert phone.hung_up
        for callee in (other, target):
            assert callee.closed or not callee.up

    run_virtual(main())
