"""Call control over HTTP: placed, looked at, steered, told; who may, and what is answered when not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI

from gateway.keys.key import Scope
from gateway.keys.keyring import Keyring
from media.legs.base import EndReason, LegError
from media.wav import write_wav
from tests.fakes.asr import ScriptedAsr
from tests.fakes.callee import Callee
from tests.fakes.control_api import ControlApi
from tests.fakes.office import BERLIN
from tests.fakes.speech_api import key_of
from tests.virtual_time import run_virtual


def virtual(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    def run() -> None:
        async def main() -> None:
            await test()

        run_virtual(main())

    run.__name__ = test.__name__
    return run


def told(answer: Any, status: int, **body: Any) -> None:
    """The answer is this one."""
    assert answer.status_code == status, answer.text
    found = answer.json()
    assert {name: found.get(name) for name in body} == body


@virtual
async def test_a_call_from_the_order_to_the_record() -> None:
    api = ControlApi(
        Callee(answers=2.0, says=[(1.0, 2.0)], hangs_up=9.0), asr=ScriptedAsr([(1.0, 2.0, "hi")])
    )
    body = {"to": BERLIN, "from": "+4930100", "agent": "desk", "ring_seconds": 20}
    told(await api.post("/v1/calls", body), 201, call_id="call1")
    await asyncio.sleep(1.0)
    calls = (await api.get("/v1/calls")).json()
    assert [(call["call_id"], call["phase"]) for call in calls["calls"]] == [("call1", "ringing")]
    told(await api.get("/v1/calls/call1"), 200, running=True, direction="outbound", called=BERLIN)
    await asyncio.sleep(10.0)
    page = (await api.get("/v1/calls/events?call_id=call1")).json()
    kinds = [event["type"] for event in page["events"]]
    assert kinds[0] == "call.began" and kinds[-1] == "call.ended" and page["missed"] == 0
    assert "call.words" not in kinds
    rest = (await api.get(f"/v1/calls/events?after={page['events'][-2]['id']}")).json()
    assert [event["type"] for event in rest["events"]] == ["call.ended"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "to"),
        ({"to": ""}, "to"),
        ({"to": BERLIN, "agent": "nobody"}, "agent"),
        ({"to": BERLIN, "route": "nowhere"}, "route"),
        ({"to": BERLIN, "route": "desk", "say": "hello"}, "say"),
        ({"to": BERLIN, "ring_seconds": 0}, "ring_seconds"),
        ({"to": BERLIN, "ring": 5}, "ring"),
        ({"to": BERLIN, "detection": {"mode": "maybe"}}, "detection.mode"),
    ],
)
def test_what_is_wrong_is_named(body: dict[str, Any], field: str) -> None:
    async def main() -> None:
        api = ControlApi(Callee())
        answer = await api.post("/v1/calls", body)
        told(answer, 422, field=field, code="RequestUnfit", request_id="request-1")
        assert api.office.network.dialled == []

    run_virtual(main())


@virtual
async def test_denied_failed_full() -> None:
    api = ControlApi(Callee(), at_once=1)
    told(await api.post("/v1/calls", {"to": "+19005551234"}), 403, code="DialDenied", reason="premium")
    told(await api.post("/v1/calls", {"to": BERLIN, "trunk": "other"}), 403, reason="no_rule")
    api.office.network.error = LegError("no transport", sip_code=503)
    told(await api.post("/v1/calls", {"to": BERLIN}), 502, code="DialFailed", sip_code=503)
    api.office.network.error = None
    told(await api.post("/v1/calls", {"to": BERLIN}), 201)
    full = await api.post("/v1/calls", {"to": BERLIN})
    told(full, 429, reason="at_once")
    assert full.headers["retry-after"] == "10"
    await api.office.desk.registry.drain(0.0)
    drained = await api.post("/v1/calls", {"to": BERLIN})
    told(drained, 503, code="Draining")
    assert "retry-after" in drained.headers


@virtual
async def test_one_key_one_call_as_field_or_header() -> None:
    api = ControlApi(Callee())
    told(await api.post("/v1/calls", {"to": BERLIN}, idempotency_key="a"), 201, call_id="call1")
    told(await api.post("/v1/calls", {"to": BERLIN, "idempotency_key": "a"}), 201, call_id="call1")
    told(
        await api.post("/v1/calls", {"to": "+4930901821"}, idempotency_key="a"), 422, field="idempotency_key"
    )


@virtual
async def test_orders_are_obeyed_and_told() -> None:
    callee = Callee(answers=1.0)
    api = ControlApi(callee)
    await api.post("/v1/calls", {"to": BERLIN})
    told(await api.post("/v1/calls/call1/say", {"text": "early"}), 409, code="OrderRefused")
    await asyncio.sleep(1.5)
    told(await api.post("/v1/calls/call1/say?wait=0", {"text": "one two three four five"}), 202, done=False)
    told(await api.post("/v1/calls/call1/clear"), 200, done=True)
    told(await api.post("/v1/calls/call1/say?wait=30", {"text": "hello"}), 200, done=True)
    told(await api.post("/v1/calls/call1/digits", {"digits": "12w#"}), 200, done=True)
    assert callee.digits == "12#"
    told(await api.post("/v1/calls/call1/digits", {"digits": "12x"}), 422, field="digits")
    told(await api.post("/v1/calls/call1/hold"), 200, done=True)
    told(await api.get("/v1/calls/call1"), 200, held_by_us=True)
    told(await api.post("/v1/calls/call1/unhold"), 200, done=True)
    told(await api.post("/v1/calls/call1/transfer", {"to": BERLIN}), 409, sip_code=501)
    told(await api.post("/v1/calls/call1/transfer", {"to": "+19005551234"}), 403, reason="premium")
    told(await api.post("/v1/calls/call1/bridge", {}), 422, field="to")
    told(await api.post("/v1/calls/call1/transfer-attended", {"call_id": "none"}), 404)
    told(await api.post("/v1/calls/call1/route", {"agent": "desk"}), 200, done=True)
    await asyncio.sleep(0.5)
    told(await api.get("/v1/calls/call1"), 200, agent="desk")
    told(await api.post("/v1/calls/call1/hangup", {"cause": 17}), 200, done=True)
    await api.office.desk.until_idle()
    assert api.office.desk.keeper.records[0].end_reason is EndReason.API_HUNG_UP
    told(await api.post("/v1/calls/call1/hangup"), 404, code="CallUnknown")
    orders = [kind for kind in api.office.desk.story("call1") if "order" in kind]
    assert orders.count("call.order_refused") == 3 and orders.count("call.order_done") == 8


@virtual
async def test_a_call_has_only_so_many_orders_under_way() -> None:
    api = ControlApi(Callee(answers=1.0))
    await api.post("/v1/calls", {"to": BERLIN})
    await asyncio.sleep(1.5)
    for _ in range(3):
        told(await api.post("/v1/calls/call1/say?wait=0", {"text": "many words " * 50}), 202)
    told(await api.post("/v1/calls/call1/say?wait=0", {"text": "more"}), 429, code="LimitReached")


def test_sounds_are_those_of_the_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "sounds" / "sub").mkdir(parents=True)
    tone = (np.sin(np.arange(1600)) * 8000).astype(np.int16)
    for path in ("sounds/beep.wav", "sounds/sub/low.wav", "secret.wav"):
        write_wav(tmp_path / path, tone, 8000)
    (tmp_path / "sounds" / "notes.txt").write_text("no sound")
    (tmp_path / "sounds" / "link.wav").symlink_to(tmp_path / "secret.wav")

    async def main() -> None:
        callee = Callee(answers=0.05)
        api = ControlApi(callee, folder=tmp_path)
        await api.post("/v1/calls", {"to": BERLIN})
        await asyncio.sleep(0.2)
        for name in ("../secret.wav", "/etc/passwd", "link.wav", "notes.txt", ".", "..", "none.wav", "sub",
                     "sub/../../secret.wav", "a\0b.wav"):  # fmt: skip
            told(await api.post("/v1/calls/call1/play", {"file": name}), 422, field="file")
        told(await api.post("/v1/calls/call1/play", {}), 422, field="file")
        for name in ("beep.wav", "sub/low.wav"):
            told(await api.post("/v1/calls/call1/play?wait=10", {"file": name}), 200, done=True)
        assert len(callee.playout.heard) >= 20
        told(await api.post("/v1/calls/call1/play", {"url": "http://127.0.0.1:1/x.wav"}), 422, field="url")
        await api.post("/v1/calls/call1/hangup")

    asyncio.run(main())


def with_keys(tmp_path: Path) -> tuple[Keyring, Callable[..., dict[str, str]]]:
    keyring = Keyring(tmp_path / "keys.json")

    def header(*scopes: Scope) -> dict[str, str]:
        return {"authorization": f"Bearer {key_of(keyring, scopes)}"}

    return keyring, header


def test_keys_and_scopes(tmp_path: Path) -> None:
    keyring, header = with_keys(tmp_path)

    async def main() -> None:
        api = ControlApi(Callee(), keyring=keyring)
        looks, steers, hears = header(Scope.CALLS), header(Scope.CONTROL), header(Scope.CALLS, Scope.WORDS)
        place = {"to": BERLIN}
        told(await api.post("/v1/calls", place), 401, code="KeyRefused")
        told(await api.ask("POST", "/v1/calls", place, looks), 403, code="ScopeRefused")
        told(await api.ask("POST", "/v1/calls", place, steers), 201)
        told(await api.ask("GET", "/v1/calls", None, steers), 403)
        told(await api.ask("GET", "/v1/calls", None, looks), 200)
        told(await api.ask("GET", "/v1/calls/events?words=true", None, looks), 403, code="ScopeRefused")
        told(await api.ask("GET", "/v1/calls/events?words=true", None, hears), 200)
        told(await api.ask("POST", "/v1/calls/call1/hangup", None, looks), 403)
        told(await api.ask("POST", "/v1/calls/call1/hangup", None, steers), 200)

    run_virtual(main())


def test_a_record_shows_words_to_whoever_may_hear(tmp_path: Path) -> None:
    keyring, header = with_keys(tmp_path)
    turn = {"number": 1, "said": "my name", "reply": "yes", "heard": "yes", "dtmf": "12", "turn_ms": 500}
    (tmp_path / "old1.json").write_text(json.dumps({"call_id": "old1", "turns": [turn]}))

    async def main() -> None:
        api = ControlApi(Callee(), keyring=keyring, folder=tmp_path)
        seen = (await api.ask("GET", "/v1/calls/old1", None, header(Scope.CALLS))).json()
        assert seen["turns"] == [{"number": 1, "turn_ms": 500}] and seen["running"] is False
        heard = (await api.ask("GET", "/v1/calls/old1", None, header(Scope.CALLS, Scope.WORDS))).json()
        assert heard["turns"] == [turn]

    asyncio.run(main())


def test_finished_calls_are_found_by_what_they_were(tmp_path: Path) -> None:
    keyring, header = with_keys(tmp_path)
    turn = {"number": 1, "said": "my name", "turn_ms": 500}
    lines = [
        {"call_id": f"c{n}", "started": f"2026-03-0{n}T10:00:00.000+00:00", "route": "desk", "turns": [turn],
         "parties": {"caller": "100", "called": "200"}, "end_reason": "caller_hung_up"}
        for n in range(1, 5)
    ]  # fmt: skip
    (tmp_path / "calls.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    (tmp_path / "c1.json").write_text(json.dumps(lines[0]))
    (tmp_path / "c1.wav").write_bytes(b"RIFF")

    async def main() -> None:
        api = ControlApi(Callee(), keyring=keyring, folder=tmp_path)
        looks, hears = header(Scope.CALLS), header(Scope.CALLS, Scope.WORDS)
        page = (await api.ask("GET", "/v1/calls/records?most=2", None, looks)).json()
        assert [one["call_id"] for one in page["records"]] == ["c4", "c3"]
        assert page["records"][0]["turns"] == [{"number": 1, "turn_ms": 500}]
        more = f"/v1/calls/records?cursor={page['cursor']}&from=2026-03-01T09:00:00Z&to=2026-03-02T10:00:00Z"
        found = (await api.ask("GET", more, None, hears)).json()
        assert [one["call_id"] for one in found["records"]] == ["c1"] and found["records"][0]["turns"] == [
            turn
        ]
        told(await api.ask("GET", "/v1/calls/records?cursor=x", None, looks), 422, field="cursor")
        told(await api.ask("GET", "/v1/calls/records?from=soon", None, looks), 422, field="from")
        told(await api.ask("GET", "/v1/calls/records", None), 401)
        told(await api.ask("GET", "/v1/calls/c1/record", None, looks), 200, call_id="c1")
        told(await api.ask("GET", "/v1/calls/c9/record", None, looks), 404)
        told(await api.ask("GET", "/v1/calls/c1/recording", None, looks), 403)
        sound = await api.ask("GET", "/v1/calls/c1/recording", None, hears)
        assert sound.status_code == 200 and sound.content == b"RIFF"
        told(await api.ask("GET", "/v1/calls/c2/recording", None, hears), 404)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"origin": "http://127.0.0.1:7100"}, 201),
        ({"origin": "http://localhost:3000"}, 201),
        ({"sec-fetch-site": "same-origin"}, 201),
        ({}, 201),
    ],
)
def test_pages_of_other_sites_place_no_calls(headers: dict[str, str], status: int) -> None:
    async def main() -> None:
        api = ControlApi(Callee())
        assert (await api.ask("POST", "/v1/calls", {"to": BERLIN}, headers)).status_code == status
        assert len(api.office.network.dialled) == (status == 201)
        socket = api.subscribe(headers=list(headers.items()))
        await asyncio.sleep(0.1)
        assert socket.status == (403 if status == 403 else 0)
        if not socket.status:
            await socket.leave()

    run_virtual(main())


@virtual
async def test_a_subscriber_sees_all_in_order_and_goes_on_where_he_left() -> None:
    api = ControlApi(Callee())
    log = api.office.desk.events
    socket = api.subscribe("words=true")
    await asyncio.sleep(0.1)
    assert socket.got == [{"type": "hello", "cursor": "e-0"}]
    for number in range(3):
        log.append("call.test", "c", {"n": number})
    log.append("call.words", "c", private={"text": "hello"}, only_private=True)
    await asyncio.sleep(0.1)
    assert [event["data"] for event in socket.got[1:]] == [{"n": 0}, {"n": 1}, {"n": 2}, {"text": "hello"}]
    last = socket.got[2]["id"]
    await socket.leave()
    assert api.parts.subscribers.now == 0
    again = api.subscribe(f"after={last}&types=call.test")
    await asyncio.sleep(0.1)
    assert [event["data"] for event in again.got[1:]] == [{"n": 2}]
    await again.leave()


@virtual
async def test_what_was_missed_is_told_and_who_reads_nothing_is_cut_off() -> None:
    api = ControlApi(Callee())
    log = api.office.desk.events
    for number in range(1200):
        log.append("call.test", "c", {"n": number})
    late = api.subscribe("after=start")
    await asyncio.sleep(0.1)
    assert late.got[1] == {"type": "gap", "missed": 200, "restarted": False, "cursor": "e-700"}
    assert late.got[2]["data"] == {"n": 200} and late.got[-1]["data"] == {"n": 1199}
    await late.leave()
    reborn = api.subscribe("after=f-7")
    await asyncio.sleep(0.1)
    assert reborn.got[1]["type"] == "gap" and reborn.got[1]["restarted"] is True
    await reborn.leave()
    slow = api.subscribe()
    await asyncio.sleep(0.1)
    slow.reads.clear()
    log.append("call.test", "c")
    await asyncio.sleep(6.0)
    assert slow.closed == 1013 and slow.task.done()
    assert api.parts.subscribers.stats() == {"now": 0.0, "gaps": 2.0, "slow": 1.0}


@virtual
async def test_there_are_only_so_many_subscribers_and_wrong_cursors_are_named() -> None:
    api = ControlApi(Callee())
    first, second, third = (api.subscribe() for _ in range(3))
    await asyncio.sleep(0.1)
    assert (first.status, second.status, third.status) == (0, 0, 429)
    await first.leave()
    await second.leave()
    wrong = api.subscribe("after=nonsense")
    await asyncio.sleep(0.1)
    assert wrong.status == 422
    told(await api.get("/v1/calls/events?after=nonsense"), 422, field="after")


@virtual
async def test_server_sent_events() -> None:
    api = ControlApi(Callee())
    api.office.desk.events.append("call.test", "c", {"n": 1})
    api.office.desk.events.append("call.test", "c", {"n": 2})
    sent, left = await streamed(api.app, "e-1")
    text = sent.decode()
    assert "id: e-2\nevent: call.test\ndata: {" in text and '"n":1' not in text
    assert left and api.parts.subscribers.now == 0


async def streamed(app: FastAPI, last_id: str) -> tuple[bytes, bool]:
    """What a client that goes away after a second was sent."""
    sent: list[bytes] = []
    leave = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await leave.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))

    path = b"/v1/calls/events"
    headers = [(b"host", b"127.0.0.1:7100"), (b"accept", b"text/event-stream"),
               (b"last-event-id", last_id.encode())]  # fmt: skip
    scope = {
        "type": "http", "method": "GET", "path": path.decode(), "raw_path": path, "query_string": b"",
        "headers": headers, "scheme": "http", "server": ("127.0.0.1", 7100), "client": ("127.0.0.1", 1),
        "root_path": "", "state": {}, "http_version": "1.1",
    }  # fmt: skip
    task = asyncio.get_running_loop().create_task(app(scope, receive, send))
    await asyncio.sleep(1.0)
    leave.set()
    await asyncio.wait({task}, timeout=1.0)
    return b"".join(sent), task.done()


@virtual
async def test_draining_takes_no_new_calls_and_lets_the_old_ones_finish() -> None:
    api = ControlApi(Callee(answers=1.0, hangs_up=20.0))
    await api.post("/v1/calls", {"to": BERLIN})
    told(await api.get("/v1/drain"), 200, draining=False, calls=1, streams=0)
    told(await api.post("/v1/drain"), 202)
    await asyncio.sleep(1.5)
    told(await api.get("/v1/drain"), 200, draining=True, calls=1)
    told(await api.post("/v1/calls", {"to": BERLIN}), 503, code="Draining")
    told(await api.post("/v1/calls/call1/digits", {"digits": "1"}), 200)
    await asyncio.sleep(20.0)
    told(await api.get("/v1/drain"), 200, draining=True, calls=0)
    assert await api.drained == 0


def test_every_address_is_described() -> None:
    async def main() -> None:
        described = ControlApi(Callee()).app.openapi()["paths"]
        moves = ("say", "play", "clear", "digits", "mute", "hold", "unhold", "transfer", "transfer-attended",
                 "bridge", "route", "hangup")  # fmt: skip
        for move in moves:
            assert described[f"/v1/calls/{{call_id}}/{move}"]["post"]["description"]
        assert "409" in described["/v1/calls/{call_id}/transfer"]["post"]["responses"]

    run_virtual(main())
