"""How much sound a site used in a calendar month, on disk, signed: an edited file counts as none."""

from __future__ import annotations

from pathlib import Path

from license.cache import write_private
from license.signature import BadSignature, derived_key, public_of, seal, unseal
from license.standing import month_of

_KIND = "offhook-tally+jwt"


class Tally:
    """One number and its month. Blocks for the disk."""

    def __init__(self, path: Path, licence_key: str) -> None:
        """Reads what is there."""
        self._path = path
        self._key = derived_key(licence_key, "offhook licence tally")
        self._month, self._seconds = 0, 0.0
        try:
            kept = unseal(_KIND, path.read_text(encoding="utf-8"), public_of(self._key))
            self._month, self._seconds = int(kept["month"]), float(kept["seconds"])
        except FileNotFoundError:
            pass
        except (OSError, BadSignature, KeyError, TypeError, ValueError):
            self.refused = True

    refused = False
    """Whether a file was there that is not believed."""

    def used(self, now: float) -> float:
        """Seconds in the month of `now`."""
        return self._seconds if self._month == month_of(now) else 0.0

    def add(self, seconds: float, now: float) -> None:
        """Count them, durably. Raises `OSError`; they count in memory then."""
        self._month, self._seconds = month_of(now), self.used(now) + seconds
        claims = {"month": self._month, "seconds": round(self._seconds, 1)}
        write_private(self._path, seal(_KIND, claims, self._key))
