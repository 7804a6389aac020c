"""Keys and their file."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.errors import FileUnfit, KeyUnknown, RequestUnfit
from gateway.keys import commands
from gateway.keys.key import Scope, made, split
from gateway.keys.keyring import Keyring
from tests.fakes.speech_api import NOW


def test_the_file_holds_no_secret_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "keys.json"
    _, text = commands.create(Keyring(path), "demo", (), "", 0, 0, NOW)
    parts = split(text)
    assert parts is not None
    assert parts[1] not in path.read_text() and parts[0] in path.read_text()
    assert path.stat().st_mode & 0o077 == 0


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path / "keys.json")
    key, _ = made("a", [Scope.CALLS], NOW, expires=NOW + timedelta(days=1), per_minute=5, at_once=6)
    keyring.add(key)
    assert Keyring(tmp_path / "keys.json").keys() == {key.key_id: key}


def test_a_change_by_another_process_is_seen(tmp_path: Path) -> None:
    ours, theirs = Keyring(tmp_path / "keys.json"), Keyring(tmp_path / "keys.json")
    assert ours.keys() == {}
    key, _ = commands.create(theirs, "x", (), "", 0, 0, NOW)
    assert set(ours.keys()) == {key.key_id}


def test_two_at_once_lose_no_key(tmp_path: Path) -> None:
    def add() -> None:
        for _ in range(5):
            commands.create(Keyring(tmp_path / "keys.json"), "x", (), "", 0, 0, NOW)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Keyring(tmp_path / "keys.json").keys()) == 20


@pytest.mark.parametrize("text", ["", "[]", '{"keys": [{}]}', '{"keys": [{"id": 1}]}', "\xff"])
def test_a_broken_file_is_told_with_the_cure(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(FileUnfit, match=r"set api\.keys_file"):
        Keyring(path).keys()


def test_revoking_twice_keeps_the_first_time(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path / "keys.json")
    key, _ = commands.create(keyring, "x", (), "", 0, 0, NOW)
    commands.revoke(keyring, key.key_id, NOW)
    again = commands.revoke(keyring, key.key_id, NOW + timedelta(days=1))
    assert again.revoked == NOW
    with pytest.raises(KeyUnknown):
        commands.revoke(keyring, "nobody", NOW)


def test_the_list_says_what_each_key_is(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path / "keys.json")
    commands.create(keyring, "old", ["listen"], "1h", 10, 2, NOW)
    key, _ = commands.create(keyring, "gone", (), "", 0, 0, NOW + timedelta(minutes=1))
    commands.revoke(keyring, key.key_id, NOW)
    rows = commands.table(keyring.keys().values(), NOW + timedelta(hours=2))
    assert [(row[1], row[2], row[5], row[6], row[7]) for row in rows[1:]] == [
        ("old", "listen", "10", "2", "expired"),
        ("gone", "listen,speak", "-", "-", "revoked"),
    ]
    assert "sha256" not in json.dumps(rows)


@pytest.mark.parametrize(("text", "days"), [("90d", 90), ("2w", 14), ("24h", 1), ("2026-11-30", 4.5)])
def test_an_expiry_is_a_span_or_a_date(tmp_path: Path, text: str, days: float) -> None:
    key, _ = commands.create(Keyring(tmp_path / "k"), "x", (), text, 0, 0, NOW)
    assert key.expires == NOW + timedelta(days=days)


@pytest.mark.parametrize(
    ("scopes", "expires", "named"),
    [(["all"], "", "scope: all: no such scope; choose"), ([], "soon", "expires: give a span"),
     ([], "2020-01-01", "expires: 2020-01-01 is over already")],
)  # fmt: skip
def test_mistakes_are_named(tmp_path: Path, scopes: list[str], expires: str, named: str) -> None:
    with pytest.raises(RequestUnfit, match=f"^{named}"):
        commands.create(Keyring(tmp_path / "k"), "x", scopes, expires, 0, 0, NOW)
