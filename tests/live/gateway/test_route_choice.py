"""Which route takes a call: by the clock, by holidays, and by what works at the moment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import holidays
import pytest

from tests.live.gateway.node import Node, eventually
from tests.live.sip.phone import Phone

pytestmark = pytest.mark.live

AHEAD = (12 - datetime.now(UTC).hour + 11) % 24 - 11
"""Hours that clocks are ahead of UTC where it is noon now."""
NOON = f"Etc/GMT{-AHEAD:+d}"
"""The zone; the sign in such a name is that of POSIX."""
TODAY = (datetime.now(UTC) + timedelta(hours=AHEAD)).date()
DAY, OTHER_DAY = (f"{TODAY + timedelta(days=n):%a}".lower() for n in (0, 1))


def _celebrates(country: str) -> bool:
    return TODAY in holidays.country_holidays(country, years=TODAY.year)


COUNTRIES = sorted(code for code in holidays.list_supported_countries() if len(code) == 2)
FEAST = next(filter(_celebrates, COUNTRIES), "")
"""A country with a public holiday today; "" where nobody celebrates."""
PLAIN = next(code for code in COUNTRIES if not _celebrates(code))


def _route(name: str, called: str, window: str) -> str:
    return f"  - {{name: {name}, match: {{called: {called}, {window}}}, actions: [answer, hangup]}}\n"


PLAN = (
    f"zone: {NOON}\ntimes:\n"
    f'  office: {{days: {DAY}, hours: "06:00-18:00", except_holidays: {PLAIN}}}\n'
    f"  off: {{days: {OTHER_DAY}}}\n"
    "routes:\n"
    + _route("elsewhere", "hours", 'time: [{zone: Etc/UTC, dates: "2020-01-01"}]')
    + _route("night", "hours", 'time: [{hours: "18:00-06:00"}]')
    + _route("weekend", "hours", "time: off")
    + _route("open", "hours", "time: office")
    + _route("no-feast", "feast", f"time: [{{holidays: {PLAIN}}}]")
    + (_route("feast", "feast", f"time: [{{holidays: {FEAST}}}]") if FEAST else "")
    + _route("working-day", "feast", "time: office")
    + _route("closed", "shut", "time: off")
    + """
  - name: bot
    match: {called: bot, health: {gone: ok, asr: ok}}
    actions: [answer, {agent: gone, fallback: [say: The bot is gone., hangup]}]
  - {name: people, match: {called: bot}, actions: [answer, hangup: 17]}
"""
)
SETTINGS = {"agents": {"gone": {"kind": "media_stream", "url": "ws://127.0.0.1:9/"}}}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("choice"), SETTINGS, PLAN) as running:
        yield running


def taken(node: Node, called: str, count: int = 1) -> dict[str, Any]:
    """Call this number and be hung up on; the record of the call."""
    with Phone(("127.0.0.1", node.sip_port), called) as phone:
        phone.call()
        phone.respond(phone.expect("BYE", 10.0))

    def written() -> dict[str, Any]:
        found = [one for one in node.records("1001", 0) if one["parties"]["called"] == called]
        assert len(found) == count, f"{len(found)} of {count} records"
        return found[-1]

    return eventually(written)


def test_the_hour_and_the_day_of_a_zone_choose(node: Node) -> None:
    assert taken(node, "hours")["route"] == "open"


def test_a_holiday_chooses(node: Node) -> None:
    assert taken(node, "feast")["route"] == ("feast" if FEAST else "working-day")


def test_a_number_whose_routes_are_closed_is_refused(node: Node) -> None:
    with Phone(("127.0.0.1", node.sip_port), "shut") as phone:
        phone.invite()
        phone.refused(480)


def test_an_agent_that_is_down_is_no_longer_tried(node: Node) -> None:
    for count in (1, 2, 3):
        assert taken(node, "bot", count)["route"] == "bot"
    kept = taken(node, "bot", 4)
    assert kept["route"] == "people", kept
    tried = [one for one in node.records("1001") if one["route"] == "bot"]
    assert [event["kind"] for one in tried for event in one["events"] if event["event"] == "agent_fault"] == [
        "refused"
    ] * 3
