"""Which pages may call (RFC 6454), and the headers that let a browser read our answers (CORS). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.errors import ScopeRefused

_EXPOSED = "Location, ETag, Link, Retry-After, WWW-Authenticate"
_ALLOWED = "Authorization, Content-Type, If-Match"


def checked(headers: Mapping[str, str], allowed: Sequence[str], bound: str = "") -> str:
    """The origin that asks, "" when none is named. Raises `ScopeRefused` for a page that may not.

    A page that this node serves names the host that it asks. `bound`: the one origin that a token is for.
    """
    origin = headers.get("origin", "").rstrip("/")
    if bound and origin != bound:
        raise ScopeRefused(f"this call token is for pages of {bound}")
    if not origin:
        return ""
    if "*" in allowed or origin in allowed or origin == bound or _own(origin, headers.get("host", "")):
        return origin
    raise ScopeRefused(f"pages of {origin[:100]} may not call; add it to webrtc.origins")


def cors(origin: str) -> dict[str, str]:
    """Headers for a page of that origin; none where no page asks."""
    if not origin:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": _EXPOSED,
        "Vary": "Origin",
    }


def preflight(origin: str, methods: str) -> dict[str, str]:
    """Headers that answer OPTIONS."""
    if not origin:
        return {"Allow": methods}
    return {
        **cors(origin),
        "Access-Control-Allow-Methods": methods,
        "Access-Control-Allow-Headers": _ALLOWED,
        "Access-Control-Max-Age": "600",
        "Allow": methods,
    }


def _own(origin: str, host: str) -> bool:
    scheme, _, place = origin.partition("://")
    return bool(host) and scheme in ("http", "https") and place.lower() == host.lower()
