"""One word for why an engine was left, for records and metrics."""

from __future__ import annotations

from engines.base import EngineBusy, EngineError, EngineRefused, EngineTimeout

LATE = "late"
"""Another one, asked because it did not answer in its usual time, answered first."""
DOWN = "down"
"""It is known to fail, before it was asked."""
PREFERRED = "preferred"
"""A better one works again."""


def why(error: EngineError) -> str:
    """The word for an engine's error."""
    match error:
        case EngineBusy():
            return "busy"
        case EngineTimeout():
            return "timeout"
        case EngineRefused():
            return "refused"
        case _:
            return "failed"
