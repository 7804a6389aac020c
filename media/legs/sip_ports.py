"""Which RTP ports may not serve yet, because their last call ended a moment ago. Pure."""

from __future__ import annotations

from collections import OrderedDict


class PortQuarantine:
    """Remembers the ports of finished calls for a while.

    PJSIP walks through an account's port range in a ring and never looks back, so a port normally returns
    long after its quarantine. When the ring is short for the traffic it may return early: then `is_held`
    says so and the new call is refused rather than given a port on which the last far end may still talk.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._held: OrderedDict[int, float] = OrderedDict()

    def release(self, port: int, now: float) -> None:
        """A call on this port ended."""
        self._held.pop(port, None)
        self._held[port] = now + self._seconds
        self._forget(now)

    def is_held(self, port: int, now: float) -> bool:
        """Whether the port's last call ended less than the quarantine ago."""
        self._forget(now)
        return port in self._held

    def __len__(self) -> int:
        return len(self._held)

    def _forget(self, now: float) -> None:
        while self._held and next(iter(self._held.values())) <= now:
            self._held.popitem(last=False)


def slices(first: int, last: int, parts: int) -> list[tuple[int, int]]:
    """Cut a port range into equal slices as (first even port, width); each account walks its own.

    The width is what PJSIP calls the range: it uses ports `first` to `first + width`, inclusive, in pairs.
    """
    pairs = max(1, (last - first + 1) // 2 // parts)
    return [(first + 2 * pairs * i, 2 * (pairs - 1)) for i in range(parts)]
