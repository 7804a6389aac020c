"""A leg without a network: the far end is sound in memory, a script of what it does, and an ear.

For WAV files, tests in virtual time and the self-check. It keeps the promises of every leg: frames each
20 ms, judged for voice, the playout pulled on the same clock, `LegClosed` last and once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from media.clock import now
from media.frame import FRAME_MS, AudioFrame, Pcm, Voice, frame_samples, samples
from media.legs.base import (
    Direction,
    DtmfReceived,
    EndReason,
    Leg,
    LegAnswered,
    LegClosed,
    LegError,
    LegEvent,
    LegListener,
    Parties,
    TransferAsked,
    TransferProgress,
)
from media.playout import QueuePlayout
from media.vad import VoiceDetector

_TICK = FRAME_MS / 1000
_STALL = 1.0
"""A clock this late does not catch up: the machine slept, and the missed frames are gone."""


@dataclass(frozen=True, slots=True)
class FarEnd:
    """What the far end does, in seconds after the answer."""

    says: Sequence[tuple[float, Pcm]] = ()
    """Sounds and when each begins; where two overlap they are added up."""
    presses: Sequence[tuple[float, str]] = ()
    """Keys and when each is pressed."""
    hangs_up_at: float | None = None
    """When it hangs up by itself."""
    quiet_limit: float | None = None
    """It hangs up when it has said everything and has heard nothing from us for so long."""
    parties: Parties = Parties("loopback", "offhook")
    transfers: Sequence[tuple[float, int]] = ()
    """How it takes being sent elsewhere: SIP codes that it reports, and how many seconds after it was asked.
    A first code of 300 or more is a refusal; without any it agrees and says nothing more."""
    asks: Sequence[tuple[float, str]] = ()
    """Where it asks to be sent, and when."""


class LoopbackLeg:
    """Implements `media.legs.base.Leg`. Runs on the loop's clock, real or virtual, from `answer` on."""

    def __init__(
        self,
        far_end: FarEnd,
        detector: VoiceDetector,
        *,
        leg_id: str = "loopback-1",
        sample_rate: int = 8000,
        detector_leg: int = 0,
    ) -> None:
        """`detector_leg` is this leg's number within a detector that others share."""
        self.heard: list[Pcm] = []
        """What the far end heard of us: one frame per tick since the answer."""
        self.noticed: list[LegEvent] = []
        """Every event the listener was given."""
        self.digits_sent = ""
        self.holds: list[bool] = []
        """Each time the far end was put on hold and taken back."""
        self.transferred_to: list[str] = []
        """Targets that the far end was sent to, or the name of the leg it was connected with."""
        self.transfer_answers: list[int] = []
        """What it was told of the transfers that it asked for: 202, then each report, or a refusal."""
        self._far_end = far_end
        self._detector = detector
        self._detector_leg = detector_leg
        self._leg_id = leg_id
        self._rate = sample_rate
        self._voice = _mixed(far_end.says, sample_rate)
        self._presses = sorted(far_end.presses)
        self._asks = sorted(far_end.asks)
        self._asked = False
        self._on_hold = False
        self._listener: LegListener | None = None
        self._early: list[LegEvent] = []
        self._playout = QueuePlayout(sample_rate, self._tell)
        self._began: float | None = None
        self._ticks = 0
        self._late = 0
        self._last_heard = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def leg_id(self) -> str:
        """The name given."""
        return self._leg_id

    @property
    def direction(self) -> Direction:
        """The far end always calls us."""
        return Direction.INBOUND

    @property
    def parties(self) -> Parties:
        """As the far end says."""
        return self._far_end.parties

    @property
    def sample_rate(self) -> int:
        """The rate given."""
        return self._rate

    @property
    def playout(self) -> QueuePlayout:
        """What the far end hears next."""
        return self._playout

    def attach(self, listener: LegListener) -> None:
        """See `Leg.attach`."""
        self._listener = listener
        early, self._early = self._early, []
        for event in early:
            listener.notice(event)

    async def ring(self, *, early_media: bool = False) -> None:
        """Nobody waits for a ringing tone here."""

    async def answer(self) -> None:
        """Begin: the first frame arrives one tick later. Raises `LegError` when it is over already."""
        if self._closed:
            raise LegError("the far end has hung up", sip_code=487)
        if self._began is None:
            self._began = now()
            self._tell(LegAnswered(self._began, self._rate, "L16"))
            self._arm()

    async def reject(self, sip_code: int, *, retry_after: int = 0, reason: str = "") -> None:
        """See `Leg.reject`."""
        self._close(EndReason.REJECTED, sip_code, reason)

    async def send_dtmf(self, digits: str) -> None:
        """Note them down."""
        self._need_open()
        self.digits_sent += digits

    async def hold(self, on: bool) -> None:
        """See `Leg.hold`: the far end is not heard meanwhile."""
        self._need_open()
        if on != self._on_hold:
            self._on_hold = on
            self.holds.append(on)

    async def transfer(self, target: str, *, deadline: float, progress: TransferProgress) -> None:
        """See `Leg.transfer`; the far end does as its script says."""
        self._need_open()
        self.transferred_to.append(target)
        try:
            await self._follow(deadline, progress)
        except LegError:
            if not self._closed:
                await self.hold(False)
            raise

    async def transfer_to(self, other: Leg, *, deadline: float, progress: TransferProgress) -> None:
        """See `Leg.transfer_to`."""
        await self.transfer(other.leg_id, deadline=deadline, progress=progress)

    async def _follow(self, deadline: float, progress: TransferProgress) -> None:
        began = now()
        for i, (after, code) in enumerate(self._far_end.transfers):
            if after > deadline:
                break
            await asyncio.sleep(began + after - now())
            if self._closed:
                return  # it agreed to go, and has gone
            if i or code < 300:
                progress(code)
            if code >= 300:
                raise LegError(f"the transfer failed with {code}", sip_code=code)
            if code >= 200:
                return
        await asyncio.sleep(began + deadline - now())
        if not self._closed:
            raise LegError("the far end did not report what became of the transfer", sip_code=408)

    async def accept_transfer(self) -> None:
        """See `Leg.accept_transfer`."""
        if not self._asked:
            raise LegError("nobody asks to be transferred", sip_code=481)
        self._asked = False
        self.transfer_answers += [202, 100]

    async def report_transfer(self, sip_code: int) -> None:
        """See `Leg.report_transfer`."""
        self.transfer_answers.append(sip_code)

    async def refuse_transfer(self, sip_code: int = 603) -> None:
        """See `Leg.refuse_transfer`."""
        if self._asked:
            self._asked = False
            self.transfer_answers.append(sip_code)

    def patch(self, other: Leg) -> bool:
        """Never: there is no native media here."""
        return False

    def unpatch(self) -> None:
        """See `Leg.unpatch`."""

    def _need_open(self) -> None:
        if self._closed:
            raise LegError("the far end has hung up", sip_code=481)

    async def hangup(self, reason: EndReason, *, cause: int = 0) -> None:
        """See `Leg.hangup`; the cause is kept in `LegClosed.detail`."""
        self._close(reason, detail=f"Q.850;cause={cause}" if cause else "")

    def stats(self) -> dict[str, int | float | str]:
        """Counters of the media path."""
        return {
            "frames": self._ticks,
            "ticks_lost": self._late,
            "samples_sent": self._playout.sent,
            "samples_refused": self._playout.refused,
        }

    def sound(self) -> Pcm:
        """All that the far end heard, from the answer on."""
        return np.concatenate(self.heard) if self.heard else np.zeros(0, np.int16)

    def _arm(self) -> None:
        if self._began is not None and not self._closed:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._began + (self._ticks + 1) * _TICK, self._tick)

    def _tick(self) -> None:
        """One frame each way, then whatever the far end does at this moment."""
        late = now() - self._due
        if late > _STALL and self._began is not None:
            missed = int(late / _TICK)
            self._late += missed
            self._began += missed * _TICK
        at = self._due
        frame = self._next_frame(at)
        voice = self._judge(frame)
        if self._listener:
            self._listener.hear(frame, voice)
        self._ticks += 1
        self._listen(at)
        self._act(at)
        self._arm()

    @property
    def _due(self) -> float:
        return (self._began or 0.0) + (self._ticks + 1) * _TICK

    def _next_frame(self, at: float) -> AudioFrame:
        size = frame_samples(self._rate)
        pts = self._ticks * size
        pcm = np.zeros(size, np.int16)
        said = self._voice[pts : pts + size]
        if not self._on_hold:
            pcm[: len(said)] = said
        return AudioFrame(pcm, self._rate, pts, at)

    def _judge(self, frame: AudioFrame) -> Voice:
        leg, size = self._detector_leg, len(frame.pcm)
        return self._detector.judge([leg], frame.pcm.reshape(1, -1), [size], [self._rate])[0]

    def _listen(self, at: float) -> None:
        pcm = self._playout.pull(at)
        self.heard.append(pcm)
        if pcm.any():
            self._last_heard = self._ticks

    def _act(self, at: float) -> None:
        elapsed = self._ticks * _TICK
        while self._presses and self._presses[0][0] <= elapsed:
            for digit in self._presses.pop(0)[1]:
                self._tell(DtmfReceived(digit, at))
        while self._asks and self._asks[0][0] <= elapsed:
            self._asked = True
            self._tell(TransferAsked(self._asks.pop(0)[1], at))
        far_end = self._far_end
        if far_end.hangs_up_at is not None and elapsed >= far_end.hangs_up_at:
            self._close(EndReason.CALLER_HUNG_UP)
        if far_end.quiet_limit is not None and self._quiet_for() >= far_end.quiet_limit:
            self._close(EndReason.CALLER_HUNG_UP)

    def _quiet_for(self) -> float:
        """Seconds since either of us was last heard, and the far end has nothing more to say."""
        spoken = len(self._voice) / self._rate
        return self._ticks * _TICK - max(self._last_heard * _TICK, spoken)

    def _tell(self, event: LegEvent) -> None:
        self.noticed.append(event)
        if self._listener:
            self._listener.notice(event)
        else:
            self._early.append(event)

    def _close(self, reason: EndReason, sip_code: int = 0, detail: str = "") -> None:
        if self._closed:
            return
        self._closed = True
        if self._timer:
            self._timer.cancel()
        self._detector.forget(self._detector_leg)
        self._tell(LegClosed(reason, now(), sip_code, detail))


def _mixed(says: Sequence[tuple[float, Pcm]], sample_rate: int) -> Pcm:
    """All sounds on one track."""
    places = [(samples(at, sample_rate), pcm) for at, pcm in says]
    track = np.zeros(max((at + len(pcm) for at, pcm in places), default=0), np.int32)
    for at, pcm in places:
        track[at : at + len(pcm)] += pcm
    return np.clip(track, -32768, 32767).astype(np.int16)
