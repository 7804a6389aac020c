"""Recordings are found by their address, by whoever has the account's token, and by nobody else."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from gateway import twilio_ids
from gateway.api.twilio_recordings import add
from gateway.secret import Secret
from gateway.twiml.recordings import RecordingShelf

ACCOUNT, TOKEN = twilio_ids.account_sid("node"), "0123456789abcdef"
SID = twilio_ids.recording_sid("call-1")


def shelf(folder: Path, token: str = TOKEN) -> RecordingShelf:
    return RecordingShelf(folder, ACCOUNT, Secret(token), lambda: "http://node:7100")


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    api = FastAPI()
    kept = shelf(tmp_path)
    kept.path(SID).parent.mkdir()
    kept.path(SID).write_bytes(b"RIFFsound")
    (tmp_path / "secret.wav").write_bytes(b"RIFFother")
    add(api, kept)
    return TestClient(api)


def test_the_address_leads_to_the_sound(client: TestClient, tmp_path: Path) -> None:
    url = shelf(tmp_path).url(SID).removeprefix("http://node:7100")
    for ending in ("", ".wav"):
        answer = client.get(url + ending, auth=(ACCOUNT, TOKEN))
        assert (answer.status_code, answer.content) == (200, b"RIFFsound")
        assert answer.headers["content-type"] == "audio/x-wav"
    assert client.head(url, auth=(ACCOUNT, TOKEN)).headers["content-length"] == "9"


@pytest.mark.parametrize(
    "auth", [None, (ACCOUNT, "wrong"), ("AC" + "0" * 32, TOKEN), (ACCOUNT, ""), ("", TOKEN)]
)
def test_nobody_else_gets_it(client: TestClient, auth: tuple[str, str] | None) -> None:
    answer = client.get(f"/2010-04-01/Accounts/{ACCOUNT}/Recordings/{SID}", auth=auth)
    assert (answer.status_code, answer.json()["code"]) == (401, 20003)
    assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    "name",
    [twilio_ids.recording_sid("other"), f"{SID}.mp3", "..%2Fsecret", "secret.wav", SID.lower(), SID[:-1]],
)
def test_what_is_no_recording_is_not_found(client: TestClient, name: str) -> None:
    answer = client.get(f"/2010-04-01/Accounts/{ACCOUNT}/Recordings/{name}", auth=(ACCOUNT, TOKEN))
    assert answer.status_code == 404


def test_another_account_has_none(client: TestClient) -> None:
    other = twilio_ids.account_sid("other")
    path = f"/2010-04-01/Accounts/{other}/Recordings/{SID}"
    assert client.get(path, auth=(ACCOUNT, TOKEN)).status_code == 404


def test_without_a_token_nobody_is_admitted(tmp_path: Path) -> None:
    for given in ("", "Basic", "Basic ?", f"Basic {base64.b64encode(f'{ACCOUNT}:'.encode()).decode()}"):
        assert not shelf(tmp_path, "").admits(given)
    good = base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
    assert shelf(tmp_path).admits(f"basic {good}")
    assert not shelf(tmp_path).admits(f"Bearer {good}")


def test_a_path_is_made_of_a_sid_alone(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="RecordingSid"):
        shelf(tmp_path).path("../secret")
