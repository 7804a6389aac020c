"""One part of a call that has the leg for itself: an announcement, a gather, a conversation, a bridge.

A call is a sequence of stages (`gateway/route_run.py` runs them). The leg, the record and the numbering of
replies belong to the call; a stage borrows them, and gives them back when it is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from gateway.calls.orders import Order
from media.legs.base import EndReason


@dataclass(frozen=True, slots=True)
class CallOver:
    """The call ends here, for this reason; the leg may still have to be hung up."""

    reason: EndReason
    cause: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """The stage did what it was for; the route's next action follows."""


@dataclass(frozen=True, slots=True)
class Leave:
    """The stage makes room for something that it cannot do itself; the leg is up, and silent."""

    order: Order


StageEnd: TypeAlias = CallOver | Done | Leave


class Stage(Protocol):
    """Attaches itself to the leg, works, and says how it ended."""

    async def run(self) -> StageEnd:
        """From the first frame to the last. Raises nothing that the call could survive."""

    def hang_up(self, reason: EndReason) -> None:
        """The call shall end; `run` returns soon. Returns at once."""

    def leave(self, order: Order) -> None:
        """Make room for this order: `run` soon returns `Leave` with it. Returns at once."""

    async def obey(self, order: Order) -> None:
        """Do what is asked while the stage lasts. Raises `OrderRefused` for what it cannot do."""
