"""The clock of all browsers, in virtual time: absolute, at once after silence, unharmed by one leg."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from media.legs.webrtc_ear import Heard
from media.legs.webrtc_grid import STEP, Grid
from tests.virtual_time import run_virtual

FRAME = 0.02


class Mouth:
    """Speaks when it is told to."""

    def __init__(self) -> None:
        self.idle = True
        self.waiting = False


class Peer:
    """Notes when it was called."""

    def __init__(self, first_packet: float = 0.0) -> None:
        self.connected = True
        self.say_phase: int | None = None
        self.mouth = Mouth()
        self.said: list[float] = []
        self.heard: list[float] = []
        self.looked: list[float] = []
        self.breaks = False
        self._first = first_packet

    def hear(self, at: float) -> Heard | None:
        if self.breaks:
            raise RuntimeError("broken")
        if at < self._first:
            return None
        self.heard.append(at)
        return Heard(np.zeros(320, np.int16), at, False, False)

    def say(self, at: float) -> None:
        self.said.append(at)
        if self.mouth.waiting:
            self.mouth.waiting, self.mouth.idle = False, False

    def look(self, now: float) -> None:
        self.looked.append(now)


def gaps(times: list[float]) -> set[float]:
    return {round(b - a, 6) for a, b in zip(times, times[1:], strict=False)}


def run(seconds: float, *peers: Peer, at: dict[float, object] | None = None) -> list[tuple[int, int]]:
    rows: list[tuple[int, int]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        grid = Grid(loop, lambda frames: rows.extend((leg, pts) for leg, pts, _ in frames))
        for number, peer in enumerate(peers):
            grid.add(number, peer)
        grid.start()
        for moment, do in (at or {}).items():
            loop.call_at(moment, do)  # type: ignore[arg-type]
        await asyncio.sleep(seconds)
        grid.stop()

    run_virtual(main())
    return rows


def test_every_leg_is_served_each_20_ms_on_one_grid() -> None:
    peers = [Peer() for _ in range(5)]
    rows = run(2.0, *peers)
    for peer in peers:
        assert gaps(peer.said) == {FRAME}
        assert gaps(peer.heard) == {FRAME}
        assert len(peer.heard) in (99, 100)
    assert [pts for leg, pts in rows if leg == 3] == [320 * i for i in range(len(peers[3].heard))]


def test_a_leg_hears_on_the_tick_after_its_first_packet() -> None:
    early, late = Peer(0.012), Peer(0.507)
    run(1.0, early, late)
    assert early.heard[0] == pytest.approx(0.015)
    assert late.heard[0] == pytest.approx(0.510)
    assert gaps(late.heard) == {FRAME}


@pytest.mark.parametrize("offset", [0.001, 0.004, 0.007, 0.013, 0.019])
def test_sound_after_silence_leaves_within_a_step(offset: float) -> None:
    peer = Peer()
    moment = 1.0 + offset

    def speak() -> None:
        peer.mouth.waiting = True

    run(2.0, peer, at={moment: speak})
    after = [at for at in peer.said if at > moment]
    assert after[0] - moment <= STEP + 1e-6
    assert gaps(after) == {FRAME}


def test_a_leg_that_breaks_harms_no_other() -> None:
    broken, whole = Peer(), Peer()
    broken.breaks = True
    run(1.0, broken, whole)
    assert gaps(whole.heard) == {FRAME}
    assert broken.heard == []


def test_who_is_not_connected_is_looked_after_only() -> None:
    peer = Peer()
    peer.connected = False
    run(1.0, peer)
    assert peer.said == peer.heard == []
    assert gaps(peer.looked) == {0.25}
