"""Whether each part could serve now."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Probe: TypeAlias = Callable[[], Awaitable[None]]
"""Returns when its part could serve a call now; raises with the reason when not."""


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
