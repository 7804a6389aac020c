"""What the call-control API is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway.api.core.door import Door
from gateway.api.parts import CallView
from gateway.audio.files import AudioFiles
from gateway.calls.registry import CallRegistry
from gateway.control.event_log import EventLog
from gateway.control.event_settings import EventSettings
from gateway.control.order_desk import OrderDesk
from gateway.control.originate import Originator
from gateway.control.settings import ControlSettings
from gateway.dialplan.plan import Dialplan
from gateway.errors import LimitReached
from gateway.record_archive import RecordArchive


@dataclass(slots=True)
class Subscribers:
    """Who reads events now, and what became of slow ones. A context manager for one more."""

    most: int
    now: int = 0
    slow: int = 0
    gaps: int = 0

    def __enter__(self) -> None:
        """Raises `LimitReached`."""
        if self.now >= self.most:
            raise LimitReached(f"there are {self.most} subscribers already", retry_after=5)
        self.now += 1

    def __exit__(self, *_: object) -> None:
        self.now -= 1

    def stats(self) -> dict[str, float]:
        """Subscribers now; gaps that were told; subscribers that were cut off."""
        return {"now": float(self.now), "gaps": float(self.gaps), "slow": float(self.slow)}


@dataclass(frozen=True, slots=True)
class CallControl:
    """One per node."""

    door: Door
    new_id: Callable[[], str]
    originator: Originator
    orders: OrderDesk
    registry: CallRegistry
    plan: Callable[[], Dialplan]
    agents: Callable[[], Sequence[str]]
    """Names of the configured agents."""
    live: Callable[[], Sequence[CallView]]
    record: Callable[[str], Awaitable[CallView | None]]
    archive: RecordArchive
    events: EventLog
    settings: ControlSettings
    event_settings: EventSettings
    subscribers: Subscribers
    files: AudioFiles
    begin_drain: Callable[[], None]
    """Start draining the node; idempotent, returns at once."""
    allowed_hosts: Sequence[str]
    """Hosts whose pages may use this API from a browser; `*` for any."""
