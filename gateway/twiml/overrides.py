"""Wishes for how an app is asked, in the fragment of its address: `https://app.example.com/voice#rt=3000`.

Twilio's connection overrides (twilio.com/docs/usage/webhooks/webhooks-connection-overrides): `rt` and `tt`
are how many milliseconds there are until the answer begins, and for everything; `rc` is how many tries come
beyond the first; `rp` what is tried again: `ct` no connection, `rt` no answer in time, `4xx`, `5xx`, `all`.
The fragment is neither sent nor signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urldefrag

_POLICIES = frozenset({"ct", "rt", "4xx", "5xx"})


@dataclass(frozen=True, slots=True)
class Manner:
    """How an app is asked."""

    read: float
    """Seconds until the answer begins."""
    total: float
    """Seconds for everything."""
    retries: int = 1
    """Tries beyond the first."""
    policies: frozenset[str] = frozenset({"ct"})
    """What is tried again."""


def split(url: str, seconds: float) -> tuple[str, Manner]:
    """The address without its fragment, and what that asks for, never longer than `seconds`."""
    bare, fragment = urldefrag(url)
    wishes = dict(parse_qsl(fragment)) if "=" in fragment else {}
    policies = frozenset(wishes.get("rp", "ct").split(","))
    return bare, Manner(
        _seconds(wishes.get("rt", ""), seconds),
        _seconds(wishes.get("tt", ""), seconds),
        int(wishes["rc"]) if wishes.get("rc", "") in tuple("012345") else 1,
        _POLICIES if "all" in policies else policies & _POLICIES,
    )


def _seconds(written: str, most: float) -> float:
    return min(max(int(written), 100) / 1000, most) if written.isascii() and written.isdigit() else most
