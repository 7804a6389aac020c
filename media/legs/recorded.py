"""A leg with a tape on it: everything both sides hear goes into one stereo file."""

from __future__ import annotations

from pathlib import Path

from media.frame import AudioFrame, Pcm, Voice
from media.legs.base import (
    Leg,
    LegClosed,
    LegEvent,
    LegListener,
    Playout,
    PlayoutDrained,
    PlayoutStarted,
)
from media.legs.wrapped import WrappedLeg, WrappedPlayout
from media.recorder import StereoRecorder, TapeDisk


class RecordedLeg(WrappedLeg):
    """The file is whole soon after `LegClosed`."""

    def __init__(self, leg: Leg, path: Path, disk: TapeDisk) -> None:
        """Record to `path`, written by the disk's thread, which all legs share."""
        super().__init__(leg)
        self._tape = _Tape(leg, path, disk)
        self._playout: tuple[Playout, _TapedPlayout] | None = None

    @property
    def playout(self) -> Playout:
        """The leg's own, overheard."""
        inner = self._leg.playout
        if self._playout is None or self._playout[0] is not inner:
            self._playout = (inner, _TapedPlayout(inner, self._tape))
        return self._playout[1]

    def attach(self, listener: LegListener) -> None:
        """See `Leg.attach`."""
        self._leg.attach(_TapedListener(listener, self._tape))

    def patch(self, other: Leg) -> bool:
        """Never: what the far end hears would not pass the tape."""
        return False

    def stats(self) -> dict[str, int | float | str]:
        """The leg's own, and what the tape lost."""
        return {**self._leg.stats(), "tape_dropped": self._tape.dropped}


class _Tape:
    """Opens the recorder when there is a rate to record at: a refused call leaves no file."""

    def __init__(self, leg: Leg, path: Path, disk: TapeDisk) -> None:
        self._leg = leg
        self._path = path
        self._disk = disk
        self._recorder: StereoRecorder | None = None
        self._over = False

    @property
    def dropped(self) -> int:
        return self._recorder.dropped if self._recorder else 0

    @property
    def recorder(self) -> StereoRecorder | None:
        if self._recorder is None and self._leg.sample_rate and not self._over:
            self._recorder = StereoRecorder(self._path, self._leg.sample_rate, self._disk)
        return self._recorder

    def close(self) -> None:
        self._over = True
        if self._recorder:
            self._recorder.close()


class _TapedListener:
    """Hears the leg first, then passes on."""

    def __init__(self, listener: LegListener, tape: _Tape) -> None:
        self._listener = listener
        self._tape = tape

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        if recorder := self._tape.recorder:
            recorder.hear(frame)
        self._listener.hear(frame, voice)

    def notice(self, event: LegEvent) -> None:
        if isinstance(event, LegClosed):
            self._tape.close()
        elif recorder := self._tape.recorder:
            if isinstance(event, PlayoutStarted):
                recorder.started(event.reply, event.at)
            elif isinstance(event, PlayoutDrained):
                recorder.drained(event.reply)
        self._listener.notice(event)


class _TapedPlayout(WrappedPlayout):
    """Passes on first, then tells the tape what was taken."""

    def __init__(self, playout: Playout, tape: _Tape) -> None:
        super().__init__(playout)
        self._tape = tape

    def write(self, pcm: Pcm, reply: int) -> int:
        taken = self._playout.write(pcm, reply)
        if taken and (recorder := self._tape.recorder):
            recorder.write(pcm[:taken], reply)
        return taken

    def clear(self) -> int:
        heard = self._playout.clear()
        if recorder := self._tape.recorder:
            recorder.clear(heard)
        return heard
