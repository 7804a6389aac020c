"""Keeps other people's web pages out: a browser on this machine must not place calls for them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from gateway.errors import ScopeRefused


def check(headers: Mapping[str, str], allowed_hosts: Sequence[str]) -> None:
    """Raises `ScopeRefused` when the request comes from a page of another host.

    Only browsers send `Origin` (RFC 6454) and `Sec-Fetch-Site`, and pages cannot forge them.
    """
    origin = headers.get("origin", "")
    if not origin:
        if headers.get("sec-fetch-site", "") == "cross-site":
            raise ScopeRefused("web pages of other sites may not do this")
        return
    place = urlsplit(origin)
    if place.netloc and place.netloc.lower() == headers.get("host", "").lower():
        return
    if place.hostname and any(host in ("*", place.hostname) for host in allowed_hosts):
        return
    raise ScopeRefused("web pages of other sites may not do this; api.allowed_hosts names those that may")
