"""What is reported of the work done: counts, durations, features, codes. The form can carry nothing else.

No text, sound, number, address or name fits into it: every field is a number within bounds or a word of a
closed list, and times are whole minutes.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What was done."""

    CALL = "call"
    LISTEN = "listen"
    LISTEN_LIVE = "listen_live"
    SPEAK = "speak"
    SPEAK_LIVE = "speak_live"


class Feature(StrEnum):
    """What was used."""

    STREAMING = "streaming"
    PUNCTUATION = "punctuation"
    TIMESTAMPS = "timestamps"
    BATCH = "batch"
    CALLBACK = "callback"
    VOICE_SELECTION = "voice_selection"


class BadEvent(ValueError):
    """Something that must not be reported."""


_ID = re.compile(r"[0-9a-f]{32}")
_MINUTE = 60


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """One piece of work that ended."""

    event_id: str
    """A random UUID in hexadecimal; counts the event once however often it arrives."""
    kind: Kind
    minute: int
    """When it ended: minutes since 1970."""
    seconds: float = 0.0
    characters: int = 0
    code: int = 200
    """HTTP status, or SIP code of a call."""
    features: tuple[Feature, ...] = ()

    def line(self) -> str:
        """As one line of JSON."""
        fields = {
            "event_id": self.event_id, "kind": self.kind, "minute": self.minute, "seconds": self.seconds,
            "characters": self.characters, "code": self.code, "features": list(self.features),
        }  # fmt: skip
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def read(cls, given: Any) -> UsageEvent:
        """From a JSON object. Raises `BadEvent` for every field, word or number that does not belong."""
        if not isinstance(given, dict):
            raise BadEvent("an object is needed")
        if odd := sorted(set(given) - set(cls.__dataclass_fields__)):
            raise BadEvent(f"{odd[0]!r} is no field of a usage event")
        event_id, features = given.get("event_id"), given.get("features", [])
        if not isinstance(event_id, str) or not _ID.fullmatch(event_id):
            raise BadEvent("event_id: 32 hexadecimal digits are needed")
        if not isinstance(features, list) or len(features) > len(Feature):
            raise BadEvent("features: a list is needed")
        try:
            kind, used = Kind(str(given.get("kind"))), tuple(Feature(one) for one in features)
        except ValueError as error:
            raise BadEvent(str(error)) from None
        return cls(
            event_id=event_id,
            kind=kind,
            minute=int(_bounded(given, "minute", 1e9)),
            seconds=round(_bounded(given, "seconds", 1e6), 1),
            characters=int(_bounded(given, "characters", 1e9)),
            code=int(_bounded(given, "code", 999)),
            features=used,
        )


def _bounded(given: dict[str, Any], name: str, high: float) -> float:
    value = given.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadEvent(f"{name}: a number is needed")
    if not 0 <= value <= high:
        raise BadEvent(f"{name}: must lie between 0 and {high:g}")
    return float(value)
