"""Where an engine is: in this machine, among the operator's own, or at somebody else's."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from engines.base import Residency

_ADDRESSES = ("address", "base_url", "url", "host", "endpoint")
"""Fields in which engines' settings hold where the engine is."""
_OWN = (
    ".local", ".internal", ".lan", ".localdomain", ".home.arpa", ".svc", ".cluster.local", ".intranet",
    ".private", ".corp",
)  # fmt: skip
"""Endings of names that no public server has."""


def residency_of(settings: object) -> Residency:
    """What an engine's settings tell: in `data`, or by its address; one that has none runs here.

    An address that is not clearly ours counts as somebody else's: saying `data: site` takes one word, and
    sound that went out cannot be called back.
    """
    said = getattr(settings, "data", None)
    if isinstance(said, str) and said in list(Residency):
        return Residency(said)
    found = [str(getattr(settings, name)) for name in _ADDRESSES if getattr(settings, name, None)]
    order = list(Residency)
    return max((residency_of_address(text) for text in found), key=order.index, default=Residency.NODE)


def residency_of_address(address: str) -> Residency:
    """The same for `host:port`, a URL or the path of a socket."""
    if address.startswith(("/", "unix:")):
        return Residency.NODE
    host = _host(address)
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return _residency_of_name(host)
    if ip.is_loopback:
        return Residency.NODE
    return Residency.SITE if ip.is_private or ip.is_link_local else Residency.CLOUD


def _residency_of_name(host: str) -> Residency:
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return Residency.NODE
    return Residency.SITE if name and ("." not in name or name.endswith(_OWN)) else Residency.CLOUD


def _host(address: str) -> str:
    try:
        return urlsplit(address if "//" in address else f"//{address}").hostname or ""
    except ValueError:
        return ""
