"""`<Dial>` over a running call: it rings, somebody answers, the two talk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog

from gateway.actions.connected import connect
from gateway.actions.line import Line, StepFailed
from gateway.actions.reach import dial
from gateway.announcer import CallerGone
from gateway.calls.call_events import Recorded
from gateway.control.dialer import Dialer
from gateway.errors import DialDenied, DialFailed
from gateway.twiml.dialing import Race, Whisper, outcome, press
from gateway.twiml.form import CallStatus
from gateway.twiml.host import Dialled, DialProgress, Recording
from gateway.twiml.recordings import CallRecordings
from gateway.twiml.verbs import Dial, Number
from media.clock import now
from media.legs.base import EndReason, Leg, LegError
from media.legs.recorded import RecordedLeg
from media.recorder import TapeDisk

log = structlog.get_logger(__name__)

_CHANNELS = 2
"""Of a recording: the other party, and what he heard."""


class Bridging:
    """The dials of one call."""

    def __init__(
        self,
        line: Line,
        dialer: Dialer | None,
        recordings: CallRecordings,
        tapes: TapeDisk,
        whisper: Whisper | None,
    ) -> None:
        self._line = line
        self._dialer = dialer
        self._recordings = recordings
        self._tapes = tapes
        self._whisper = whisper
        self._dialled = 0

    async def dial(
        self, verb: Dial, answer: Callable[[], Awaitable[None]], told: Callable[[DialProgress], None]
    ) -> Dialled:
        """See `VerbHost.dial`. `answer` takes the caller's call."""
        if self._dialer is None:
            log.warning("nobody can be called from here")
            return Dialled(CallStatus.FAILED)
        race = Race(self._dialer, verb, self._line.call.call_id, self._dialled, told, self._whisper)
        self._dialled += len(verb.targets)
        try:
            other = await self._ring(verb, race, answer)
        except (DialDenied, DialFailed) as error:
            status = outcome(error.sip_code) if isinstance(error, DialFailed) else CallStatus.FAILED
            return Dialled(status, (race.winner or race.attempts[-1]).call_sid)
        except CallerGone:
            return Dialled(CallStatus.CANCELED, (race.winner or race.attempts[-1]).call_sid)
        return await self._talk(verb, race, other)

    async def _ring(self, verb: Dial, race: Race, answer: Callable[[], Awaitable[None]]) -> Leg:
        """Until somebody answers; meanwhile it rings. Raises `CallerGone`, `DialDenied`, `DialFailed`."""
        call, announcer = self._line.call, self._line.announcer
        caller = verb.caller_id or call.leg.parties.caller
        if call.answered is not None:
            shown = ", ".join(one.address for one in race.attempts)
            return await dial(
                self._line, race, shown, trunk="", caller=caller, seconds=verb.timeout, music=None
            )
        await call.leg.ring()
        leg = await announcer.until(race.dial("", caller=caller, ring_seconds=verb.timeout))
        try:
            await answer()
        except LegError:
            await leg.hangup(EndReason.CANCELLED)
            raise
        return leg

    async def _talk(self, verb: Dial, race: Race, other: Leg) -> Dialled:
        """The two talk, until one of them hangs up or the time is over."""
        assert race.winner is not None
        kept: Recording | None = None
        if verb.record:
            kept = self._recordings.new(_CHANNELS)
            path = self._recordings.path(kept)
            await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True, mode=0o700)
            other = RecordedLeg(other, path, self._tapes)
        began = now()
        ends_on = "*" if verb.hangup_on_star else ""
        try:
            if isinstance(target := race.winner.target, Number) and target.send_digits:
                await self._line.announcer.until(press(other, target.send_digits))
            async with asyncio.timeout(verb.time_limit):
                await connect(self._line, other, ends_on=ends_on, replies=race.replies)
        except (CallerGone, TimeoutError, LegError, StepFailed) as error:
            log.info("the two have done", why=type(error).__name__)
        finally:
            await other.hangup(EndReason.AGENT_HUNG_UP)
            race.ended(now() - began)
        seconds = now() - began
        if kept is not None:
            kept = replace(kept, seconds=seconds)
            self._line.call.happened(Recorded(now(), f"{kept.sid}.wav", seconds))
        return Dialled(CallStatus.COMPLETED, race.winner.call_sid, seconds, kept)
