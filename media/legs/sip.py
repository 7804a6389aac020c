"""A SIP call as a leg, on the event loop's side. `sip_call.py` is its other half, on the SIP thread."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Protocol, TypeVar

import framebus
import structlog

from media.dtmf import is_digit
from media.frame import FRAME_MS, AudioFrame, Voice
from media.legs.base import (
    AudioOneWay,
    Direction,
    EndReason,
    Leg,
    LegAnswered,
    LegClosed,
    LegError,
    LegHeld,
    LegListener,
    LegResumed,
    LegRinging,
    Parties,
    PlayoutDrained,
    PlayoutMark,
    PlayoutStarted,
    TransferAsked,
    TransferProgress,
)
from media.legs.inbox import Inbox
from media.legs.sip_call import Header, SipCall
from media.legs.sip_ends import CallEnd, EndedBy, Phase, end_reason, reason_header, refusal_code
from media.legs.sip_facts import (
    Accepted,
    Confirmed,
    Digit,
    Ended,
    Fact,
    MediaChanged,
    OfferAnswered,
    ReferAsked,
    Ringing,
)
from media.legs.sip_hold import Hold
from media.legs.sip_keys import SipKeys
from media.legs.sip_media import Media
from media.legs.sip_one_way import OneWayWatch
from media.legs.sip_playout import SipPlayout
from media.legs.sip_referral import ReferAnswered, ReferNotified
from media.legs.sip_referred import Referred
from media.legs.sip_return import Return
from media.legs.sip_settings import SipSettings
from media.legs.sip_transfer import Transfer

T = TypeVar("T")
log = structlog.get_logger(__name__)

_EARLY_MEDIA_S = 2.0
_TAKE_BACK_S = 5.0
"""Longest wait for the far end to come back from hold after a transfer that failed."""
_ANSWER_IN_ACK_S = 2.0
"""The SDP of an ACK comes with it; a moment for it to pass the threads."""


class LegState(StrEnum):
    SETUP = "setup"
    UP = "up"
    CLOSED = "closed"


class SipDesk(Protocol):
    """What a leg needs of its endpoint."""

    @property
    def settings(self) -> SipSettings: ...

    async def on_call(self, key: int, command: Callable[[SipCall], T]) -> T:
        """Run a command on this call, on the SIP thread. Raises `LegError`, also when the call is gone."""

    def post_to_call(self, key: int, command: Callable[[SipCall], None]) -> None:
        """The same without waiting."""

    async def transfer_target(self, key: int, target: str) -> str:
        """What a REFER on this call shall name for a number or URI. Raises `LegError`."""

    async def replace_target(self, leg_id: str) -> str:
        """Refer-To for another call of the endpoint (RFC 3891). Raises `LegError`."""

    def patch(self, bus_leg: int, leg_id: str) -> bool:
        """Connect a leg of the bus with another leg by its name; False when that is not the endpoint's."""

    def unpatch(self, bus_leg: int) -> None:
        """Separate it again."""

    def bus_stats(self, leg: int) -> dict[str, int]:
        """The frame bus's counters of a leg."""


class SipLeg:
    """Implements `media.legs.base.Leg` over one SIP call."""

    def __init__(
        self, desk: SipDesk, key: int, bus: Any, bus_leg: int, direction: Direction, parties: Parties
    ) -> None:
        self.bus_leg = bus_leg
        self.key = key
        self._desk = desk
        self._loop = asyncio.get_running_loop()
        self._leg_id = f"sip-{key}-{secrets.token_hex(4)}"
        self._direction = direction
        self._parties = parties
        self._playout = SipPlayout(bus, bus_leg)
        self._state = LegState.SETUP
        self._media = Media()
        self._reason: EndReason | None = None
        self._stats: dict[str, int | float | str] = {}
        self._inbox = Inbox()
        self._keys = SipKeys(self._inbox.notice, inband=_hears_tones(desk.settings, parties.trunk))
        self._one_way = OneWayWatch()
        self._transfer = Transfer()
        self._referred = Referred(lambda do: desk.on_call(key, do), lambda do: desk.post_to_call(key, do))
        self._hold = Hold(self._offer, owns_call_id=direction is Direction.OUTBOUND)
        self._return = Return(desk.settings.transfer_return_s, self._hold.repeat, self._begin_hangup)
        self._rang: Ringing | None = None
        self._ack_timer: asyncio.TimerHandle | None = None
        self._up: asyncio.Future[None] = self._loop.create_future()
        self._flowing: asyncio.Future[None] = self._loop.create_future()
        self._confirmed: asyncio.Future[None] = self._loop.create_future()

    # --- Leg ---

    @property
    def leg_id(self) -> str:
        return self._leg_id

    @property
    def direction(self) -> Direction:
        return self._direction

    @property
    def parties(self) -> Parties:
        return self._parties

    @property
    def sample_rate(self) -> int:
        """Rate of the frames it pushes and of the samples its playout takes; 0 before media exists."""
        return self._media.sample_rate

    @property
    def playout(self) -> SipPlayout:
        return self._playout

    @property
    def state(self) -> LegState:
        return self._state

    def attach(self, listener: LegListener) -> None:
        """Deliver frames and events to `listener` from now on; what waited before comes first."""
        self._inbox.attach(listener)

    def watch(self, listener: LegListener) -> None:
        """Let somebody else hear and notice everything too, whoever is attached; what waits comes first."""
        self._inbox.watch(listener)

    async def ring(self, *, early_media: bool = False) -> None:
        """Send 180, or 183 with an SDP answer and wait until audio flows before the call is taken.

        Raises `LegError` when it cannot: a caller who made no offer must have our 200 first.
        """
        self._need_setup("ring")
        code = 183 if early_media else 180
        await self._desk.on_call(self.key, lambda call: call.respond(code))
        if not early_media:
            return
        try:
            await asyncio.wait_for(asyncio.shield(self._flowing), _EARLY_MEDIA_S)
        except TimeoutError:
            raise LegError("no audio before the answer: the caller made no offer", sip_code=488) from None

    async def answer(self) -> None:
        """Send 200 and wait until audio can flow. Raises `LegError` when the call ends before that."""
        self._need_setup("answer")
        await self._desk.on_call(self.key, lambda call: call.respond(200))
        try:
            await asyncio.wait_for(asyncio.shield(self._up), self._desk.settings.answer_timeout_s)
        except TimeoutError:
            await self.hangup(EndReason.SIGNALLING_LOST)
            raise LegError("the far end never agreed on audio", sip_code=408) from None

    async def reject(self, sip_code: int, *, retry_after: int = 0, reason: str = "") -> None:
        """Refuse an inbound call with a final code, 300 to 699. Does nothing once the leg is over."""
        if not 300 <= sip_code <= 699:
            raise LegError(f"{sip_code} is no refusal; use 300 to 699")
        if self._state is LegState.CLOSED:
            return
        self._need_setup("reject")
        self._reason = self._reason or EndReason.REJECTED
        headers: list[Header] = [("Retry-After", str(retry_after))] if retry_after else []
        if reason:
            headers.append(("Warning", f'399 offhook "{_quoted(reason)}"'))
        await self._desk.on_call(self.key, lambda call: call.respond(sip_code, headers))

    async def send_dtmf(self, digits: str) -> None:
        """Send keys by RTP events (RFC 4733), else by INFO, as the settings allow."""
        if self._state is not LegState.UP:
            raise LegError("keys can only be sent on a call that is up")
        if not digits or not all(is_digit(digit) for digit in digits):
            raise LegError("keys are 0-9, *, # and A-D")
        settings = self._desk.settings
        rtp, info = settings.dtmf_rtp, settings.dtmf_info
        if not rtp and not info:
            raise LegError("sending keys is switched off; set dtmf_rtp or dtmf_info")
        await self._desk.on_call(self.key, lambda call: call.send_keys(digits, rtp=rtp, info=info))

    async def hold(self, on: bool) -> None:
        """See `Leg.hold`; glare is waited out (RFC 3261 section 14.1)."""
        await self._until_confirmed("put on hold")
        await self._hold.set(on)

    async def transfer(self, target: str, *, deadline: float, progress: TransferProgress) -> None:
        """See `Leg.transfer`."""
        await self._until_confirmed("transferred")
        uri = await self._desk.transfer_target(self.key, target)
        await self._send_away(lambda call: call.refer(uri), deadline, progress)

    async def transfer_to(self, other: Leg, *, deadline: float, progress: TransferProgress) -> None:
        """See `Leg.transfer_to`."""
        await self._until_confirmed("transferred")
        uri = await self._desk.replace_target(other.leg_id)
        await self._send_away(lambda call: call.refer(uri), deadline, progress)

    async def _send_away(
        self, refer: Callable[[SipCall], None], deadline: float, progress: TransferProgress
    ) -> None:
        try:
            await self._transfer.run(
                lambda: self._desk.on_call(self.key, refer), deadline=deadline, progress=progress
            )
        except LegError:
            await self._take_back()
            if self._transfer.agreed and self._expects_audio:
                self._return.expect()
            raise

    async def _take_back(self) -> None:
        """After a failed transfer: hear and be heard again, whoever had put whom on hold."""
        if self._state is not LegState.UP or not (self._hold.on or self._media.held):
            return
        try:
            async with asyncio.timeout(_TAKE_BACK_S):
                await (self._hold.set(False) if self._hold.on else self._hold.repeat())
        except (LegError, TimeoutError) as error:
            log.warning("the far end stays on hold", leg_id=self._leg_id, error=str(error))

    async def accept_transfer(self) -> None:
        """See `Leg.accept_transfer`."""
        await self._referred.accept()

    async def report_transfer(self, sip_code: int) -> None:
        """See `Leg.report_transfer`."""
        await self._referred.report(sip_code)

    async def refuse_transfer(self, sip_code: int = 603) -> None:
        """See `Leg.refuse_transfer`."""
        await self._referred.refuse(sip_code)

    def patch(self, other: Leg) -> bool:
        """See `Leg.patch`: two legs of one endpoint meet in the frame bus, but for one that is recorded."""
        if not isinstance(other, SipLeg) or self._state is not LegState.UP:
            return False
        return self._desk.patch(self.bus_leg, other.leg_id)

    def unpatch(self) -> None:
        """See `Leg.unpatch`."""
        if self._state is not LegState.CLOSED:
            self._desk.unpatch(self.bus_leg)

    async def hangup(self, reason: EndReason, *, cause: int = 0) -> None:
        """End the leg by BYE, CANCEL or a refusal, whichever its state asks for. Idempotent."""
        self._begin_hangup(reason, cause)

    def stats(self) -> dict[str, int | float | str]:
        """Counters of the media path: those of RTP once the leg is over, those of the bus at any time."""
        if self._state is not LegState.CLOSED:
            return {**self._stats, **self._own_stats()}
        return dict(self._stats)

    def _own_stats(self) -> dict[str, int | float | str]:
        counts = {"one_way": self._one_way.count, "keys_repeated": self._keys.repeated}
        return {**self._media.stats(), **counts, **self._desk.bus_stats(self.bus_leg)}

    def _begin_hangup(self, reason: EndReason, cause: int = 0) -> None:
        if self._state is LegState.CLOSED or self._reason is not None:
            return
        self._reason = reason
        answered = self._media.accepted
        code = 0 if answered or self._direction is Direction.OUTBOUND else refusal_code(reason)
        headers = [("Reason", reason_header(reason, cause))]
        self._desk.post_to_call(self.key, lambda call: call.end(code, headers))

    # --- from the endpoint, on the loop's thread ---

    def give_up_after(self, seconds: float) -> None:
        """Cancel an outbound call that was not answered within so many seconds; 0 never does."""
        if seconds and self._state is LegState.SETUP:
            self._ack_timer = self._loop.call_later(seconds, self._begin_hangup, EndReason.NOT_ANSWERED)

    def bus_event(self, kind: int, reply: int, value: int, at: float) -> None:
        """A playout event of the frame bus."""
        if kind == framebus.STARTED:
            self._inbox.notice(PlayoutStarted(reply, at))
        elif kind == framebus.DRAINED:
            self._inbox.notice(PlayoutDrained(reply, value, at))
        elif kind == framebus.MARK:
            self._inbox.notice(PlayoutMark(reply, value, at))

    def frame(self, frame: AudioFrame, voice: Voice) -> None:
        """A frame of the far end's audio."""
        self._inbox.hear(frame, voice)
        self._keys.hear(frame)
        if not (frame.dtx or frame.lost):
            self._return.heard()
        expected = self._expects_audio
        quiet = self._one_way.frame(FRAME_MS / 1000, nothing=frame.dtx, expected=expected)
        if quiet and not self._desk.bus_stats(self.bus_leg).get("rx_comfort_noise"):
            self._inbox.notice(AudioOneWay(self._loop.time(), quiet, self._media.addresses))

    @property
    def _expects_audio(self) -> bool:
        return self._state is LegState.UP and not (self._hold.on or self._media.held)

    def fact(self, fact: Fact) -> None:
        """Something that the SIP thread saw."""
        if self._state is LegState.CLOSED:
            return
        match fact:
            case Accepted():
                self._accepted()
            case Confirmed():
                _settle(self._confirmed)
                self._stop_waiting()
                self._await_media()
            case MediaChanged():
                self._media_changed(fact)
            case Digit():
                self._keys.fact(fact)
            case Ringing():
                self._ringing(fact)
            case OfferAnswered():
                self._hold.answered(fact.sip_code)
            case ReferAnswered():
                self._transfer.answered(fact)
            case ReferNotified():
                self._transfer.notified(fact)
            case ReferAsked():
                self._referred.asked()
                said = (fact.replaces, fact.referred_by, fact.ours)
                asked = TransferAsked(fact.target, self._loop.time(), bool(fact.replaces), *said)
                self._inbox.notice(asked)
            case Ended():
                self._close(fact)

    async def _offer(self, hold: bool) -> None:
        await self._desk.on_call(self.key, lambda call: call.offer(hold))

    def _ringing(self, fact: Ringing) -> None:
        """Tell the first provisional answer and each that says something new; others repeat it."""
        if fact != self._rang and self._state is LegState.SETUP:
            self._rang = fact
            self._inbox.notice(LegRinging(self._loop.time(), fact.sip_code, fact.early_media))

    def _accepted(self) -> None:
        self._media.accepted = True
        self._stop_waiting()
        if self._direction is Direction.INBOUND:
            wait = self._desk.settings.ack_timeout_s
            self._ack_timer = self._loop.call_later(wait, self._never_acknowledged)
        self._check_up()

    def _never_acknowledged(self) -> None:
        self._begin_hangup(EndReason.SIGNALLING_LOST)

    def _await_media(self) -> None:
        """An ACK that owed us an answer to our offer and brought none (RFC 3261 section 13.2.2.4)."""
        if not self._media.active:
            self._ack_timer = self._loop.call_later(_ANSWER_IN_ACK_S, self._check_media)

    def _check_media(self) -> None:
        if not self._media.active:
            self._begin_hangup(EndReason.MEDIA_LOST)

    def _stop_waiting(self) -> None:
        if self._ack_timer is not None:
            self._ack_timer.cancel()

    def _media_changed(self, fact: MediaChanged) -> None:
        was_held = self._media.held
        self._media.update(fact)
        if self._media.active:
            _settle(self._flowing)
        self._check_up()
        if self._state is not LegState.UP or self._media.held == was_held:
            return
        if self._media.held:
            self._return.close()
        now = self._loop.time()
        self._inbox.notice(LegHeld(now) if self._media.held else LegResumed(now))

    def _check_up(self) -> None:
        media = self._media
        if self._state is not LegState.SETUP or not (media.accepted and media.active):
            return
        self._state = LegState.UP
        self._inbox.notice(LegAnswered(self._loop.time(), media.sample_rate, media.codec))
        if media.held:
            self._inbox.notice(LegHeld(self._loop.time()))
        _settle(self._up)

    def _close(self, fact: Ended) -> None:
        phase = Phase.ANSWERED if self._media.accepted else Phase.SETUP
        reason = self._reason if fact.ended_by is EndedBy.US else None
        if self._transfer.closed(by_far_end=fact.ended_by is EndedBy.FAR_END, code=fact.sip_code):
            reason = EndReason.TRANSFERRED
        self._hold.close()
        self._return.close()
        self._referred.close()
        end = CallEnd(self._direction, phase, fact.ended_by, fact.sip_code)
        self._stats = {**fact.stats, **self._own_stats()}
        self._state = LegState.CLOSED
        _settle(self._confirmed)
        self._stop_waiting()
        self._playout.shut()
        for waited in (self._up, self._flowing):
            if not waited.done():
                waited.set_exception(
                    LegError("the call ended before it was up", sip_code=fact.sip_code or 487)
                )
                waited.exception()
        self._inbox.notice(LegClosed(end_reason(end, reason), self._loop.time(), fact.sip_code, fact.detail))

    async def _until_confirmed(self, what: str) -> None:
        """Requests within the dialog wait for its ACK, which comes right after our answer."""
        if self._state is LegState.UP and self._reason is None:
            await asyncio.wait([self._confirmed], timeout=self._desk.settings.ack_timeout_s)
        if self._state is not LegState.UP or self._reason is not None or not self._confirmed.done():
            raise LegError(f"only a call that is up can be {what}", sip_code=481)

    def _need_setup(self, what: str) -> None:
        if self._direction is not Direction.INBOUND:
            raise LegError(f"cannot {what} an outbound call")
        if self._state is not LegState.SETUP or self._reason is not None:
            raise LegError(f"cannot {what}: the call is {self._state}", sip_code=481)


def _hears_tones(settings: SipSettings, trunk: str) -> bool:
    return any(known.name == trunk and known.dtmf_inband for known in settings.trunks)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _quoted(text: str) -> str:
    return "".join(c for c in text if c.isprintable() and c not in '"\\')[:120]
