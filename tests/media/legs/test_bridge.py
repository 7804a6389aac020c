"""Two legs connected through Python: what one says the other hears, and no more."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from media.clock import now
from media.frame import AudioFrame, Pcm, Voice
from media.legs.base import DtmfReceived, EndReason, Leg, LegClosed, LegEvent, LegListener
from media.legs.bridge import Bridge, BridgeEnd
from media.legs.loopback import FarEnd, LoopbackLeg
from media.vad import VadMode, VadSettings, open_detector
from tests.virtual_time import run_virtual

VOICE = np.full(8000, 3000, np.int16)


class Scene:
    """Two loopback calls on one bridge, in virtual time."""

    def __init__(self, a: FarEnd, b: FarEnd, rates: tuple[int, int] = (8000, 8000)) -> None:
        detector = open_detector(VadSettings(mode=VadMode.WEBRTC))
        self.a = LoopbackLeg(a, detector, leg_id="a", sample_rate=rates[0], detector_leg=1)
        self.b = LoopbackLeg(b, detector, leg_id="b", sample_rate=rates[1], detector_leg=2)
        self.events: list[tuple[str, LegEvent]] = []
        self.frames = {"a": 0, "b": 0}
        self.bridge = Bridge(self.a, self.b, on_event=self.event, on_frame=self.frame)

    def event(self, leg: Leg, event: LegEvent) -> None:
        self.events.append((leg.leg_id, event))

    def frame(self, leg: Leg, frame: AudioFrame, voice: Voice) -> None:
        self.frames[leg.leg_id] += 1

    async def run(self, seconds: float) -> BridgeEnd:
        await self.a.answer()
        await self.b.answer()
        asyncio.get_running_loop().call_later(seconds, self.bridge.stop)
        end = await self.bridge.run()
        return end


def loud(pcm: Pcm) -> tuple[float, float]:
    """Seconds at which sound begins and ends."""
    at = np.flatnonzero(np.abs(pcm) > 500)
    return (float(at[0]) / 8000, float(at[-1]) / 8000) if len(at) else (0.0, 0.0)


def test_each_hears_the_other_a_moment_later() -> None:
    async def main() -> None:
        scene = Scene(FarEnd(says=[(0.5, VOICE)]), FarEnd(says=[(2.0, VOICE[:4000])]))
        end = await scene.run(4.0)
        assert end == BridgeEnd(None, None, native=False) and now() == pytest.approx(4.0)
        began, ended = loud(scene.b.sound())
        assert 0.5 <= began <= 0.56 and 0.99 <= ended - began <= 1.02
        began, ended = loud(scene.a.sound())
        assert 2.0 <= began <= 2.06 and 0.49 <= ended - began <= 0.52
        assert scene.frames["a"] >= 198 and scene.frames["b"] >= 198

    run_virtual(main())


def test_rates_are_converted() -> None:
    async def main() -> None:
        scene = Scene(FarEnd(says=[(0.5, VOICE)]), FarEnd(), rates=(8000, 16000))
        await scene.run(3.0)
        heard = scene.b.sound()[::2]
        began, ended = loud(heard)
        assert 0.5 <= began <= 0.57 and 0.98 <= ended - began <= 1.02
        assert np.abs(heard[round(8000 * (began + 0.3)) : round(8000 * (began + 0.7))] - 3000).max() < 60

    run_virtual(main())


@pytest.mark.parametrize("who", ["a", "b"])
def test_it_ends_when_either_hangs_up_and_says_who(who: str) -> None:
    async def main() -> None:
        gone, stays = FarEnd(hangs_up_at=1.0), FarEnd()
        scene = Scene(*((gone, stays) if who == "a" else (stays, gone)))
        end = await scene.run(9.0)
        assert now() == pytest.approx(1.0)
        assert (end.closed_a is not None, end.closed_b is not None) == (who == "a", who == "b")
        assert isinstance(scene.events[-1][1], LegClosed) and scene.events[-1][0] == who
        other = scene.b if who == "a" else scene.a
        await other.hangup(EndReason.AGENT_HUNG_UP)

    run_virtual(main())


def test_keys_go_to_the_other_side_once_and_in_order() -> None:
    async def main() -> None:
        scene = Scene(FarEnd(presses=[(0.5, "12"), (1.0, "#")]), FarEnd())
        asyncio.get_running_loop().call_later(
            1.5, lambda: scene.bridge._a.notice(DtmfReceived("9", 1.5, inband=True))
        )
        await scene.run(2.0)
        assert scene.b.digits_sent == "12#" and scene.a.digits_sent == ""
        keys = [event.digit for _, event in scene.events if isinstance(event, DtmfReceived)]
        assert keys == ["1", "2", "#", "9"]

    run_virtual(main())


def test_a_key_that_is_kept_and_a_leg_that_is_lent() -> None:
    async def main() -> None:
        scene = Scene(FarEnd(presses=[(0.5, "1*2")]), FarEnd())
        lent: list[str] = []

        def lend(leg: Leg, listener: LegListener) -> None:
            lent.append(leg.leg_id)
            leg.attach(listener)

        scene.bridge = Bridge(
            scene.a, scene.b, lend=lend, keeps=lambda leg, key: (leg, key) == (scene.a, "*")
        )
        await scene.run(2.0)
        assert scene.b.digits_sent == "12" and lent == ["a", "b"]

    run_virtual(main())


def test_after_the_bridge_nobody_hears_anybody() -> None:
    async def main() -> None:
        scene = Scene(FarEnd(says=[(0.0, np.tile(VOICE, 4))]), FarEnd())
        await scene.run(1.0)
        await asyncio.sleep(1.0)
        _, ended = loud(scene.b.sound())
        assert ended <= 1.1

    run_virtual(main())
