"""What keeps a call from being stuck while a backend hears and speaks by itself. Pure; seconds of the loop.

The usual turn-taker's guards need its phases; these need only to know who makes a sound.
"""

from __future__ import annotations

from dataclasses import dataclass

from media.legs.base import EndReason


@dataclass(frozen=True, slots=True)
class SoundGuardSettings:
    """Seconds, all above 0 but `dead_air`."""

    max_duration: float
    """The longest call."""
    media_lost: float
    """No packet of the far end for so long."""
    dead_air: float
    """The backend says nothing for so long after the caller spoke; 0 for never."""
    silence: float
    """Neither makes a sound for so long."""


class SoundGuards:
    """One call's guards. While the far end holds us, all rest but the longest duration."""

    def __init__(self, settings: SoundGuardSettings, now: float) -> None:
        self._settings = settings
        self._end = now + settings.max_duration
        self._packet = now
        """When something of the far end came last."""
        self._sound = now
        """When somebody was last heard."""
        self._waits_since: float | None = None
        self._held = False
        self._busy = False

    def frame(
        self, at: float, *, nothing_came: bool, caller: bool, backend: bool, ours: bool = False
    ) -> None:
        """20 ms passed; `caller`, `backend`: who makes a sound; `ours`: we do, which answers nothing."""
        if not nothing_came:
            self._packet = at
        if caller or backend:
            self._sound = at
            self._waits_since = None
        elif ours:
            self._sound = at
            if self._waits_since is not None:
                self._waits_since = at

    def spoke(self, at: float) -> None:
        """The caller stopped speaking at this time and waits for an answer."""
        self._waits_since = at

    def busy(self, on: bool, at: float) -> None:
        """The backend works for the caller and cannot speak meanwhile, or is done; his wait counts anew."""
        self._busy = on
        if self._waits_since is not None:
            self._waits_since = at

    def held(self, on: bool, at: float) -> None:
        """The far end put us on hold, or took us back; afterwards every clock starts anew."""
        self._held = on
        self._packet = self._sound = at
        if self._waits_since is not None:
            self._waits_since = at

    def due(self) -> dict[EndReason, float]:
        """When the call will end for which reason, if nothing happens."""
        chosen = self._settings
        due = {EndReason.MAX_DURATION: self._end}
        if not self._held:
            due[EndReason.MEDIA_LOST] = self._packet + chosen.media_lost
            due[EndReason.NO_INPUT] = self._sound + chosen.silence
            if self._waits_since is not None and chosen.dead_air and not self._busy:
                due[EndReason.DEAD_AIR] = self._waits_since + chosen.dead_air
        return due

    def judge(self, now: float) -> EndReason | None:
        """Why the call must end now; the earliest reason counts."""
        reason, at = min(self.due().items(), key=lambda item: item[1])
        return reason if at <= now else None
