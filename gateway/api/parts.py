"""What the HTTP side needs of the rest, and nothing more."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from gateway.api.core.door import Door
from gateway.api.core.readiness import Readiness
from gateway.api.core.speech_parts import SpeechParts
from gateway.api.webrtc.parts import WebRtcParts
from gateway.twiml.recordings import RecordingShelf

if TYPE_CHECKING:
    from gateway.api.calls.parts import CallControl
    from gateway.api.twilio_calls import TwilioCalls

CallView: TypeAlias = Mapping[str, Any]
"""A call as the API tells it; holds at least `call_id`."""

_CALL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


class RecordFiles:
    """Finished calls, read from the folder where their records (`<call id>.json`) lie."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def record(self, call_id: str) -> CallView | None:
        """The record of a finished call, or None."""
        if not _CALL_ID.fullmatch(call_id):
            return None
        return await asyncio.to_thread(self._read, call_id)

    def _read(self, call_id: str) -> CallView | None:
        try:
            record = json.loads((self._folder / f"{call_id}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) else None


@dataclass(frozen=True, slots=True)
class ApiParts:
    """What the endpoints ask."""

    readiness: Readiness
    metrics: Callable[[str], tuple[bytes, str]]
    """The metrics' text for an Accept header, and its content type."""
    calls: Callable[[], Sequence[CallView]]
    """Running calls."""
    record: Callable[[str], Awaitable[CallView | None]]
    """A finished call's record."""
    components: Readiness | None = None
    """Of `asr`, `tts` and, where they are in use, `license` and `redis`, for those who ask for the parts by
    name; more than `readiness`, for calls go on without Redis. None: the same."""
    version: str = ""
    started: float = 0.0
    """Monotonic seconds at which the node started."""
    door: Door | None = None
    """Who may see the calls; None: whoever reaches the port."""
    speech: SpeechParts | None = None
    """Of the speech APIs; None: this port has none."""
    control: CallControl | None = None
    """Of call control; None: this port has none."""
    twilio: TwilioCalls | None = None
    """Of Twilio's Calls resource; None: this port has none."""
    web: WebRtcParts | None = None
    """Of calls from web pages; None: there are none."""
    recordings: RecordingShelf | None = None
    """Of TwiML apps; None: nobody may fetch them."""
