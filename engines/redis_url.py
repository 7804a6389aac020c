"""URLs of Redis: what they may be, without the library that uses them."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

PLAIN = ("redis", "rediss", "unix")
SENTINEL = ("redis+sentinel", "rediss+sentinel")
CLUSTER = ("redis+cluster", "rediss+cluster")
SCHEMES = (*PLAIN, *SENTINEL, *CLUSTER)


def check(url: str) -> SplitResult:
    """The URL's parts, checked. Raises `ValueError`; the message names the cure and holds no password."""
    try:
        parts = urlsplit(url)
        port = None if parts.scheme in SENTINEL else parts.port
    except ValueError:
        raise ValueError("is no URL; give one like redis://host:6379/0") from None
    if parts.scheme not in SCHEMES:
        raise ValueError(f"begins with {parts.scheme[:20]!r}; give one of {', '.join(SCHEMES)}")
    if parts.scheme == "unix":
        if not parts.path:
            raise ValueError("names no socket; give one like unix:///run/redis.sock")
    elif not parts.netloc.rpartition("@")[2]:
        raise ValueError("names no host; give one like redis://host:6379/0")
    if port == 0:
        raise ValueError("has port 0; leave it out for the usual one")
    if parts.scheme in SENTINEL and not parts.path.strip("/"):
        raise ValueError("names no master; give one like redis+sentinel://host:26379/mymaster")
    return parts


def shown(url: str) -> str:
    """The URL as it may stand in a log: without user and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
