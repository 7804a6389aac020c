"""The SIP endpoint of a process, seen from the event loop."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

import framebus
import pjsua2
import structlog

from media.legs.base import Direction, EndReason, Leg, LegError, Parties
from media.legs.frame_reader import FrameReader
from media.legs.sip import LegState, SipLeg
from media.legs.sip_call import Header, SipCall
from media.legs.sip_ends import EndedBy
from media.legs.sip_facts import Ended, Fact, Incoming
from media.legs.sip_identity import header_problem
from media.legs.sip_machine import Dial, Outlet, SipMachine
from media.legs.sip_messages import user_part
from media.legs.sip_referral import is_dialog
from media.legs.sip_settings import SipSettings, SipTransport
from media.legs.sip_thread import SipThread, WakeUps
from media.legs.sip_trunks import TrunkTable, dial_refusal, target_uri
from media.vad import VoiceDetector

T = TypeVar("T")
log = structlog.get_logger(__name__)

_LONGEST_RING_S = 600.0
_DRAIN_S = 3.0
"""How long `aclose` waits for the closing of calls before it stops the stack under them."""


class SipEndpoint:
    """Accepts and places calls. One per process, because PJSIP is one per process."""

    def __init__(
        self,
        settings: SipSettings,
        on_call: Callable[[Leg], None],
        voice: VoiceDetector,
        loop: asyncio.AbstractEventLoop,
        *,
        registers: bool = True,
    ) -> None:
        """`registers`: whether trunks register where they are told to; not for a process that only dials."""
        self.settings = settings
        self.registrations: dict[str, int] = {}
        """Last answer code of each registering trunk's registrar."""
        self._accept = on_call
        self._trunks = TrunkTable(settings.trunks)
        self._bus = framebus.FrameBus(max_legs=settings.max_calls + 64)
        self._reader = FrameReader(self._bus, framebus.FRAME_DTYPE, voice, loop)
        self._legs: dict[int, SipLeg] = {}
        outlet = Outlet(self._tell_incoming, self._tell_fact, self._tell_registration)
        self._machine = SipMachine(settings, self._bus, outlet, registers=registers)
        self._thread = SipThread(self._machine, self._bus.wakeup, loop)
        self._empty = asyncio.Event()
        self._empty.set()

    async def start(self) -> None:
        """Open the sockets, register, and take calls. Raises `LegError` with the cure in its text."""
        await self._thread.start()
        self._reader.start()
        log.info("sip endpoint is up", **{f"{name}_port": port for name, port in self.ports.items()})

    def drain(self) -> None:
        """Answer OPTIONS with 503 from now on, so that load balancers send their calls elsewhere."""
        self._machine.drain()

    async def aclose(self) -> None:
        """End every call with 503 or BYE, stop the stack, free everything. Idempotent."""
        for leg in list(self._legs.values()):
            await leg.hangup(EndReason.DRAINED)
        try:
            await asyncio.wait_for(self._empty.wait(), _DRAIN_S)
        except TimeoutError:
            log.warning("calls outlived the drain", calls=len(self._legs))
        await self._thread.stop()
        await asyncio.sleep(0)
        for key, leg in list(self._legs.items()):
            leg.fact(Ended(EndedBy.US, 503, "the endpoint was closed"))
            self._forget(key, leg)
        await self._reader.aclose()

    async def dial(
        self,
        target: str,
        *,
        trunk: str,
        caller: str = "",
        headers: Sequence[Header] = (),
        ring: float = 0.0,
        replaces: str = "",
    ) -> SipLeg:
        """Call a number or SIP URI through this trunk and no other; returns while it is set up.

        `LegRinging`, then `LegAnswered` or `LegClosed` follow. `ring` is how many seconds (1 to 600) it may
        take until it is answered: then it is cancelled, and closed as not answered; 0 waits as long as the
        far end lets it ring. `headers` are added to the INVITE, but for those that the stack writes itself.
        `replaces` names a dialog of the far end whose place ours shall take (RFC 3891); a far end that does
        not know how refuses with 420.
        Raises `LegError` when the trunk is unknown (404) or may not dial this (403), when the node is full
        (503), and for arguments that are none (400).
        """
        settings = self._trunks.named(trunk)
        if settings is None:
            raise LegError(f"there is no trunk named {trunk!r}", sip_code=404)
        try:
            uri = target_uri(settings, target) if settings.outbound else target
        except ValueError as error:
            raise LegError(str(error), sip_code=400) from None
        if problem := dial_refusal(settings, uri):
            self._machine.refuse("dial_forbidden")
            raise LegError(problem, sip_code=403)
        if problem := _argument_problem(caller, headers, ring):
            raise LegError(problem, sip_code=400)
        if replaces and not is_dialog(replaces):
            raise LegError("replaces names no dialog", sip_code=400)
        taking = [("Replaces", replaces), ("Require", "replaces")] if replaces else []
        parties = Parties(caller, user_part(uri), settings.name)
        made: list[SipLeg] = []

        def add(key: int, bus_leg: int) -> None:
            made.append(self._add(key, bus_leg, Direction.OUTBOUND, parties))

        def placed(key: int, bus_leg: int) -> None:
            self._thread.tell(add, key, bus_leg)

        order = Dial(uri, settings, caller, (*headers, *taking))
        await self._thread.run(lambda: self._machine.dial(order, placed))
        leg = made[0]  # `run` comes back through the same queue as `add`, and after it
        leg.give_up_after(ring)
        return leg

    async def ping(self) -> None:
        """Return once the SIP thread has done something for us: it is alive and takes commands."""
        await self._thread.run(lambda: None)

    @property
    def ports(self) -> dict[SipTransport, int]:
        """Ports really bound, by transport."""
        return dict(self._machine.ports)

    @property
    def wake_ups(self) -> WakeUps:
        """Time from a command of the loop to its start on the SIP thread."""
        return self._thread.wake_ups

    @property
    def refusals(self) -> Counter[str]:
        """Requests turned away, by reason."""
        return self._machine.refusals

    def counts(self) -> dict[str, int]:
        """Calls now and what was lost on the way, for metrics."""
        return {
            "calls": self._machine.active,
            "legs": len(self._legs),
            "command_overflows": self._thread.overflows,
            "callback_failures": self._thread.failures,
            "early_ports": self._machine.early_ports,
            "reader_ticks": self._reader.ticks,
            "reader_frames": self._reader.frames,
            "reader_orphans": self._reader.orphans,
            "reader_busy_ticks": self._reader.busy_ticks,
            "reader_failures": self._reader.failures,
        }

    def stats(self) -> dict[str, int | float]:
        """`counts`, the frame bus's totals and the wake-up's quantiles in milliseconds."""
        wake = self.wake_ups
        quantiles = {"wake_p50_ms": wake.quantile_ms(0.5), "wake_p99_ms": wake.quantile_ms(0.99)}
        bus = {f"bus_{name}": value for name, value in self._bus.totals().items()}
        return {**self.counts(), **bus, **quantiles}

    # --- SipDesk: what legs ask for ---

    async def on_call(self, key: int, command: Callable[[SipCall], T]) -> T:
        """Run a command on a call, on the SIP thread. Raises `LegError`."""

        def run() -> T:
            call = self._machine.calls.get(key)
            if call is None:
                raise LegError("the call is over", sip_code=481)
            try:
                return command(call)
            except pjsua2.Error as error:
                raise LegError(f"{error.title}: {error.reason}") from None

        return await self._thread.run(run)

    def post_to_call(self, key: int, command: Callable[[SipCall], None]) -> None:
        """The same without waiting; nothing happens when the call is over."""

        def run() -> None:
            call = self._machine.calls.get(key)
            if call is not None:
                command(call)

        self._thread.post(run)

    async def transfer_target(self, key: int, target: str) -> str:
        """What a REFER on this call shall name for a number or URI. Raises `LegError`."""
        return await self.on_call(key, lambda call: self._machine.transfer_target(call, target))

    async def replace_target(self, leg_id: str) -> str:
        """Refer-To for another call of this endpoint (RFC 3891). Raises `LegError`."""
        other = self._named(leg_id)
        if other is None:
            raise LegError(f"{leg_id} is no call of this endpoint that is up", sip_code=481)
        return await self.on_call(other.key, self._machine.replace_target)

    def _named(self, leg_id: str) -> SipLeg | None:
        """A leg that is up."""
        up = (leg for leg in self._legs.values() if leg.state is LegState.UP)
        return next((leg for leg in up if leg.leg_id == leg_id), None)

    def patch(self, bus_leg: int, leg_id: str) -> bool:
        """Connect two legs in the frame bus; False when the other is none of ours that is up."""
        other = self._named(leg_id)
        if other is None or other.bus_leg == bus_leg:
            return False
        self._bus.patch(bus_leg, other.bus_leg)
        return True

    def unpatch(self, bus_leg: int) -> None:
        """Separate what `patch` connected."""
        self._bus.unpatch(bus_leg)

    def bus_stats(self, leg: int) -> dict[str, int]:
        """The frame bus's counters of a leg."""
        return dict(self._bus.stats(leg))

    # --- from the SIP thread, and then on the loop ---

    def _tell_incoming(self, incoming: Incoming) -> None:
        self._thread.tell(self._incoming, incoming)

    def _tell_fact(self, key: int, fact: Fact) -> None:
        self._thread.tell(self._fact, key, fact)

    def _tell_registration(self, trunk: str, code: int) -> None:
        self._thread.tell(self._registered, trunk, code)

    def _incoming(self, incoming: Incoming) -> None:
        leg = self._add(incoming.key, incoming.bus_leg, Direction.INBOUND, incoming.parties)
        try:
            self._accept(leg)
        except Exception as error:
            log.error("call handler failed", leg_id=leg.leg_id, error=repr(error))
            self.post_to_call(incoming.key, lambda call: call.respond(500))

    def _add(self, key: int, bus_leg: int, direction: Direction, parties: Parties) -> SipLeg:
        leg = SipLeg(self, key, self._bus, bus_leg, direction, parties)
        self._legs[key] = leg
        self._empty.clear()
        self._reader.add(bus_leg, leg)
        return leg

    def _fact(self, key: int, fact: Fact) -> None:
        leg = self._legs.get(key)
        if leg is None:
            return
        leg.fact(fact)
        if isinstance(fact, Ended):
            self._forget(key, leg)

    def _forget(self, key: int, leg: SipLeg) -> None:
        self._legs.pop(key, None)
        self._reader.remove(leg.bus_leg)
        self._bus.close(leg.bus_leg)
        if not self._legs:
            self._empty.set()

    def _registered(self, trunk: str, code: int) -> None:
        self.registrations[trunk] = code
        level = "info" if code // 100 == 2 else "warning"
        getattr(log, level)("registration", trunk=trunk, code=code)


def _argument_problem(caller: str, headers: Sequence[Header], ring: float) -> str:
    if not caller.isascii() or any(not (c.isalnum() or c in "+-_.") for c in caller):
        return "the caller may hold letters, digits, +, -, _ and . only"
    if ring and not 1 <= ring <= _LONGEST_RING_S:
        return f"ring is {ring}; choose 1 to {_LONGEST_RING_S:.0f} seconds, or 0 for no limit"
    return header_problem(headers)
