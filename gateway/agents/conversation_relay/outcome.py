"""How a relay session ended, for whoever started it: `<Connect action>` is told it field by field."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SessionStatus(StrEnum):
    """Twilio's words for it."""

    ENDED = "ended"
    """The app ended it; the call may go on."""
    COMPLETED = "completed"
    """The call was over."""
    FAILED = "failed"
    """The app could not be reached, or was lost for good."""


NEVER_CONNECTED = 64102
"""Twilio's code for an app that could not be reached."""
LOST = 64105
"""Twilio's code for an app whose socket ended."""


@dataclass(frozen=True, slots=True)
class RelayOutcome:
    """What is known once the session is over."""

    session_id: str
    status: SessionStatus
    seconds: float
    """How long it lasted."""
    handoff_data: str = ""
    error_code: int = 0
    """One of Twilio's; 0 for none."""
    error_message: str = ""

    def form(self) -> list[tuple[str, str]]:
        """The fields that `<Connect action>` is sent beside those of every request."""
        fields = [
            ("SessionId", self.session_id),
            ("SessionStatus", self.status.value),
            ("SessionDuration", str(round(self.seconds))),
        ]
        if self.handoff_data:
            fields.append(("HandoffData", self.handoff_data))
        if self.error_code:
            fields += [("ErrorCode", str(self.error_code)), ("ErrorMessage", self.error_message)]
        return fields
