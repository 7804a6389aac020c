"""Which recorded calls another plan would send elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.dialplan.compare import differences, past_calls
from gateway.dialplan.plan import Dialplan

OLD = """\
routes:
  - {name: day, match: {called: "1*", time: {zone: UTC, hours: "08:00-18:00"}}, actions: [answer, goto: end]}
  - {name: night, match: {called: "1*"}, actions: [answer, say: Good night.]}
  - {name: end, match: never, actions: [say: Bye.]}
"""


def plan(folder: Path, name: str, text: str) -> Dialplan:
    path = folder / name
    path.write_text(text)
    return Dialplan.load([path])


def line(called: str, hour: int, direction: str = "inbound") -> str:
    parties = {"caller": "+49301", "called": called, "trunk": ""}
    started = f"2026-11-26T{hour:02}:30:00.000+00:00"
    call = {"call_id": f"{called}-{hour}", "direction": direction, "parties": parties, "started": started}
    return json.dumps(call)


def with_headers(text: str, *headers: tuple[str, str]) -> str:
    record = json.loads(text)
    record["parties"]["headers"] = headers
    return json.dumps(record)


def journal(folder: Path, *lines: str) -> Path:
    path = folder / "calls.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_calls_that_would_go_elsewhere_are_told_by_the_time_at_which_they_came(tmp_path: Path) -> None:
    old = plan(tmp_path, "old.yaml", OLD)
    new = plan(tmp_path, "new.yaml", OLD.replace("18:00", "17:00").replace('"1*"}', '"10*"}'))
    path = journal(tmp_path, line("100", 12), line("100", 17), line("111", 20), line("9", 12))
    found = [difference for call in past_calls(path) if call and (difference := differences(old, new, call))]
    told = [(one.call.call_id, one.old, one.new, one.elsewhere) for one in found]
    assert told == [("100-17", "day", "night", True), ("111-20", "night", "refused 480", True)]


def test_a_route_that_does_something_else_now_is_told_apart_even_through_its_gotos(tmp_path: Path) -> None:
    old = plan(tmp_path, "old.yaml", OLD)
    new = plan(tmp_path, "new.yaml", "# moved by a line\n" + OLD.replace("Bye.", "See you."))
    path = journal(tmp_path, line("100", 12), line("100", 20))
    found = [differences(old, new, call) for call in past_calls(path) if call]
    assert [one is not None and not one.elsewhere for one in found] == [True, False]


def test_outbound_calls_and_what_is_no_record_are_passed_over(tmp_path: Path) -> None:
    path = journal(
        tmp_path, line("100", 12, "outbound"), "{", "[]", '{"parties": 1}', "", "null", line("100", 12)
    )
    found = list(past_calls(path))
    assert [call.call_id if call else None for call in found] == [None, None, None, None, "100-12"]


GOLD = """\
routes:
  - {name: gold, match: {called: "1*", headers: {X-Account: "gold*"}}, actions: [answer, goto: end]}
  - {name: all, match: {called: "1*"}, actions: [answer, say: Good day.]}
  - {name: end, match: never, actions: [say: Bye.]}
"""


def test_headers_that_the_old_plan_asked_for_are_judged(tmp_path: Path) -> None:
    old = plan(tmp_path, "old.yaml", GOLD)
    new = plan(tmp_path, "new.yaml", GOLD.replace("gold*", "gold"))
    path = journal(
        tmp_path,
        with_headers(line("100", 1), ("x-account", "Gold-7")),
        with_headers(line("100", 2), ("x-account", "gold")),
        with_headers(line("100", 3), ("x-account", "")),
    )
    calls = [call for call in past_calls(path) if call]
    told = [differences(old, new, call) for call in calls]
    assert [(one.call.call_id, one.old, one.new) for one in told if one] == [("100-1", "gold", "all")]
    assert not any(call.unknown(old, new) for call in calls)


def test_headers_that_a_record_does_not_tell_of_are_named(tmp_path: Path) -> None:
    old = plan(tmp_path, "old.yaml", GOLD)
    new = plan(tmp_path, "new.yaml", GOLD.replace("X-Account", "X-Tenant"))
    path = journal(tmp_path, with_headers(line("100", 1), ("x-account", "silver")), line("100", 2))
    assert [sorted(call.unknown(old, new)) for call in past_calls(path) if call] == [
        ["x-tenant"], ["x-account", "x-tenant"],
    ]  # fmt: skip


def test_a_record_with_broken_headers_is_none(tmp_path: Path) -> None:
    broken = json.loads(line("100", 1))
    broken["parties"]["headers"] = ["x-account"]
    assert list(past_calls(journal(tmp_path, json.dumps(broken)))) == [None]
