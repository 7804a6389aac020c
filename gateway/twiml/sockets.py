"""WebSockets of apps: which ones a document may name."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from gateway.audio.outbound import Guard, Lookup, system_lookup
from gateway.errors import AppFailed
from gateway.twiml.client import Visit, shown

REFUSED = 31920
"""Twilio's code for a stream that did not come about."""
_SECONDS = 5.0


async def judge(url: str, visit: Visit, guard: Guard, lookup: Lookup = system_lookup) -> tuple[str, ...]:
    """Hosts that may be dialled without TLS for this address. Raises `AppFailed` for one that leads inside.

    Hosts that the operator named are dialled wherever they are, with TLS or without. Any other must be
    public, or allowed, and is dialled with TLS: its certificate proves that the host is the one judged.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in {urlsplit(known).hostname for known in visit.trusted}:
        return (host,)
    if parts.scheme != "wss":
        raise AppFailed(f"{shown(url)}: only wss:// addresses are dialled", code=REFUSED)
    try:
        async with asyncio.timeout(_SECONDS):
            found = await lookup(host, parts.port or 443)
    except (OSError, UnicodeError, TimeoutError):
        raise AppFailed(f"there is no host called {host}", code=REFUSED) from None
    if not found or not all(guard.allows(address) for address in found):
        raise AppFailed(f"{host} is not a public address; allow its network in twiml.allow", code=REFUSED)
    return ()
