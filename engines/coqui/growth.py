"""How much is spoken at a time: little for the first sound, more as the listener's reserve grows.

All lengths are in tokens, one of which is `Pace.token` seconds of speech.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_GROWTH = 2
"""A chunk is at most this many times its predecessor: one late chunk then never costs a whole reserve."""

_SPENT = 0.5
"""Share of a listener's reserve that the making of the next chunk may use up."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the device is at this moment, in seconds."""

    token: float
    """Speech in one token."""
    step: float
    """One more token for every row that speaks."""
    voicing: float
    """Whatever a chunk's samples cost before its first token."""
    each: float
    """What every token of it adds to that."""
    held: float
    """Speech at the end of a chunk that is held back because what follows still shapes it."""
    margin: float
    """To be left between a chunk's arrival and its need."""


@dataclass(frozen=True, slots=True)
class ChunkSizes:
    """The bounds of a chunk."""

    first: int = 4
    """Tokens before the first sound, at best."""
    longest: int = 40

    def opening(self, pace: Pace, ahead: float) -> int:
        """Tokens of a passage's first chunk.

        As few as leave the listener enough to hear until the second chunk is there; on a device slower than
        speech there is no such number, and the chunk is as long as may be.
        """
        second = self._least(pace)
        makes = second * pace.step + pace.voicing + second * pace.each + pace.margin
        needed = math.ceil((pace.held + makes) / pace.token)
        slow = pace.step + pace.each >= pace.token
        return (
            self.longest
            if slow
            else min(self.longest, max(needed, self._affordable(pace, ahead, self.first)))
        )

    def following(self, pace: Pace, ahead: float, previous: int) -> int:
        """Tokens of the next chunk, `ahead` seconds before the listener has heard all there is."""
        return min(self.longest, max(self._least(pace), self._affordable(pace, ahead, _GROWTH * previous)))

    def _least(self, pace: Pace) -> int:
        """Tokens of a chunk that takes no longer to make than to hear: less would shrink the reserve."""
        gain = pace.token - pace.step - pace.each
        if gain <= 0:
            return self.longest
        return min(self.longest, max(self.first, math.ceil(pace.voicing / gain)))

    def _affordable(self, pace: Pace, ahead: float, most: int) -> int:
        """Tokens, up to `most`, that can be made before the listener needs them with time left for others."""
        spent = _SPENT * (ahead - pace.voicing - pace.margin)
        return min(most, int(spent / max(1e-6, pace.step + pace.each)))
