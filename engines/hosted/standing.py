"""How a hosted service stands with us, for all calls of this process, and what its answers mean."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog
from pydantic_core import from_json

from engines.base import EngineBusy, EngineError, EngineFailed, EngineRefused, EngineTimeout
from media.clock import now

log = structlog.get_logger(__name__)

_LONGEST_HOLD = 300.0
"""Seconds that a service may ask us to stay away."""
_REFUSAL_HOLD = 30.0
"""Seconds before a key that was refused is tried again: it may be renewed."""
_TOLD = 200
"""Characters of a service's own words in our message."""


class Standing:
    """Remembers that the service is down, full or refuses our key: no call waits to learn it again."""

    def __init__(self, name: str, hold_off: float) -> None:
        self._name = name
        self._hold_off = hold_off
        self._error: EngineError | None = None
        self._until = 0.0

    @property
    def down(self) -> str:
        """Why the service is known not to serve, or ""."""
        return str(self._error) if self._error is not None and now() < self._until else ""

    def check(self) -> None:
        """Raises what the service last said, while that holds."""
        if self._error is not None and now() < self._until:
            raise type(self._error)(str(self._error))

    def good(self) -> None:
        """It serves."""
        if self._error is not None:
            log.info("hosted service serves again", service=self._name)
        self._error = None

    def bad(self, error: EngineError, seconds: float | None = None) -> None:
        """It does not; `seconds` as it said itself, else as usual for such an error."""
        usual = _REFUSAL_HOLD if isinstance(error, EngineRefused) else self._hold_off
        if self._error is None:
            log.warning("hosted service does not serve", service=self._name, why=str(error))
        self._error = error
        self._until = now() + min(usual if seconds is None else seconds, _LONGEST_HOLD)


def error_of(name: str, status: int, headers: Mapping[str, str], body: bytes, key: str) -> EngineError:
    """An HTTP status other than success as an error; the text never holds the key.

    What a service says of a refused key is left out: some repeat part of it.
    """
    said = "" if status in (401, 403) else _said(headers, body, key)
    told = f"{name} answered {status}{': ' if said else ''}{said}"
    if status == 401:
        return EngineRefused(f"{told}; api_key: is missing, wrong or expired")
    if status == 403:
        return EngineRefused(f"{told}; api_key: may not do this")
    if status == 429 and "insufficient_quota" in said:
        return EngineRefused(f"{told}; the account has no credit")
    if status in (429, 503):
        return EngineBusy(told)
    if status in (408, 504):
        return EngineTimeout(told)
    if 400 <= status < 500:
        return EngineRefused(told)
    return EngineFailed(told)


def concerns_all(status: int) -> bool:
    """Whether the answer would be the same for every call: the key, the account, the load, the server."""
    return status in (401, 402, 403, 429) or status >= 500


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the service asks us to wait; dates are passed over."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < 86_400 else None


def parsed(text: str | bytes) -> dict[str, object] | None:
    """A JSON object, or None for anything else; safe for nesting of any depth."""
    try:
        told = from_json(text)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def _said(headers: Mapping[str, str], body: bytes, key: str) -> str:
    told = parsed(body) or {}
    inner = told.get("error")
    if isinstance(inner, dict):
        said = f"{inner.get('code') or ''} {inner.get('message') or ''}"
    else:
        said = str(told.get("err_msg") or told.get("message") or inner or headers.get("dg-error") or "")
    said = " ".join(said.split())
    return (said.replace(key, "••••") if key else said)[:_TOLD]


async def ended(task: asyncio.Task[None] | None) -> None:
    """Cancel the task and wait until it is gone."""
    if task is not None and task is not asyncio.current_task():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
