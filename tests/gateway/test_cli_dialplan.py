"""`offhook dialplan ...`: what the commands print, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.dialplan.plan import BUILT_IN

EXAMPLES = BUILT_IN.parent / "examples"
PLAN = """\
routes:
  - name: desk
    match: {called: "1000"}
    actions: [answer, say: Hello., hangup]
"""
CASES = """\
cases:
  - name: it greets
    call: {called: "1000"}
    expect: {route: desk, hears: [Hello], does: [answer, say, hangup], ends: dialplan_hung_up}
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["dialplan", *arguments], env={"OFFHOOK_CONFIG": None})


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    (tmp_path / "plan.test.yaml").write_text(CASES)
    return path


@pytest.mark.parametrize("command", ["check", "route", "test", "diff"])
def test_each_command_tells_its_exit_codes(command: str) -> None:
    assert "Exit code 0" in " ".join(run(command, "--help").stdout.split())


def test_findings_are_told_with_exit_code_1(plan: Path) -> None:
    assert run("check", str(plan)).exit_code == 0
    plan.write_text(PLAN + "  - {name: x, match: {called: 1000}, actions: [answer, agent: echo]}\n")
    done = run("check", str(plan))
    assert done.exit_code == 1 and "plan.yaml:5: x.match: never taken" in done.stdout
    assert "`agent` may fail" in done.stdout and done.stdout.endswith("found: 2: 2 routes\n")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.test.yaml")), ids=lambda path: path.name)
def test_every_example_passes_its_cases(path: Path) -> None:
    done = run("test", str(path))
    assert done.exit_code == 0, done.stdout
    assert ", 0 failed: " in done.stdout


def test_every_example_has_cases() -> None:
    plans = {path.name for path in EXAMPLES.glob("*.yaml") if not path.name.endswith(".test.yaml")}
    tested = {path.name.replace(".test.yaml", ".yaml") for path in EXAMPLES.glob("*.test.yaml")}
    assert plans == tested


@pytest.mark.parametrize("named", ["plan.yaml", "plan.test.yaml", "."])
def test_cases_are_found_beside_the_plan(plan: Path, named: str) -> None:
    done = run("test", str(plan.parent / named))
    assert done.exit_code == 0 and done.stdout.startswith("1 passed, 0 failed: ")


def test_a_case_that_fails_shows_what_was_expected_and_the_call_as_it_went(plan: Path) -> None:
    plan.write_text(PLAN.replace("Hello.", "Go away.").replace("hangup]", "hangup: 17]"))
    done = run("test", str(plan))
    assert done.exit_code == 1
    lines = [text.strip() for text in done.stdout.splitlines()]
    assert lines[0].startswith("FAILED") and lines[0].endswith("plan.test.yaml:2  it greets")
    assert 'hears: "Hello" was not heard at all' in lines
    assert any(text.endswith("he hears: Go away.") for text in lines)


@pytest.mark.parametrize(
    ("cases", "told"),
    [
        ("case: []\n", "holds no cases"),
        ("cases:\n  - {name: x, call: {called: 1}, expect: {rout: y}}\n", 'test.yaml:2: cases.0.expect.rout'),
        ("cases:\n  - {name: x, call: {called: 1, time: noon}, expect: {}}\n", "call.time: is no time"),
        ("cases:\n  - {name: x, call: {called: 1}, caller: [{keys: 1, says: y}], expect: {}}\n", "one thing"),
        ("cases:\n  - {name: x, call: {called: 1}, dial: {2: sings}, expect: {}}\n", 'cannot "sings"'),
    ],
)  # fmt: skip
def test_mistakes_in_cases_are_told_with_line_and_field(plan: Path, cases: str, told: str) -> None:
    (plan.parent / "plan.test.yaml").write_text(cases)
    done = run("test", str(plan))
    assert done.exit_code == 2 and told in done.stderr


def test_a_plan_without_cases_is_told(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN)
    done = run("test", str(tmp_path / "plan.yaml"))
    assert done.exit_code == 2 and "has no tests; write the cases into plan.test.yaml" in done.stderr


def test_calls_that_would_go_elsewhere_make_a_table(plan: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.yaml"
    new.write_text(PLAN.replace("desk", "hall").replace("1000", "100?"))
    record = {"call_id": "c1", "parties": {"caller": "+49301", "called": "1000", "trunk": ""}}
    calls = tmp_path / "calls.jsonl"
    calls.write_text(json.dumps({**record, "started": "2026-11-26T10:00:00+00:00"}) + "\nnonsense\n")
    done = run("diff", str(plan), str(new), "--calls", str(calls))
    assert done.exit_code == 1
    assert "c1    2026-11-26 10:00  +49301  1000    desk  hall" in done.stdout
    assert "1 of 1 calls would go elsewhere" in done.stdout and "1 lines are no records" in done.stdout
    assert run("diff", str(plan), str(plan), "--calls", str(calls)).exit_code == 0
    assert run("diff", str(plan), str(new), "--calls", str(tmp_path / "none")).exit_code == 2


def test_calls_whose_records_lack_a_header_are_told(plan: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.yaml"
    new.write_text(PLAN.replace("match: {", "match: {headers: {X-Account: gold}, ", 1))
    record = {"call_id": "c1", "parties": {"caller": "+49301", "called": "1000", "trunk": ""}}
    calls = tmp_path / "calls.jsonl"
    calls.write_text(json.dumps({**record, "started": "2026-11-26T10:00:00+00:00"}) + "\n")
    told = run("diff", str(plan), str(new), "--calls", str(calls)).stdout
    assert "1 calls are judged as if no x-account had come: their records do not tell" in told


def test_the_time_of_a_question_is_read_with_its_zone(plan: Path) -> None:
    assert run("route", "1000", "--at", "noon").exit_code == 2
