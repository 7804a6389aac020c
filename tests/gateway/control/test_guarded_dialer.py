"""Calling somebody: rules first, then the far end's answer, then minute by minute. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.control.guard import Spent
from gateway.errors import DialDenied, DialFailed
from media.legs.base import (
    EndReason,
    LegAnswered,
    LegClosed,
    LegError,
    LegEvent,
    LegRinging,
    TransferAsked,
)
from media.legs.sip_settings import SipTransport, TrunkSettings
from tests.fakes.callee import Callee
from tests.fakes.office import BERLIN, Bench
from tests.virtual_time import run_virtual


class Ear:
    def __init__(self) -> None:
        self.events: list[LegEvent] = []

    def hear(self, frame: Any, voice: Any) -> None: ...

    def notice(self, event: LegEvent) -> None:
        self.events.append(event)


def virtual(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    def run() -> None:
        async def main() -> None:
            await test()

        run_virtual(main())

    run.__name__ = test.__name__
    return run


@virtual
async def test_it_returns_when_the_far_end_answered_and_nothing_is_lost() -> None:
    bench = Bench(Callee(rings=0.5, answers=3.0))
    rang: list[LegRinging] = []
    leg = await bench.dialer.dial(BERLIN, trunk="carrier", caller="+49301", on_ringing=rang.append)
    assert asyncio.get_running_loop().time() == 3.0 and len(rang) == 1
    assert bench.network.dialled == [("sip:+4930901820@sip.carrier.example:5070", "carrier", "+49301")]
    ear = Ear()
    leg.attach(ear)
    assert [type(event) for event in ear.events] == [LegRinging, LegAnswered]
    await leg.hangup(EndReason.AGENT_HUNG_UP)
    await asyncio.sleep(1)
    assert isinstance(ear.events[-1], LegClosed)
    assert bench.totals.kept == {("carrier", "2026-01-02"): Spent(1, 0)}


@pytest.mark.parametrize("code", [404, 480, 486, 603])
def test_a_refusal_is_told_with_its_code(code: int) -> None:
    async def main() -> None:
        bench = Bench(Callee(refuses=(1.0, code)), at_once=1)
        for _ in range(2):
            bench.network.callees = [Callee(refuses=(1.0, code))]
            with pytest.raises(DialFailed) as failed:
                await bench.dialer.dial(BERLIN)
            assert failed.value.sip_code == code
        assert bench.totals.kept == {}

    run_virtual(main())


@virtual
async def test_nobody_rings_for_ever() -> None:
    callee = Callee(answers=None)
    bench = Bench(callee)
    with pytest.raises(DialFailed) as failed:
        await bench.dialer.dial(BERLIN, ring_seconds=20)
    assert failed.value.sip_code == 408 and asyncio.get_running_loop().time() == 20
    assert callee.hung_up == [EndReason.NOT_ANSWERED]


@virtual
async def test_whoever_stops_waiting_gives_the_call_up() -> None:
    callee = Callee(answers=None)
    bench = Bench(callee, at_once=1)
    waiting = asyncio.create_task(bench.dialer.dial(BERLIN))
    await asyncio.sleep(2)
    waiting.cancel()
    await asyncio.sleep(1)
    assert waiting.cancelled() and callee.hung_up == [EndReason.CANCELLED]
    bench.network.callees = [Callee(answers=1.0)]
    await bench.dialer.dial(BERLIN)


@virtual
async def test_a_network_that_cannot_place_it_costs_no_place() -> None:
    bench = Bench(Callee(), at_once=1)
    bench.network.error = LegError("no transport", sip_code=503)
    for _ in range(2):
        with pytest.raises(DialFailed) as failed:
            await bench.dialer.dial(BERLIN)
        assert failed.value.sip_code == 503


@virtual
async def test_a_denial_is_told_and_nothing_is_dialled() -> None:
    bench = Bench(Callee())
    with pytest.raises(DialDenied):
        await bench.dialer.dial("+19005551234", trunk="carrier", caller="7")
    with pytest.raises(DialDenied):
        bench.dialer.may_be_asked(BERLIN, trunk="carrier")
    bench.dialer.may_send(BERLIN, trunk="carrier")
    assert bench.denials == [
        ("carrier", "+19005551234", "7", "premium"),
        ("carrier", BERLIN, "", "refer"),
    ]
    assert bench.network.dialled == []


@virtual
async def test_a_call_that_was_asked_for_says_so_and_counts_as_any() -> None:
    bench = Bench(Callee(), refer=True, at_once=1, caller="+49301")
    asked = TransferAsked(BERLIN, 0.0, True, "1@h;to-tag=a;from-tag=b", "<sip:desk@pbx>")
    rang: list[LegRinging] = []
    leg = await bench.dialer.dial_asked(asked, trunk="carrier", on_ringing=rang.append)
    assert bench.network.dialled == [("sip:+4930901820@sip.carrier.example:5070", "carrier", "+49301")]
    (headers,) = bench.network.headers
    assert headers == (("Referred-By", "<sip:desk@pbx>"), ("Replaces", "1@h;to-tag=a;from-tag=b"))
    assert len(rang) == 1
    with pytest.raises(DialDenied, match="at once"):
        bench.dialer.may_be_asked(BERLIN, trunk="carrier")
    await leg.hangup(EndReason.AGENT_HUNG_UP)
    await asyncio.sleep(1)
    bench.dialer.may_be_asked(BERLIN, trunk="carrier")


@virtual
async def test_who_asked_is_left_out_where_it_would_break_the_header() -> None:
    bench = Bench(Callee(), refer=True)
    asked = TransferAsked(BERLIN, 0.0, referred_by="<sip:a@b>\r\nX: y")
    await bench.dialer.dial_asked(asked, trunk="carrier", on_ringing=lambda event: None)
    assert bench.network.headers == [()]


@virtual
async def test_a_call_ends_when_the_days_money_is_used_up() -> None:
    callee = Callee(answers=1.0)
    bench = Bench(callee, daily_cost=0.05, prices={"*": 0.02})
    await bench.dialer.dial(BERLIN)
    await asyncio.sleep(119)
    assert callee.hung_up == []
    await asyncio.sleep(3)
    assert callee.hung_up == [EndReason.MAX_DURATION]
    assert bench.totals.kept == {("carrier", "2026-01-02"): Spent(2, 400)}
    with pytest.raises(DialDenied) as denied:
        await bench.dialer.dial(BERLIN)
    assert denied.value.reason == "daily_cost"
    await asyncio.sleep(12 * 3600)
    bench.network.callees = [Callee()]
    await bench.dialer.dial(BERLIN)


@virtual
async def test_what_other_nodes_used_counts_here() -> None:
    bench = Bench(Callee(), daily_minutes=10)
    bench.totals.kept["carrier", "2026-01-02"] = Spent(minutes=10)
    with pytest.raises(DialDenied) as denied:
        await bench.dialer.dial(BERLIN)
    assert denied.value.reason == "daily_minutes"


@pytest.mark.parametrize(
    ("trunk", "target", "uri"),
    [
        ({"registrar": "sip:r.example:5070"}, BERLIN, "sip:+4930901820@r.example:5070"),
        ({"proxy": "sip:p.example;lr"}, BERLIN, "sip:+4930901820@p.example"),
        ({"proxy": "sip:p.example;lr", "domain": "d.example"}, BERLIN, "sip:+4930901820@d.example"),
        ({"sources": ("192.0.2.7",)}, BERLIN, "sip:+4930901820@192.0.2.7"),
        ({"sources": ("192.0.2.0/24",)}, f"sip:{BERLIN}@192.0.2.9:5080", "sip:+4930901820@192.0.2.9:5080"),
        (
            {"registrar": "sip:r.example", "transport": SipTransport.TLS},
            f"sip:{BERLIN}@R.example;maddr=1.2.3.4",
            "sip:+4930901820@R.example;transport=tls",
        ),
    ],
)
def test_where_a_number_is_sent(trunk: dict[str, Any], target: str, uri: str) -> None:
    async def main() -> None:
        bench = Bench(Callee(), trunk=TrunkSettings("carrier", outbound=True, **trunk))
        await bench.dialer.dial(target)
        assert bench.network.dialled[0][0] == uri

    run_virtual(main())


@pytest.mark.parametrize(
    ("trunk", "target", "reason"),
    [
        ({"registrar": "sip:r.example"}, f"sip:{BERLIN}@evil.example", "host"),
        ({"sources": ("192.0.2.0/24",)}, f"sip:{BERLIN}@198.51.100.1", "host"),
        ({"sources": ("192.0.2.0/24",)}, BERLIN, "no_address"),
    ],
)
def test_a_trunk_leads_to_its_own_hosts_only(trunk: dict[str, Any], target: str, reason: str) -> None:
    async def main() -> None:
        bench = Bench(Callee(), at_once=1, trunk=TrunkSettings("carrier", outbound=True, **trunk))
        for _ in range(2):
            with pytest.raises(DialDenied) as denied:
                await bench.dialer.dial(target)
            assert denied.value.reason == reason
        assert bench.guard.denied[reason] == 2 and len(bench.denials) == 2

    run_virtual(main())


@virtual
async def test_a_carrier_may_want_bare_digits_and_a_number_of_its_own() -> None:
    bench = Bench(Callee(), plus=False, caller="4930100")
    await bench.dialer.dial(BERLIN)
    assert bench.network.dialled == [("sip:4930901820@sip.carrier.example:5070", "carrier", "4930100")]
