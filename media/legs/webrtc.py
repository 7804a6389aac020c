"""A browser's call as a leg, on the event loop's side. `webrtc_peer.py` is its other half, on its thread."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

import numpy as np

from media.dtmf import is_digit
from media.frame import AudioFrame, Voice
from media.legs.base import (
    Direction,
    DtmfReceived,
    EndReason,
    Leg,
    LegAnswered,
    LegClosed,
    LegError,
    LegListener,
    Parties,
    PlayoutDrained,
    PlayoutMark,
    PlayoutStarted,
    TransferProgress,
)
from media.legs.inbox import Inbox
from media.legs.webrtc_facts import ChannelOpened, Connected, Digit, Fact, Gone, Lost, Message
from media.legs.webrtc_frames import DRAINED, MARK, STARTED
from media.legs.webrtc_playout import SharedPlayout
from media.legs.webrtc_sdp import Fragment, Offer
from media.legs.webrtc_settings import WebRtcSettings
from media.legs.webrtc_thread import WebRtcThread

CHANNEL = "offhook"
"""The data channel on which keys go both ways, and what the gateway tells."""

_REASONS = {
    Lost.CLOSED: EndReason.CALLER_HUNG_UP,
    Lost.VANISHED: EndReason.MEDIA_LOST,
    Lost.UNREACHABLE: EndReason.MEDIA_LOST,
    Lost.HANDSHAKE: EndReason.MEDIA_LOST,
}


class LegState(StrEnum):
    SETUP = "setup"
    UP = "up"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Taken:
    """The browser shall be told our answer."""

    answer: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The browser shall be told that it is not served."""

    sip_code: int
    retry_after: int
    reason: str


class TextListener(Protocol):
    """Who hears the data channels of a leg."""

    def opened(self, label: str) -> None:
        """The browser opened a channel."""

    def text(self, label: str, text: str) -> None:
        """The browser sent a text."""


class WebRtcLeg:
    """Implements `media.legs.base.Leg` over one peer connection. Browsers always call us."""

    def __init__(
        self, number: int, thread: WebRtcThread, offer: Offer, parties: Parties, settings: WebRtcSettings,
        closed: Callable[[WebRtcLeg], None],
    ) -> None:  # fmt: skip
        self.number = number
        self.offer = offer
        self.answer_sdp = ""
        self.ice_tag = ""
        """Names the current ICE session."""
        self.texts: TextListener | None = None
        """Who hears the data channels."""
        self._thread = thread
        self._loop = asyncio.get_running_loop()
        self._settings = settings
        self._parties = parties
        self._closed_by = closed
        self._leg_id = f"web-{secrets.token_hex(16)}"
        self._rate = offer.codec.sample_rate
        self._playout = SharedPlayout(self._rate, lambda event: thread.frames.post(number, event))
        self._state = LegState.SETUP
        self._inbox = Inbox()
        self._reason: EndReason | None = None
        self._detail = ""
        self._stats: dict[str, int | float | str] = {}
        self._answered = self._connected = self._held = self._muted = False
        self._up: asyncio.Future[None] = self._loop.create_future()
        self.decided: asyncio.Future[Taken | Refused] = self._loop.create_future()
        """What the browser's request shall be answered."""

    # --- Leg

    @property
    def leg_id(self) -> str:
        return self._leg_id

    @property
    def direction(self) -> Direction:
        return Direction.INBOUND

    @property
    def parties(self) -> Parties:
        return self._parties

    @property
    def sample_rate(self) -> int:
        """16000 with Opus, 8000 with G.711, once the browser is connected."""
        return self._rate if self._connected else 0

    @property
    def playout(self) -> SharedPlayout:
        return self._playout

    @property
    def state(self) -> LegState:
        return self._state

    @property
    def connected(self) -> bool:
        """Whether the path to the browser stands, answered or not."""
        return self._connected

    def attach(self, listener: LegListener) -> None:
        """Deliver frames and events to `listener` from now on; what waited before comes first."""
        self._inbox.attach(listener)

    async def ring(self, *, early_media: bool = False) -> None:
        """Let the browser connect; it is told on the data channel that somebody is on it.

        Raises `LegError` with early media when it does not connect.
        """
        self._need_setup("ring")
        self._take()
        self.send_text(CHANNEL, json.dumps({"type": "ringing"}))
        if early_media:
            await self._until_connected()

    async def answer(self) -> None:
        """Take the call; returns when sound flows both ways. Raises `LegError` when it never does."""
        self._need_setup("answer")
        self._answered = True
        self._take()
        await self._until_connected()
        self._check_up()

    async def reject(self, sip_code: int, *, retry_after: int = 0, reason: str = "") -> None:
        """Refuse the call: with the request's answer, or, when that was given, on the data channel."""
        if self._state is LegState.CLOSED:
            return
        self._need_setup("reject")
        if not self.decided.done():
            self.decided.set_result(Refused(sip_code, retry_after, reason))
        self._begin_hangup(EndReason.REJECTED, sip_code, reason)

    async def send_dtmf(self, digits: str) -> None:
        """Show the keys to the page: a browser's RTP takes none. Raises `LegError`."""
        if self._state is not LegState.UP:
            raise LegError("keys can only be sent on a call that is up")
        if not digits or not all(is_digit(digit) for digit in digits):
            raise LegError("keys are 0-9, *, # and A-D")
        self.send_text(CHANNEL, json.dumps({"type": "digits", "who": "agent", "digits": digits}))

    async def hold(self, on: bool) -> None:
        """Nobody hears the page; what it plays to the person is its own affair."""
        if self._state is not LegState.UP:
            raise LegError("only a call that is up can be held")
        self._held = on

    async def transfer(self, target: str, *, deadline: float, progress: TransferProgress) -> None:
        """Browsers have no REFER: always raises `LegError`; bridge the call instead."""
        raise LegError("a browser cannot be sent elsewhere; bridge the call instead", sip_code=405)

    async def transfer_to(self, other: Leg, *, deadline: float, progress: TransferProgress) -> None:
        """As `transfer`."""
        raise LegError("a browser cannot be sent elsewhere; bridge the calls instead", sip_code=405)

    async def accept_transfer(self) -> None:
        """See `Leg.accept_transfer`; browsers ask for none."""
        raise LegError("nobody asks to be transferred", sip_code=481)

    async def report_transfer(self, sip_code: int) -> None:
        """See `Leg.report_transfer`."""
        raise LegError("nobody asks to be transferred", sip_code=481)

    async def refuse_transfer(self, sip_code: int = 603) -> None:
        """See `Leg.refuse_transfer`."""

    def patch(self, other: Leg) -> bool:
        """Never: its sound lives in Python."""
        return False

    def unpatch(self) -> None:
        """See `Leg.unpatch`."""

    async def hangup(self, reason: EndReason, *, cause: int = 0) -> None:
        """Close the connection; the page is told why on the data channel. Idempotent."""
        self._begin_hangup(reason, 0, f"Q.850;cause={cause}" if cause else "")

    def stats(self) -> dict[str, int | float | str]:
        """Counters of the media path."""
        counts = self._stats if self._state is LegState.CLOSED else self._thread.stats_of(self.number)
        codec = self.offer.codec
        return {**counts, **self._playout.counts(), "codec": codec.name, "sample_rate": self._rate}

    # --- signalling

    def send_text(self, label: str, text: str) -> None:
        """Send a text on a data channel, if the browser has opened it."""
        if self._state is not LegState.CLOSED:
            self._thread.send_text(self.number, label, text)

    async def trickle(self, fragment: Fragment) -> None:
        """Addresses of the browser that came later. Raises `LegError`."""
        await self._thread.on_peer(self.number, lambda peer: peer.add(fragment.candidates))

    async def restart(self, fragment: Fragment) -> str:
        """A new ICE session, after the browser's network has changed; returns our side. Raises `LegError`."""
        if fragment.ice is None:
            raise LegError("an ICE restart brings a new ufrag and password", sip_code=400)
        ice = fragment.ice
        try:
            told = await self._thread.on_peer(
                self.number, lambda peer: peer.restart(ice, fragment.candidates)
            )
        except OSError as error:
            raise LegError(str(error), sip_code=503) from None
        self.ice_tag = secrets.token_hex(8)
        return told

    def mute(self, on: bool) -> None:
        """Let nobody on our side hear the browser, or hear it again."""
        self._muted = on

    def hang_up_by_page(self, reason: EndReason) -> None:
        """The page ends the call, by whichever way it says so. Idempotent."""
        self._begin_hangup(reason, 0, "")

    # --- from the endpoint, on the loop's thread

    def frame(self, frame: AudioFrame, voice: Voice) -> None:
        """A frame of the browser's audio."""
        if self._held or self._muted:
            frame, voice = replace(frame, pcm=np.zeros_like(frame.pcm), dtx=True), Voice(False, 0.0)
        self._inbox.hear(frame, voice)

    def bus_event(self, kind: int, reply: int, value: int, at: float) -> None:
        """Something about the playout."""
        if kind == STARTED:
            self._inbox.notice(PlayoutStarted(reply, at))
        elif kind == DRAINED:
            self._inbox.notice(PlayoutDrained(reply, value, at))
        elif kind == MARK:
            self._inbox.notice(PlayoutMark(reply, value, at))

    def fact(self, fact: Fact) -> None:
        """Something that the WebRTC thread saw."""
        if self._state is LegState.CLOSED:
            return
        match fact:
            case Connected():
                self._connected = True
                if not self._up.done():
                    self._up.set_result(None)
            case Digit(digit, at):
                self._inbox.notice(DtmfReceived(digit, at))
            case Gone(why):
                self._begin_hangup(_REASONS[why], 0, f"browser {why}")
            case ChannelOpened(label) if self.texts is not None:
                self.texts.opened(label)
            case Message(label, text) if self.texts is not None:
                self.texts.text(label, text)

    def press(self, digits: str) -> None:
        """Keys that the page sent on the data channel."""
        for digit in digits:
            if is_digit(digit):
                self._inbox.notice(DtmfReceived(digit, self._loop.time()))

    def _take(self) -> None:
        if not self.decided.done():
            self.decided.set_result(Taken(self.answer_sdp))
            self._thread.connect(self.number)

    async def _until_connected(self) -> None:
        try:
            async with asyncio.timeout(self._settings.connect_seconds + 1):
                await asyncio.shield(self._up)
        except TimeoutError:
            await self.hangup(EndReason.MEDIA_LOST)
            raise LegError("the browser never connected", sip_code=408) from None

    def _check_up(self) -> None:
        if self._state is LegState.SETUP and self._answered and self._connected:
            self._state = LegState.UP
            self._inbox.notice(LegAnswered(self._loop.time(), self._rate, self.offer.codec.name))

    def _begin_hangup(self, reason: EndReason, sip_code: int, detail: str) -> None:
        if self._state is LegState.CLOSED or self._reason is not None:
            return
        self._reason = reason
        self._playout.shut()
        self.send_text(CHANNEL, json.dumps({"type": "ended", "reason": str(reason)}))
        if not self.decided.done():
            self.decided.set_result(Refused(sip_code or 480, 0, detail or str(reason)))

        def closed(stats: dict[str, int | float | str]) -> None:
            self._stats = stats
            self._state = LegState.CLOSED
            if not self._up.done():
                self._up.set_exception(LegError("the call ended before it was up", sip_code=sip_code or 487))
                self._up.exception()
            self._inbox.notice(LegClosed(reason, self._loop.time(), sip_code, detail))
            self._closed_by(self)

        self._thread.close(self.number, closed)

    def _need_setup(self, what: str) -> None:
        if self._state is not LegState.SETUP or self._reason is not None:
            raise LegError(f"cannot {what}: the call is {self._state}", sip_code=481)
