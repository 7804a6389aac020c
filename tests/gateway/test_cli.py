"""The command line without a network: what it prints, and its exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app

BAD = """\
sip: {udp_port: 70000, udpport: 5080, max_calls: 5}
asr: {engine: moonshin}
nod: {}
"""
PLAN = """\
routes:
  - {name: desk, match: {called: "1000", caller: "49*"}, actions: [answer, agent: echo]}
fallback: [hangup]
"""
COMMANDS = ("up", "doctor", "call", "demo", "version", "config", "dialplan", "models")


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"OFFHOOK_CONFIG": None, **environment})


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return path


@pytest.fixture
def config(tmp_path: Path, plan: Path) -> Path:
    path = tmp_path / "offhook.yaml"
    path.write_text(f"dialplan: {{files: [{plan.name}]}}\n")
    return path


def test_help_teaches_the_first_steps_and_every_command() -> None:
    text = run("--help").stdout
    assert all(f"  {command}" in text for command in COMMANDS)
    assert "offhook doctor" in text and "sip:echo@127.0.0.1" in text


@pytest.mark.parametrize("command", ["up", "doctor", "call", "demo"])
def test_each_command_tells_its_exit_codes(command: str) -> None:
    done = run(command, "--help")
    assert done.exit_code == 0
    assert "Exit code 0" in " ".join(done.stdout.split())


def test_version_is_the_installed_one() -> None:
    done = run("version")
    assert done.exit_code == 0 and done.stdout.strip().count(".") == 2


def test_every_mistake_of_a_file_is_told_at_once_with_line_and_cure(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(BAD)
    done = run("config", "check", str(path))
    assert done.exit_code == 2 and "Traceback" not in done.stderr
    for told in (
        "bad.yaml:1: sip.udp_port",
        'sip.udpport: nothing is called "udpport" here; did you mean "udp_port"?',
        "sip.max_calls: follows from limits.max_calls; set that one instead",
        'bad.yaml:2: asr.engine: no engine is called "moonshin"',
        'bad.yaml:3: nod: nothing is called "nod" here; did you mean "node"?',
    ):
        assert told in done.stderr


@pytest.mark.parametrize("command", [("up",), ("doctor",), ("config", "show"), ("dialplan", "check")])
def test_no_command_goes_on_with_a_broken_configuration(command: tuple[str, ...]) -> None:
    done = run(*command, OFFHOOK_SIP__UDP_PORT="many")
    assert done.exit_code == 2
    assert "OFFHOOK_SIP__UDP_PORT" in done.stderr and "Traceback" not in done.stderr


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = run("config", "check", str(tmp_path / "gone.yaml"))
    assert done.exit_code == 2 and "gone.yaml" in done.stderr and "check the path" in done.stderr


def test_a_good_file_is_called_good(config: Path) -> None:
    done = run("config", "check", str(config))
    assert (done.exit_code, done.stdout.strip()) == (0, f"{config}: good")


def test_the_example_is_a_good_configuration(tmp_path: Path) -> None:
    path = tmp_path / "example.yaml"
    path.write_text(run("config", "example").stdout)
    assert run("config", "check", str(path)).exit_code == 0


def test_what_is_in_force_is_shown_without_secrets(config: Path) -> None:
    config.write_text(
        config.read_text() + "agents: {a: {kind: chat, base_url: 'http://x/v1', api_key: topsecret}}\n"
    )
    done = run("config", "show", "-c", str(config), OFFHOOK_NODE__NAME="edge-7")
    assert done.exit_code == 0 and "name: edge-7" in done.stdout
    assert "topsecret" not in done.stdout


def test_dialplans_are_checked(plan: Path) -> None:
    assert run("dialplan", "check", str(plan)).stdout.strip() == "good: 1 routes"
    plan.write_text(PLAN.replace("agent: echo", "agnt: echo").replace('"49*"', '"/(a+)+/"'))
    done = run("dialplan", "check", str(plan))
    assert done.exit_code == 2
    assert 'did you mean "agent"?' in done.stderr and "plan.yaml:2" in done.stderr
    assert "repeats a group" in done.stderr


def test_the_built_in_dialplan_is_checked_when_none_is_named() -> None:
    done = run("dialplan", "check")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == "left out, because their agents are not configured: chat"


@pytest.mark.parametrize(
    ("called", "caller", "code", "told"),
    [
        ("1000", "+49 30 1", 0, "desk  ("),
        ("1000", "+43 1", 1, "refused with 403"),
        ("1001", "+49 30 1", 1, "refused with 404"),
    ],
)
def test_a_dialplan_can_be_asked(config: Path, called: str, caller: str, code: int, told: str) -> None:
    done = run("dialplan", "route", called, "--caller", caller, "-c", str(config))
    assert done.exit_code == code and done.stdout.startswith(told)


def test_a_file_that_cannot_be_played_stops_the_call_before_it_begins(tmp_path: Path) -> None:
    pytest.importorskip("pjsua2", reason="the native wheel is built by make setup")
    done = run("call", "sip:echo@127.0.0.1:9", "--play", str(tmp_path / "gone.wav"))
    assert done.exit_code == 2 and "gone.wav cannot be played" in done.stderr
    done = run("call", "sip:echo@127.0.0.1:9", "--record", str(tmp_path))
    assert done.exit_code == 2 and "cannot be written; choose another place" in done.stderr


def test_a_secret_for_callbacks() -> None:
    printed = CliRunner().invoke(app, ["batch", "secret"])
    assert printed.exit_code == 0 and printed.output.startswith("whsec_")
