"""All browsers' calls of this process, as the program sees them: offers in, legs out, counts, an end."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from media.legs.base import EndReason, Leg, LegError, Parties
from media.legs.frame_reader import FrameReader
from media.legs.webrtc import WebRtcLeg
from media.legs.webrtc_frames import META
from media.legs.webrtc_sdp import read_offer
from media.legs.webrtc_settings import WebRtcSettings
from media.legs.webrtc_thread import WebRtcThread
from media.vad import VoiceDetector


class WebRtcFull(LegError):
    """No place for another call now; `retry_after` says in seconds when to try again."""

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail, sip_code=503)
        self.retry_after = retry_after


class WebRtcEndpoint:
    """Makes legs of offers. Starts with `start`, ends with `aclose`."""

    def __init__(
        self,
        settings: WebRtcSettings,
        on_call: Callable[[Leg], None],
        voice: VoiceDetector,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """`on_call` takes each leg at once and answers or rejects it in its own time."""
        self.refusals: dict[str, int] = {}
        """Offers turned away, by reason."""
        self._settings = settings
        self._on_call = on_call
        self._thread = WebRtcThread(settings, loop)
        self._reader = FrameReader(self._thread.frames, META, voice, loop)
        self._legs: dict[str, WebRtcLeg] = {}
        self._opening = 0
        self._numbers = 0
        self._started = False
        self.draining = False

    async def start(self) -> None:
        """Begin to take offers."""
        self._thread.start()
        self._reader.start()
        self._started = True

    async def aclose(self) -> None:
        """End every call and the thread. Idempotent."""
        if not self._started:
            return
        self._started = False
        for leg in list(self._legs.values()):
            await leg.hangup(EndReason.DRAINED)
        await self._reader.aclose()
        await self._thread.aclose()

    def drain(self) -> None:
        """Take no new calls."""
        self.draining = True

    async def offer(self, sdp: str, parties: Parties) -> WebRtcLeg:
        """A browser wants to call: its leg, which somebody is looking at already; see `WebRtcLeg.decided`.

        Raises `SdpBroken`, `NothingInCommon`, `WebRtcFull` or `LegError`.
        """
        self._check_room()
        offer = read_offer(sdp, self._settings.codecs)
        self._numbers += 1
        leg = WebRtcLeg(self._numbers, self._thread, offer, parties, self._settings, self._gone)
        self._opening += 1
        try:
            leg.answer_sdp = await self._thread.open(leg.number, offer, leg.playout, leg.fact)
        except OSError as error:
            self._count("no_socket")
            raise LegError(str(error), sip_code=503) from None
        finally:
            self._opening -= 1
        leg.ice_tag = secrets.token_hex(8)
        self._legs[leg.leg_id] = leg
        self._reader.add(leg.number, leg)
        self._on_call(leg)
        return leg

    def leg(self, leg_id: str) -> WebRtcLeg | None:
        """A running call's leg."""
        return self._legs.get(leg_id)

    @property
    def half_open(self) -> int:
        """Calls whose audio path does not stand yet."""
        return self._opening + sum(not leg.connected for leg in self._legs.values())

    def stats(self) -> dict[str, float]:
        """Gauges of the WebRTC side."""
        return {"calls": len(self._legs), "half_open": self.half_open, **self._thread.stats()}

    def _check_room(self) -> None:
        settings = self._settings
        if self.draining or not self._started:
            self._count("draining")
            raise WebRtcFull("the node is shutting down", retry_after=settings.retry_after_s)
        if len(self._legs) + self._opening >= settings.max_calls:
            self._count("full")
            raise WebRtcFull("every place is taken", retry_after=settings.retry_after_s)
        if self.half_open >= settings.half_open:
            self._count("half_open")
            raise WebRtcFull("too many calls are being set up", retry_after=settings.retry_after_s)

    def _gone(self, leg: WebRtcLeg) -> None:
        self._legs.pop(leg.leg_id, None)
        self._reader.remove(leg.number)

    def _count(self, reason: str) -> None:
        self.refusals[reason] = self.refusals.get(reason, 0) + 1
