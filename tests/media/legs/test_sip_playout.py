"""A playout outlives its leg: silent, harmless, and it remembers what was heard."""

from __future__ import annotations

import numpy as np

from media.legs.sip_playout import SipPlayout


class ScriptedBus:
    """Has sent 160 samples of whatever was written."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def write(self, leg: int, pcm: object, reply: int) -> int:
        self.asked.append("write")
        return 320

    def clear(self, leg: int) -> tuple[int, int]:
        self.asked.append("clear")
        return 1, 160

    def position(self, leg: int) -> tuple[int, int]:
        self.asked.append("position")
        return 1, 160


def test_what_was_sent_stays_known_after_the_end() -> None:
    bus = ScriptedBus()
    playout = SipPlayout(bus, 3)
    assert playout.write(np.zeros(320, np.int16), 1) == 320
    playout.shut()
    playout.shut()
    assert (playout.clear(), playout.position()) == (160, 160)
    assert playout.write(np.zeros(320, np.int16), 1) == 0
    playout.mark(1)
    playout.finish()
    playout.duck(0.5)
    assert bus.asked == ["write", "clear"], "its number on the bus may be somebody else's"
