"""What is reported of calls and requests, down to the octets that leave the site."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from gateway.api.core.watch import NoWatch
from gateway.calls.record import CallRecord, TurnRecord
from gateway.usage import CallUsage, ReportedWatch
from license.client import ClientSettings, LicenceClient
from license.entitlement import Terms
from license.keeper import Clocks, Keeper
from license.outbox import DiskOutbox
from license.proxy import create_proxy
from license.settings import ProxySettings
from license.signature import new_key, public_of
from license.upstream import HttpVendor
from license.usage import Feature, Kind, UsageEvent
from license.vendor import Office, create_vendor
from media.legs.base import Direction, Parties

START = 1_800_000_000.0
KEY, VENDOR = "lk-1", new_key()


class Noted:
    """A licence that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[UsageEvent] = []

    def forbids(self, kind: str) -> bool:
        return False

    def refusal(self, kind: str, running: int, capacity: int) -> str:
        return ""

    def used(self, event: UsageEvent) -> None:
        self.events.append(event)


def record() -> CallRecord:
    call = CallRecord(
        call_id="call-4711",
        direction=Direction.INBOUND,
        parties=Parties("+4930123456", "+4930987654", "carrier-berlin"),
        route="front-desk",
        started="2027-01-15T08:00:00Z",
    )
    call.duration = 61.27
    call.turns.append(TurnRecord(1, said="my card is four one one one", dtmf="4111", reply="Thank you, Ana"))
    return call


def test_requests_are_reported_with_their_sound_and_letters() -> None:
    noted = Noted()
    watch = ReportedWatch(NoWatch(), noted, lambda: START)
    watch.heard("deepgram", 12.0)
    watch.said("openai", 3.0, 40)
    watch.ended("deepgram", "listen_live", "ok", 99.0)
    watch.ended("openai", "speak", "EngineFailed", 1.0)
    watch.ended("openai", "listen", "gone", 1.0, ("timestamps", "callback", "what nobody knows"))
    assert [(one.kind, one.seconds, one.characters, one.code) for one in noted.events] == [
        (Kind.LISTEN_LIVE, 12.0, 0, 200), (Kind.SPEAK, 3.0, 40, 502), (Kind.LISTEN, 0.0, 0, 499),
    ]  # fmt: skip


def test_features_are_words_of_the_form_only() -> None:
    noted = Noted()
    watch = ReportedWatch(NoWatch(), noted, lambda: START)
    watch.ended("smallest", "listen_live", "ok", 1.0, ("timestamps", "a caller's words"))
    assert noted.events[0].features == (Feature.STREAMING, Feature.TIMESTAMPS)


def test_nothing_of_a_call_leaves_the_site_but_counts(tmp_path: Path) -> None:
    """Every octet that the vendor was sent is looked at."""

    async def main() -> Office:
        office = Office(VENDOR, lambda: START, {KEY: Terms("acme", START + 1e6)})
        clocks = Clocks(lambda: START, lambda: 0.0)
        vendor = HttpVendor("http://vendor", KEY, 5.0)
        vendor._client._transport = httpx.ASGITransport(app=create_vendor(office))
        settings = ProxySettings(KEY, public_of(VENDOR), tmp_path, upstream="http://vendor")
        keeper = Keeper(settings, vendor, clocks)
        await keeper.check()
        proxy = httpx.ASGITransport(app=create_proxy(keeper, KEY))
        outbox = DiskOutbox(tmp_path / "service" / "usage")
        await outbox.start()
        asked = ClientSettings("http://proxy", KEY, public_of(VENDOR), tmp_path / "service")
        client = LicenceClient(asked, clocks, outbox, proxy)
        await client.ask()
        CallUsage(client, lambda: START).ended(record())
        await client.report()
        assert await keeper.report()
        await client.aclose()
        await outbox.aclose()
        await keeper.aclose()
        return office

    office = asyncio.run(main())
    (body,) = office.bodies
    (event,) = json.loads(body)["events"]
    assert event.pop("event_id").isalnum()
    assert event == {
        "kind": "call", "minute": 30_000_000, "seconds": 61.3, "characters": 0, "code": 200,
        "features": ["streaming"],
    }  # fmt: skip
    for secret in ("4930", "4711", "berlin", "desk", "card", "4111", "Ana"):
        assert secret.encode() not in body.replace(json.loads(body)["batch_id"].encode(), b"").replace(
            json.loads(body)["events"][0]["event_id"].encode(), b""
        )


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ("ok", 200), ("gone", 499), ("EngineFailed", 502), ("RequestUnfit", 400), ("BodyTooLarge", 413),
        ("ZeroDivisionError", 500),
    ],
)  # fmt: skip
def test_outcomes_become_codes(outcome: str, code: int) -> None:
    noted = Noted()
    ReportedWatch(NoWatch(), noted, lambda: START).ended("openai", "speak_live", outcome, 1.0)
    assert noted.events[0].code == code
