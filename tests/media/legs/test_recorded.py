from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np

from media.frame import AudioFrame, Voice
from media.legs.base import EndReason, LegClosed, LegEvent, PlayoutDrained, PlayoutStarted
from media.legs.loopback import FarEnd, LoopbackLeg
from media.legs.recorded import RecordedLeg
from media.recorder import TapeDisk
from media.vad import VadMode, VadSettings, open_detector
from media.wav import read_wav
from tests.virtual_time import run_virtual


class Ear:
    def __init__(self) -> None:
        self.frames = 0
        self.events: list[LegEvent] = []

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        self.frames += 1

    def notice(self, event: LegEvent) -> None:
        self.events.append(event)


def taped(path: Path, barge_in_at: float | None = None, answered: bool = True) -> tuple[RecordedLeg, Ear]:
    """A call of two seconds: the caller speaks from 0.2 to 0.4, we speak for a second from about 0.5 on."""
    disk = TapeDisk()

    async def main() -> tuple[RecordedLeg, Ear]:
        far_end = FarEnd(says=[(0.2, np.full(1600, 100, np.int16))])
        leg = RecordedLeg(LoopbackLeg(far_end, open_detector(VadSettings(mode=VadMode.WEBRTC))), path, disk)
        ear = Ear()
        leg.attach(ear)
        await leg.ring(early_media=True)
        if not answered:
            await leg.reject(603)
            return leg, ear
        await leg.answer()
        await leg.send_dtmf("5")
        await asyncio.sleep(0.5)
        assert leg.playout.write(np.full(8000, 7, np.int16), 1) == 8000
        leg.playout.finish()
        if barge_in_at is not None:
            await asyncio.sleep(barge_in_at - 0.5)
            assert leg.playout.clear() == leg.playout.position()
        await asyncio.sleep(2.0 - asyncio.get_running_loop().time())
        await leg.hangup(EndReason.AGENT_HUNG_UP)
        return leg, ear

    try:
        return run_virtual(main())
    finally:
        disk.close()


def test_the_tape_holds_both_sides_in_their_places(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    leg, ear = taped(path)
    sound, rate = read_wav(path)
    assert rate == leg.sample_rate == 8000
    assert len(sound) == ear.frames * 160
    left, right = np.flatnonzero(sound[:, 0]), np.flatnonzero(sound[:, 1])
    assert (left[0], left[-1] + 1) == (1600, 3200)
    assert len(right) == 8000 and 4000 <= right[0] <= 4320
    assert leg.stats()["tape_dropped"] == 0


def test_the_leg_behind_it_is_told_and_tells_everything(tmp_path: Path) -> None:
    leg, ear = taped(tmp_path / "call.wav")
    assert (leg.leg_id, leg.direction, leg.parties.called) == ("loopback-1", "inbound", "offhook")
    kinds = [type(event) for event in ear.events]
    assert PlayoutStarted in kinds and PlayoutDrained in kinds
    assert isinstance(ear.events[-1], LegClosed)


def test_an_interrupted_reply_ends_on_the_tape_where_it_fell_silent(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    taped(path, barge_in_at=0.8)
    sound, _ = read_wav(path)
    right = np.flatnonzero(sound[:, 1])
    assert right[-1] + 1 <= 0.82 * 8000
    assert len(right) > 0.25 * 8000


def test_a_call_that_never_was_leaves_no_file(tmp_path: Path) -> None:
    taped(tmp_path / "call.wav", answered=False)
    assert list(tmp_path.iterdir()) == []
