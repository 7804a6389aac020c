"""Our node's API as an operator uses it beside an exchange."""

from __future__ import annotations

from typing import Any

import httpx

from tests.live.gateway.node import Node, eventually


def place(node: Node, to: str, **body: Any) -> str:
    """Place a call; its id."""
    answer = httpx.post(f"{node.api}/v1/calls", json={"to": to, **body}, timeout=20.0)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["call_id"])


def order(node: Node, call_id: str, what: str, **body: Any) -> httpx.Response:
    """Order something of a running call."""
    return httpx.post(f"{node.api}/v1/calls/{call_id}/{what}", json=body or None, timeout=40.0)


def events(node: Node, call_id: str, kind: str) -> list[dict[str, Any]]:
    """Every event of this kind so far."""
    told = node.get(f"/v1/calls/events?call_id={call_id}").json()["events"]
    return [one for one in told if one["type"] == kind]


def event(node: Node, call_id: str, kind: str, seconds: float = 10.0, **data: Any) -> dict[str, Any]:
    """The first event of this kind with these data, once it came; its data."""

    def seen() -> dict[str, Any]:
        for one in events(node, call_id, kind):
            if data.items() <= one["data"].items():
                found: dict[str, Any] = one["data"]
                return found
        raise AssertionError(f"no {kind} {data} of {call_id}")

    return eventually(seen, seconds)


def running(node: Node, caller: str) -> str:
    """The id of this caller's running call, once it is there."""

    def there() -> str:
        found = [call["call_id"] for call in node.calls() if call["caller"] == caller]
        assert found, node.calls()
        return str(found[0])

    return eventually(there)


def said(node: Node, call_id: str) -> str:
    """What a call's record has the far end say, once it is over."""

    def finished() -> dict[str, Any]:
        record: dict[str, Any] = node.get(f"/v1/calls/{call_id}").json()
        assert record.get("running") is False, record
        return record

    return " ".join(turn["said"] for turn in eventually(finished, 20.0)["turns"])
