"""The HTTP side without a network."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.api.app import create_api
from gateway.api.core.readiness import Probe, Readiness
from gateway.api.parts import ApiParts, CallView, RecordFiles
from gateway.api.settings import ApiSettings

RUNNING: Sequence[CallView] = ({"call_id": "c-1", "caller": "100"}, {"call_id": "c-2", "caller": "200"})


async def works() -> None:
    return None


async def broken() -> None:
    raise RuntimeError("no trunk is registered")


async def nameless() -> None:
    raise RuntimeError


async def stuck() -> None:
    await asyncio.sleep(60)


def get(
    path: str,
    *,
    probes: dict[str, Probe] | None = None,
    folder: Path = Path("none"),
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    parts = ApiParts(
        readiness=Readiness(probes or {}, deadline=0.05),
        metrics=lambda accept: (b"offhook_calls_active 2\n", f"text/plain; asked={accept}"),
        calls=lambda: RUNNING,
        record=RecordFiles(folder).record,
        version="0.1.0",
    )
    api = create_api(parts, ApiSettings())

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=api)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7100") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(ask())


def test_health_says_alive() -> None:
    answer = get("/health", probes={"sip": broken})
    assert answer.status_code == 200
    assert answer.json()["status"] == "healthy"
    assert answer.json()["version"] == "0.1.0"


def test_ready_when_every_part_is() -> None:
    answer = get("/ready", probes={"sip": works, "asr": works})
    assert answer.status_code == 200
    assert answer.json() == {
        "ready": True,
        "checks": [{"name": "sip", "ok": True, "reason": ""}, {"name": "asr", "ok": True, "reason": ""}],
    }


def test_not_ready_names_every_part_that_is_not_and_why() -> None:
    answer = get("/ready", probes={"sip": broken, "asr": works, "tts": stuck, "agents": nameless})
    assert answer.status_code == 503
    reasons = {check["name"]: check["reason"] for check in answer.json()["checks"] if not check["ok"]}
    assert reasons == {
        "sip": "no trunk is registered",
        "tts": "no answer within 0.05 s",
        "agents": "RuntimeError",
    }


def test_metrics_are_given_in_the_format_asked_for() -> None:
    answer = get("/metrics", headers={"Accept": "x/y"})
    assert answer.text == "offhook_calls_active 2\n"
    assert answer.headers["content-type"] == "text/plain; asked=x/y"


def test_running_calls_are_listed_and_shown() -> None:
    assert get("/calls").json() == {"calls": list(RUNNING)}
    assert get("/calls/c-2").json() == RUNNING[1]


def test_a_finished_call_is_read_from_its_record(tmp_path: Path) -> None:
    (tmp_path / "c-9.json").write_text('{"call_id": "c-9", "reason": "no_input"}')
    assert get("/calls/c-9", folder=tmp_path).json() == {"call_id": "c-9", "reason": "no_input"}


@pytest.mark.parametrize("call_id", ["none", "..%2Fsecret", "%2e%2e", "list", "broken", "a" * 200, "ä"])
def test_no_other_file_is_ever_read(tmp_path: Path, call_id: str) -> None:
    (tmp_path / "secret.json").write_text('{"call_id": "secret"}')
    folder = tmp_path / "records"
    folder.mkdir()
    (folder / "list.json").write_text("[1]")
    (folder / "broken.json").write_text("{")
    answer = get(f"/calls/{call_id}", folder=folder)
    assert answer.status_code == 404


def test_an_unknown_call_is_told_by_its_verdict() -> None:
    answer = get("/calls/c-3")
    assert answer.status_code == 404
    assert answer.json() == {
        "error": "CallUnknown",
        "detail": "no call of that id is running or recorded",
        "retryable": False,
    }


def test_pages_from_elsewhere_cannot_ask() -> None:
    answer = get("/calls", headers={"Host": "evil.example"})
    assert answer.status_code == 400
    assert "c-1" not in answer.text


def test_the_description_is_served_without_scripts_from_elsewhere() -> None:
    paths: dict[str, Any] = get("/openapi.json").json()["paths"]
    assert {"/health", "/ready", "/metrics", "/calls", "/calls/{call_id}"} <= set(paths)
    for page in ("/docs", "/redoc"):
        answer = get(page)
        assert answer.status_code == 200
        loaded = re.findall(r"""(?:src|href|url)["']?\s*[=:]\s*["']([^"']+)""", answer.text)
        assert loaded and all(where.startswith("/") for where in loaded), loaded
        for where in loaded:
            assert get(where).status_code == 200, where
