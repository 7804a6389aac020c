"""The states of a call and the one reason for its end.

Whoever is first to claim the end gives the reason; everybody after him learns what it is. So a caller who
hangs up during our goodbye for silence ends a call that ended for silence.
"""

from __future__ import annotations

from enum import StrEnum

from media.legs.base import EndReason


class CallState(StrEnum):
    NEW = "new"
    RINGING = "ringing"
    ANSWERED = "answered"
    """Audio flows both ways."""
    ENDING = "ending"
    """The reason is claimed; what must be tidied is being tidied."""
    ENDED = "ended"
    """Nothing of the call is left but its record."""


TRANSITIONS: dict[CallState, tuple[CallState, ...]] = {
    CallState.NEW: (CallState.RINGING, CallState.ANSWERED, CallState.ENDING),
    CallState.RINGING: (CallState.ANSWERED, CallState.ENDING),
    CallState.ANSWERED: (CallState.ENDING,),
    CallState.ENDING: (CallState.ENDED,),
    CallState.ENDED: (),
}
"""State → the states that may follow. Nothing goes back."""


class Lifecycle:
    """One call's state and, once it ends, its reason."""

    def __init__(self) -> None:
        self._state = CallState.NEW
        self._reason: EndReason | None = None

    @property
    def state(self) -> CallState:
        return self._state

    @property
    def reason(self) -> EndReason | None:
        """None until somebody claimed the end."""
        return self._reason

    def ringing(self) -> bool:
        """The far end knows that we are on it; False when that comes too late to matter."""
        return self._move(CallState.RINGING)

    def answered(self) -> bool:
        """Audio flows; False when the call was answered before, or is over."""
        return self._move(CallState.ANSWERED)

    def claim(self, reason: EndReason) -> bool:
        """End the call for this reason; False when it ends for another already."""
        if not self._move(CallState.ENDING):
            return False
        self._reason = reason
        return True

    def ended(self) -> EndReason:
        """All is tidied; returns the reason. Raises `RuntimeError` when nobody claimed the end."""
        if self._reason is None:
            raise RuntimeError("a call cannot be over before somebody claimed its end")
        self._move(CallState.ENDED)
        return self._reason

    def _move(self, state: CallState) -> bool:
        if state not in TRANSITIONS[self._state]:
            return False
        self._state = state
        return True
