"""What the HTTP side needs of the rest, and nothing more."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

CallView: TypeAlias = Mapping[str, Any]
"""A call as the API tells it; holds at least `call_id`."""

Probe: TypeAlias = Callable[[], Awaitable[None]]
"""Returns when its part could serve a call now; raises with the reason when not."""

_CALL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


@dataclass(frozen=True, slots=True)
class Check:
    """One part's readiness."""

    name: str
    ok: bool
    reason: str = ""
    """Why not, in words an operator can use; "" when ready."""


class Readiness:
    """Asks every part at once whether a call would work now; who does not answer in time is not ready."""

    def __init__(self, probes: Mapping[str, Probe], *, deadline: float) -> None:
        self._probes = dict(probes)
        self._deadline = deadline

    async def checks(self) -> Sequence[Check]:
        """One check per part, in the order in which they were given."""
        return await asyncio.gather(*(self._check(name, probe) for name, probe in self._probes.items()))

    async def _check(self, name: str, probe: Probe) -> Check:
        try:
            async with asyncio.timeout(self._deadline):
                await probe()
        except TimeoutError:
            return Check(name, False, f"no answer within {self._deadline:g} s")
        except Exception as error:
            return Check(name, False, str(error) or type(error).__name__)
        return Check(name, True)


class RecordFiles:
    """Finished calls, read from the folder where their records (`<call id>.json`) lie."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def record(self, call_id: str) -> CallView | None:
        """The record of a finished call, or None."""
        if not _CALL_ID.fullmatch(call_id):
            return None
        return await asyncio.to_thread(self._read, call_id)

    def _read(self, call_id: str) -> CallView | None:
        try:
            record = json.loads((self._folder / f"{call_id}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) else None


@dataclass(frozen=True, slots=True)
class ApiParts:
    """What the endpoints ask."""

    readiness: Readiness
    metrics: Callable[[str], tuple[bytes, str]]
    """The metrics' text for an Accept header, and its content type."""
    calls: Callable[[], Sequence[CallView]]
    """Running calls."""
    record: Callable[[str], Awaitable[CallView | None]]
    """A finished call's record."""
    version: str = ""
