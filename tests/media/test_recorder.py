from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from media.frame import AudioFrame, Pcm
from media.recorder import StereoRecorder, TapeDisk
from media.wav import read_wav

RATE, FRAME = 8000, 160


@pytest.fixture
def disk() -> Iterator[TapeDisk]:
    disk = TapeDisk()
    yield disk
    disk.close()


def caller(index: int, value: int = 100, shift: int = 0) -> AudioFrame:
    """Frame `index`, arrived whole at 50.0 + its end."""
    return AudioFrame(np.full(FRAME, value, np.int16), RATE, shift + index * FRAME, 50.0 + (index + 1) / 50)


def wait_for(gate: threading.Event) -> None:
    assert gate.wait(5.0)


def finished(recorder: StereoRecorder, path: Path) -> Pcm:
    future = recorder.close()
    assert future is not None
    future.result(timeout=5.0)
    sound, rate = read_wav(path)
    assert rate == RATE and sound.shape[1] == 2
    return sound


def test_both_sides_lie_where_they_were_heard(tmp_path: Path, disk: TapeDisk) -> None:
    path = tmp_path / "deep" / "call.wav"
    recorder = StereoRecorder(path, RATE, disk)
    for index in range(200):
        recorder.hear(caller(index, value=index + 1))
        if index == 40:
            recorder.write(np.full(8000, 7, np.int16), 1)
        if index == 50:
            recorder.started(1, 50.0 + 1.0)
    sound = finished(recorder, path)
    assert len(sound) == 200 * FRAME
    assert sound[::FRAME, 0].tolist() == list(range(1, 201))
    voiced = np.flatnonzero(sound[:, 1])
    assert (voiced[0], voiced[-1] + 1) == (8000, 16000)
    assert not path.with_name("call.wav.part").exists()


def test_a_cleared_reply_stops_on_the_tape_where_it_fell_silent(tmp_path: Path, disk: TapeDisk) -> None:
    path = tmp_path / "call.wav"
    recorder = StereoRecorder(path, RATE, disk)
    recorder.write(np.full(80_000, 7, np.int16), 1)
    for index in range(150):
        recorder.hear(caller(index))
        if index == 1:
            recorder.started(1, 50.02)
        if index == 100:
            recorder.clear(15_000)
    voiced = np.flatnonzero(finished(recorder, path)[:, 1])
    assert (voiced[0], voiced[-1] + 1) == (160, 15_160)


def test_missing_frames_are_silence_and_a_new_stream_goes_on_where_the_old_one_stopped(
    tmp_path: Path, disk: TapeDisk
) -> None:
    path = tmp_path / "call.wav"
    recorder = StereoRecorder(path, RATE, disk)
    recorder.hear(caller(0, shift=5_000_000))
    recorder.hear(caller(3, shift=5_000_000))
    recorder.hear(caller(0, value=9))
    left = finished(recorder, path)[:, 0]
    assert left[::FRAME].tolist() == [100, 0, 0, 100, 9]


def test_frames_of_another_rate_and_after_the_end_are_ignored(tmp_path: Path, disk: TapeDisk) -> None:
    path = tmp_path / "call.wav"
    recorder = StereoRecorder(path, RATE, disk)
    recorder.hear(AudioFrame(np.ones(320, np.int16), 16000, 0, 50.0))
    recorder.hear(caller(0))
    assert len(finished(recorder, path)) == FRAME
    recorder.hear(caller(1))
    assert recorder.close() is None


def test_the_unfinished_file_can_be_played(tmp_path: Path, disk: TapeDisk) -> None:
    path = tmp_path / "call.wav"
    recorder = StereoRecorder(path, RATE, disk)
    for index in range(200):
        recorder.hear(caller(index))
    disk.put(lambda: None).result(timeout=5.0)
    part = path.with_name("call.wav.part")
    sound, _ = read_wav(part)
    assert len(sound) > 2 * RATE and sound[:, 0].all()
    assert not path.exists()
    finished(recorder, path)


def test_a_slow_disk_loses_blocks_not_order_and_says_so(tmp_path: Path) -> None:
    disk = TapeDisk(most_pending=1)
    gate = threading.Event()
    blocked = disk.put(lambda: wait_for(gate))
    path = tmp_path / "call.wav"
    recorder = StereoRecorder(path, RATE, disk)
    for index in range(100):
        recorder.hear(caller(index))
    assert recorder.dropped > 0 and disk.dropped == 1
    gate.set()
    blocked.result(timeout=5.0)
    disk.put(lambda: None).result(timeout=5.0)
    for index in range(100, 120):
        recorder.hear(caller(index))
    left = finished(recorder, path)[:, 0]
    assert len(left) == 120 * FRAME
    assert not left[0] and left[-1] == 100
    disk.close()


def test_a_disk_that_cannot_write_does_not_reach_the_call(tmp_path: Path, disk: TapeDisk) -> None:
    (tmp_path / "file").write_text("")
    recorder = StereoRecorder(tmp_path / "file" / "call.wav", RATE, disk)
    for index in range(200):
        recorder.hear(caller(index))
    future = recorder.close()
    assert future is not None and isinstance(future.exception(timeout=5.0), OSError)
