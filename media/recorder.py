"""Records a call in stereo: the far end on the left, our voice on the right, where each was really heard.

The far end's frames are the tape's clock. Our voice comes as it is written to the playout, often seconds
ahead; it is laid onto the tape once its playout has started, and cut where it was cleared.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
import structlog

from media.frame import AudioFrame, Pcm
from media.tape_voice import TapeVoice, lay_onto

log = structlog.get_logger(__name__)

_CHANNELS = 2
_BYTES = 2 * _CHANNELS
_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")


class TapeDisk:
    """The one thread that writes all tapes. A disk too slow loses blocks, counted; it never holds a call."""

    def __init__(self, most_pending: int = 512) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="offhook-tape")
        self._most = most_pending
        self._pending = 0
        self.dropped = 0
        """Blocks given up because too many were waiting."""

    def offer(self, work: Callable[[], None]) -> bool:
        """Do it later, unless too much is waiting."""
        if self._pending >= self._most:
            self.dropped += 1
            return False
        self.put(work)
        return True

    def put(self, work: Callable[[], None]) -> Future[None]:
        """Do it later, whatever is waiting: for what happens once per tape."""
        self._pending += 1
        future = self._pool.submit(work)
        future.add_done_callback(self._done)
        return future

    def close(self) -> None:
        """Finish what waits and end the thread. Blocks; not for the event loop's thread."""
        self._pool.shutdown(wait=True)

    def _done(self, future: Future[None]) -> None:
        self._pending -= 1
        if error := future.exception():
            log.warning("tape_not_written", error=str(error))


class _TapeFile:
    """A WAV file under construction; used on the disk's thread only."""

    def __init__(self, path: Path, sample_rate: int) -> None:
        self._path = path
        self._staged = path.with_name(path.name + ".part")
        self._rate = sample_rate
        self._length = 0
        self._file: BinaryIO | None = None

    def write(self, at: int, sound: Pcm) -> None:
        """Lay (samples, 2) at its place; gaps stay silent. The header is true after each block."""
        file = self._open()
        file.seek(_HEADER.size + at * _BYTES)
        file.write(np.ascontiguousarray(sound, "<i2").tobytes())
        self._length = max(self._length, at + len(sound))
        self._write_header(file)

    def close(self) -> None:
        """Give the file its name."""
        file = self._open()
        self._file = None
        with file:
            self._write_header(file)
            os.fsync(file.fileno())
        os.replace(self._staged, self._path)

    def _open(self) -> BinaryIO:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._staged.open("w+b")
            self._write_header(self._file)
        return self._file

    def _write_header(self, file: BinaryIO) -> None:
        size = self._length * _BYTES
        form = (b"fmt ", 16, 1, _CHANNELS, self._rate, self._rate * _BYTES, _BYTES, 16)
        file.seek(0)
        file.write(_HEADER.pack(b"RIFF", _HEADER.size - 8 + size, b"WAVE", *form, b"data", size))
        file.flush()


class StereoRecorder:
    """One call's tape. All methods are for the event loop's thread and return at once.

    The file has its name only after `close`; until then, and after a crash, what was recorded lies in
    `<name>.part`, playable up to its last second.
    """

    BLOCK = 1.0
    """Seconds per write."""
    LATE = 0.5
    """Seconds by which the tape runs behind, so that news of the playout finds its place still open."""
    LONGEST_GAP = 30.0
    """Seconds that the far end's stream may jump ahead; beyond it the stream is taken to begin anew."""

    def __init__(self, path: Path, sample_rate: int, disk: TapeDisk) -> None:
        self._rate = sample_rate
        self._disk = disk
        self._file = _TapeFile(path, sample_rate)
        self._voice = TapeVoice(int(180 * sample_rate))
        self._frames: list[tuple[int, Pcm]] = []
        self._shift: int | None = None
        self._now = 0
        self._arrived = 0.0
        self._laid = 0
        self._closed = False
        self.dropped = 0
        """Samples that are silence on the tape because the disk was too slow."""

    def hear(self, frame: AudioFrame) -> None:
        """The far end's next frame; 8 or 16 kHz, as given to the constructor."""
        if self._closed or frame.sample_rate != self._rate:
            return
        at = self._place(frame)
        self._frames.append((at, frame.pcm))
        self._now = at + len(frame.pcm)
        self._arrived = frame.arrived
        if self._now - self._laid >= (self.BLOCK + self.LATE) * self._rate:
            self._lay(self._now - int(self.LATE * self._rate))

    def write(self, pcm: Pcm, reply: int) -> None:
        """Our voice, as the playout took it."""
        self._voice.write(pcm, reply, self._now)

    def started(self, reply: int, at: float) -> None:
        """The reply's first packet left at this monotonic time."""
        self._voice.started(reply, max(self._now + round((at - self._arrived) * self._rate), 0))

    def drained(self, reply: int) -> None:
        """The reply was heard to its end."""
        self._voice.drained(reply)

    def clear(self, heard: int) -> None:
        """The playout fell silent; the current reply was heard for so many samples, later ones not at all."""
        self._voice.cut(heard)

    def close(self) -> Future[None] | None:
        """The call is over; the future is done when the file has its name. None when closed before."""
        if self._closed:
            return None
        self._lay(self._now)
        self._closed = True
        return self._disk.put(self._file.close)

    def _place(self, frame: AudioFrame) -> int:
        if self._shift is None:
            self._shift = -frame.pts
        at = frame.pts + self._shift
        if not 0 <= at - self._now <= self.LONGEST_GAP * self._rate:
            self._shift += self._now - at
            at = self._now
        return at

    def _lay(self, until: int) -> None:
        """Mix down everything before `until` and hand it to the disk."""
        if until <= self._laid:
            return
        sound = np.zeros((until - self._laid, _CHANNELS), np.int16)
        rest: list[tuple[int, Pcm]] = []
        for at, pcm in self._frames:
            lay_onto(sound[:, 0], self._laid, at, pcm)
            if at + len(pcm) > until:
                rest.append((at, pcm))
        self._frames = rest
        self._voice.take(sound[:, 1], self._laid)
        start = self._laid
        self._laid = until
        if not self._disk.offer(lambda: self._file.write(start, sound)):
            self.dropped += len(sound)
