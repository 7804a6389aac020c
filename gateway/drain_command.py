"""`offhook drain`: has a running node take no new calls, and waits until the running ones are over."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx

from gateway.config import Config
from gateway.errors import PartFailed

_EVERY = 1.0


def drain(config: Config, key: str, tell: Callable[[str], None], base: str = "") -> bool:
    """Returns whether all was over within `node.drain_seconds` and a little. Raises `PartFailed`."""
    api = config.api
    host = "127.0.0.1" if api.host in ("0.0.0.0", "::") else f"[{api.host}]" if ":" in api.host else api.host
    address = f"{base or f'http://{host}:{api.port}'}/v1/drain"
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    until = time.monotonic() + config.node.drain_seconds + 5.0
    found = _asked("POST", address, headers)
    while found["calls"] or found["streams"]:
        tell(f"{found['calls']} calls and {found['streams']} streams are left")
        if time.monotonic() > until:
            return False
        time.sleep(_EVERY)
        found = _asked("GET", address, headers)
    return True


def _asked(method: str, address: str, headers: dict[str, str]) -> dict[str, Any]:
    try:
        answer = httpx.request(method, address, headers=headers, timeout=5.0)
    except httpx.HTTPError as error:
        raise PartFailed(f"no node answers at {address}: {error}; start one, or give --url") from None
    if answer.status_code // 100 != 2:
        told = answer.json().get("error", "") if "json" in answer.headers.get("content-type", "") else ""
        raise PartFailed(
            f"the node refused with {answer.status_code}: {told}; --key wants the scope `control`"
        )
    body: dict[str, Any] = answer.json()
    return body
