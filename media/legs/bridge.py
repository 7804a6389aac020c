"""Two legs connected: each hears the other, and whoever bridged them hears both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import structlog

from media.frame import AudioFrame, Pcm, Voice, frame_samples
from media.legs.base import DtmfReceived, Leg, LegClosed, LegError, LegEvent, LegListener
from media.live_resample import LiveResampler

log = structlog.get_logger(__name__)

_AHEAD_FRAMES = 6
"""Most that may wait on the way through Python, 120 ms: clocks drift apart; nobody shall hear the past."""
_MOST_KEYS = 64
"""Keys that may wait to be passed on."""


@dataclass(frozen=True, slots=True)
class BridgeEnd:
    """How it ended: by whoever closed, or by `stop` when neither did."""

    closed_a: LegClosed | None
    closed_b: LegClosed | None
    native: bool
    """Whether the sound went from leg to leg without Python in between."""


class Bridge:
    """Connects two legs that are up, until one closes or `stop`.

    Two SIP legs are patched in the frame bus; any others are connected frame by frame, which adds 20 to
    40 ms. Frames and events of both still come here. Keys that one far end presses are sent to the other, but
    for those that were heard in the audio, which has carried them already.
    """

    def __init__(
        self,
        a: Leg,
        b: Leg,
        *,
        replies: tuple[int, int] = (1, 1),
        on_event: Callable[[Leg, LegEvent], None] | None = None,
        on_frame: Callable[[Leg, AudioFrame, Voice], None] | None = None,
        lend: Callable[[Leg, LegListener], None] = lambda leg, listener: leg.attach(listener),
        keeps: Callable[[Leg, str], bool] = lambda leg, key: False,
    ) -> None:
        """`replies`: the numbers under which the playouts of `a` and `b` take the other's voice, if they
        must; nothing else may then be played there meanwhile, but after `give_way`. Patched legs play what
        they are given instead of the voice.

        `on_event` and `on_frame` are told everything, on the loop's thread. `lend` lets us hear a leg, for
        whoever hears it himself and passes on. `keeps`: whether a key that this far end pressed is meant for
        whoever bridged, and not passed on.
        """
        self._a = _Side(a, b, replies[1], self._changed, on_event, on_frame, keeps)
        self._b = _Side(b, a, replies[0], self._changed, on_event, on_frame, keeps)
        self._lend = lend
        self._over = asyncio.Event()
        self._keys: set[asyncio.Task[None]] = set()

    async def run(self) -> BridgeEnd:
        """Attach to both and connect them; returns when it is over, the legs still attached to nobody else.

        Leave no await between its return and the next `attach`, or events of a leg that goes on are lost.
        """
        a, b = self._a.leg, self._b.leg
        native = a.patch(b)
        for side in (self._a, self._b):
            side.carries = not native
            self._lend(side.leg, side)
        try:
            async with asyncio.TaskGroup() as tasks:
                passing = [tasks.create_task(side.pass_keys_on()) for side in (self._a, self._b)]
                await self._over.wait()
                for task in passing:
                    task.cancel()
        finally:
            a.unpatch()
            for side in (self._a, self._b):
                side.carries = False
        return BridgeEnd(self._a.closed, self._b.closed, native)

    def stop(self) -> None:
        """Separate them; both stay up. Idempotent, returns at once."""
        self._over.set()

    def give_way(self, leg: Leg) -> None:
        """Carry nothing to this leg, whose playout is wanted for something else, until `go_on`.

        Patched legs play by themselves what they are given; there it changes nothing.
        """
        self._towards(leg).gives_way = True

    def go_on(self, leg: Leg, reply: int) -> None:
        """Carry the other's voice to this leg again, under a number of its playout that is new."""
        self._towards(leg).begin(reply)

    def _towards(self, leg: Leg) -> _Side:
        """The side that carries to this leg."""
        return self._b if leg is self._a.leg else self._a

    def _changed(self, event: LegEvent) -> None:
        if isinstance(event, LegClosed):
            self._over.set()


class _Side:
    """Hears one leg on behalf of the other."""

    def __init__(
        self,
        leg: Leg,
        other: Leg,
        reply: int,
        changed: Callable[[LegEvent], None],
        on_event: Callable[[Leg, LegEvent], None] | None,
        on_frame: Callable[[Leg, AudioFrame, Voice], None] | None,
        keeps: Callable[[Leg, str], bool],
    ) -> None:
        self.leg = leg
        self.carries = False
        self.gives_way = False
        """The other leg's playout is wanted for something else."""
        self.closed: LegClosed | None = None
        self.dropped = 0
        """Samples that the other leg could not take in time."""
        self._other = other
        self._reply = reply
        self._written = 0
        self._changed = changed
        self._on_event = on_event
        self._on_frame = on_frame
        self._keeps = keeps
        self._resampler: LiveResampler | None = None
        self._rates = (0, 0)
        self._keys: asyncio.Queue[str] = asyncio.Queue(_MOST_KEYS)

    def begin(self, reply: int) -> None:
        """Carry from now on, under this number."""
        self.gives_way = False
        self._reply = reply
        self._written = 0

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        """Hand the frame on where nothing native does."""
        if self.carries and not self.gives_way and self._other.sample_rate:
            self._carry(frame)
        if self._on_frame is not None:
            self._on_frame(self.leg, frame, voice)

    def _carry(self, frame: AudioFrame) -> None:
        pcm, playout = self._at_rate(frame), self._other.playout
        room = frame_samples(self._other.sample_rate)
        waiting = self._written - playout.position() if self._written else 0
        if waiting > _AHEAD_FRAMES * room:
            self.dropped += len(pcm)
            return
        if waiting <= 0:  # it ran dry, or begins: one frame ahead takes up the jitter of the loop
            pcm = np.concatenate([np.zeros(room, np.int16), pcm])
        self._written += playout.write(pcm, self._reply)

    def _at_rate(self, frame: AudioFrame) -> Pcm:
        there = self._other.sample_rate
        if frame.sample_rate == there:
            return frame.pcm
        if self._resampler is None or self._rates != (frame.sample_rate, there):
            self._rates = (frame.sample_rate, there)
            self._resampler = LiveResampler(*self._rates)
        return self._resampler.push(frame.pcm)

    def notice(self, event: LegEvent) -> None:
        """Keys go on to the other side, the end ends the bridge, and all is told."""
        if isinstance(event, LegClosed):
            self.closed = event
        elif isinstance(event, DtmfReceived) and not self._keeps(self.leg, event.digit):
            if not event.inband and not self._keys.full():
                self._keys.put_nowait(event.digit)
        if self._on_event is not None:
            self._on_event(self.leg, event)
        self._changed(event)

    async def pass_keys_on(self) -> None:
        """One key after the other, until cancelled."""
        while True:
            digit = await self._keys.get()
            try:
                await self._other.send_dtmf(digit)
            except LegError as error:
                log.info("a key was not passed on", leg_id=self._other.leg_id, reason=error.detail)
