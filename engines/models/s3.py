"""Signs requests to S3-style storage: AWS Signature Version 4, in a header, for GET without a body."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class S3Key:
    """Whose requests, and where."""

    access: str
    region: str
    secret: str = field(repr=False)


def signed(url: str, headers: dict[str, str], key: S3Key, at: float) -> dict[str, str]:
    """The headers with those that sign a GET of `url` at the Unix time `at`.

    `url` must be encoded already, path-style or not. Source: AWS General Reference, "Create a signed AWS API
    request"; S3 wants the path encoded once.
    """
    parts = urlsplit(url)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
    scope = f"{stamp[:8]}/{key.region}/s3/aws4_request"
    out = {**headers, "host": parts.netloc, "x-amz-content-sha256": _EMPTY, "x-amz-date": stamp}
    lower = {name.lower(): value.strip() for name, value in out.items()}
    names = ";".join(sorted(lower))
    lines = (
        "GET",
        parts.path or "/",
        "&".join(sorted(parts.query.split("&"))) if parts.query else "",
        *(f"{name}:{lower[name]}" for name in sorted(lower)),
        "",
        names,
        _EMPTY,
    )
    canonical = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    signature = hmac.new(
        _signing_key(key, stamp[:8]),
        f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{canonical}".encode(),
        "sha256",
    ).hexdigest()
    credential = f"{key.access}/{scope}"
    out["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credential},SignedHeaders={names},Signature={signature}"
    )
    return out


def _signing_key(key: S3Key, day: str) -> bytes:
    made = f"AWS4{key.secret}".encode()
    for part in (day, key.region, "s3", "aws4_request"):
        made = hmac.new(made, part.encode(), "sha256").digest()
    return made
