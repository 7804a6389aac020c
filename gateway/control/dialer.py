"""How any part of the gateway calls somebody: behind the guard against toll fraud, never past it.

An operator over REST, a transfer that bridges, a dialplan and TwiML's `<Dial>` all use this one door.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from media.legs.base import Leg, LegListener, LegRinging, TransferAsked

RING_SECONDS = 30.0
"""How long the far end may ring where nobody says."""
LONGEST_RING = 180.0


class Dialer(Protocol):
    """Places calls that the rules allow."""

    async def dial(
        self,
        target: str,
        *,
        trunk: str = "",
        caller: str = "",
        ring_seconds: float = RING_SECONDS,
        on_ringing: Callable[[LegRinging], None] | None = None,
    ) -> Leg:
        """Call somebody; returns once he answered, with a leg that nobody is attached to.

        `target`: a number, or a SIP or tel URI. `trunk`: "" takes the only one whose rules allow the target.
        `caller`: the number to show; "" the trunk's own. `ring_seconds`: 1 to 180. `on_ringing` is told, on
        the loop's thread, that the far end rings. Whoever attaches himself is told `LegAnswered` and what
        else happened so far, and hears at most the last two seconds. Cancelling the wait gives the call up.

        Raises `DialDenied` when a rule or a limit forbids it, and `DialFailed` with the far end's answer when
        it was busy, did not answer, or refused.
        """


class PlacedLeg(Leg, Protocol):
    """A leg that more than one may listen to: who placed it wants to know when it ends."""

    def watch(self, listener: LegListener) -> None:
        """Let somebody hear and notice everything too, whoever is attached; what waits comes first."""


class Placer(Protocol):
    """A network in which calls can be placed, without asking whether they may; `SipEndpoint` is one."""

    async def dial(
        self,
        uri: str,
        *,
        trunk: str,
        caller: str = "",
        headers: Sequence[tuple[str, str]] = (),
        replaces: str = "",
    ) -> PlacedLeg:
        """Place a call; returns while it is set up. Raises `LegError`.

        `headers` are added to the request; `replaces` names the dialog that it shall replace (RFC 3891).
        """


class TransferGuard(Protocol):
    """Whether somebody may be sent somewhere by REFER. Denied until a rule allows it."""

    def may_send(self, target: str, *, trunk: str) -> None:
        """We would send a far end of this trunk there. Raises `DialDenied`, counted and logged."""

    def may_be_asked(self, target: str, *, trunk: str) -> None:
        """A far end of this trunk asks us to call there (inbound REFER). Raises as `may_send`."""

    def may_be_asked_here(self, target: str, *, trunk: str) -> None:
        """The same, for a number of our own dialplan. Raises as `may_send`."""

    async def dial_asked(
        self, asked: TransferAsked, *, trunk: str, on_ringing: Callable[[LegRinging], None]
    ) -> Leg:
        """Place the call that a far end of this trunk asked for; it counts as any other.

        Promises and errors are those of `Dialer.dial`. The request says who asked (Referred-By), and which
        call of the target's it replaces (attended).
        """
