"""`offhook license` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from gateway.cli import app
from license.entitlement import read_licence
from license.journal import Journal
from license.signature import public_of
from license.usage import Kind, UsageEvent


def offhook(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, ["license", *arguments], env={"LICENSE_KEY": "", **environment})


def test_a_key_and_a_licence_signed_with_it(tmp_path: Path) -> None:
    made = offhook("keygen")
    key_file = tmp_path / "vendor.key"
    key_file.write_text(made.stdout)
    public = public_of(made.stdout.strip())
    assert public in made.stderr
    issued = offhook(
        "issue", "--key-file", str(key_file), "--licence-id", "acme", "--calls", "7", "--days", "30"
    )
    assert issued.exit_code == 0
    terms = read_licence(issued.stdout.strip(), public)
    assert (terms.licence_id, terms.max_calls, terms.grace_seconds) == ("acme", 7, 86_400)


def test_usage_is_exported_once(tmp_path: Path) -> None:
    events = [UsageEvent(f"{number:032x}", Kind.CALL, 30_000_000) for number in range(3)]
    journal = Journal(tmp_path / "usage")
    journal.append(events)
    assert "in use" in offhook("export", "--folder", str(tmp_path)).output
    journal.close()
    exported = offhook("export", "--folder", str(tmp_path))
    assert [UsageEvent.read(json.loads(line)) for line in exported.stdout.splitlines()] == events
    assert offhook("export", "--folder", str(tmp_path)).stdout == ""


def test_what_is_missing_is_said_with_the_cure(tmp_path: Path) -> None:
    at = ("--folder", str(tmp_path))
    assert "licence_key" in offhook(*at).output
    assert "upstream" in offhook(*at, LICENSE_KEY="k").output
    nobody = offhook("status", "http://127.0.0.1:1")
    assert nobody.exit_code == 1 and "offhook license" in nobody.output
    for result in (offhook(*at), offhook("issue", "--key-file", str(tmp_path / "none"), "--licence-id", "x")):
        assert result.exit_code == 2


def test_help_teaches() -> None:
    printed = " ".join(offhook("--help").output.split())
    for word in ("grace period", "serve-upstream", "export", "never ends a call"):
        assert word in printed
