"""What a source that is not on this machine means: an address, a digest, and who may be shown which key."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote, urlsplit, urlunsplit

from engines.models.base import ModelError
from engines.models.catalogue import KNOWN, Known
from engines.models.digest import is_digest
from engines.models.s3 import S3Key, signed
from engines.models.settings import ModelSettings

_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 120


@dataclass(frozen=True, slots=True)
class Remote:
    """A model elsewhere."""

    shown: str
    """The source without anything secret, for logs, lists and errors."""
    url: str = field(repr=False)
    """With whatever the operator wrote, perhaps a signature in its query."""
    sha256: str
    """Lower case; empty where a signature stands for it."""
    s3: bool = False
    signer: str = ""
    """Public key of whoever must have signed it."""

    @property
    def key(self) -> str:
        """Name of its place in the cache: the content's digest, else one of who signed what."""
        return self.sha256 or hashlib.sha256(f"{self.signer}\n{self.shown}".encode()).hexdigest()

    @property
    def signature(self) -> Remote:
        """Where its signature lies: beside it."""
        parts = urlsplit(self.url)
        beside = parts._replace(path=f"{parts.path}.minisig")
        return replace(self, shown=f"{self.shown}.minisig", url=urlunsplit(beside))

    @property
    def file_name(self) -> str:
        """A harmless name for the file, taken from the address."""
        last = urlsplit(self.url).path.rpartition("/")[2]
        return _UNFIT.sub("_", last).strip("._")[-_LONGEST_NAME:] or "model"


def resolve(source: str, sha256: str, settings: ModelSettings, known: Mapping[str, Known] = KNOWN) -> Remote:
    """Raises `ModelError` for what names nothing, and for what comes without a digest."""
    shown = without_secrets(source)
    if source in known:
        url, sha256 = known[source].url, sha256 or known[source].sha256
    elif source.startswith("s3://"):
        url = _s3_url(source, settings)
    elif "://" in source:
        url = _https_url(source, shown)
    else:
        names = ", ".join(sorted(known))
        raise ModelError(f"no model is called {source!r}; give a path, an address, or one of: {names}")
    sha256 = sha256 or settings.pins.get(source, "") or settings.pins.get(shown, "")
    if not sha256 and settings.signer:
        return Remote(shown, url, "", source.startswith("s3://"), settings.signer)
    if not sha256:
        raise ModelError(
            f"{shown}: what comes from elsewhere needs its sha256: take it from the publisher, or run "
            "sha256sum on a copy that you trust; give it as --sha256, beside the model, or in models.pins. "
            "Or set models.signer to the key of whoever signs the models with minisign"
        )
    if not is_digest(sha256):
        raise ModelError(f"{shown}: sha256 must be 64 hexadecimal digits, as sha256sum prints them")
    return Remote(shown, url, sha256.lower(), source.startswith("s3://"))


def without_secrets(source: str) -> str:
    """The source without query, fragment, user and password: any of them may hold a key.

    Raises `ModelError` for what is no address.
    """
    if "://" not in source:
        return source
    try:
        parts = urlsplit(source)
    except ValueError:
        raise ModelError("the model's address is none; check it") from None
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def request_headers(
    url: str, remote: Remote, settings: ModelSettings, headers: Mapping[str, str], at: float
) -> dict[str, str]:
    """The headers for one request, with the keys that this host, and only this host, is shown."""
    out = {"accept-encoding": "identity", "user-agent": "offhook", **headers}
    parts = urlsplit(url)
    if remote.s3 and settings.s3_access_key and parts.netloc == urlsplit(settings.s3_endpoint).netloc:
        key = S3Key(settings.s3_access_key, settings.s3_region, settings.s3_secret_key)
        return signed(url, out, key, at)
    if settings.token and parts.netloc.lower() == settings.token_host.lower():
        out["authorization"] = f"Bearer {settings.token}"
    return out


def _https_url(source: str, shown: str) -> str:
    parts = urlsplit(source)
    if parts.scheme != "https":
        raise ModelError(f"{shown}: {parts.scheme}: is not taken; use https:, s3: or file:")
    if not parts.hostname:
        raise ModelError(f"{shown}: names no host")
    if parts.username or parts.password:
        raise ModelError(f"{shown}: leave user and password out; set models.token and models.token_host")
    return source


def _s3_url(source: str, settings: ModelSettings) -> str:
    parts = urlsplit(source)
    bucket, key = parts.netloc, parts.path.lstrip("/")
    if not bucket or not key or parts.query:
        raise ModelError(f"{without_secrets(source)}: write s3://bucket/key")
    if not settings.s3_endpoint:
        raise ModelError(
            f"{source}: set models.s3_endpoint to the storage's address, such as "
            "https://s3.eu-central-1.amazonaws.com"
        )
    return f"{settings.s3_endpoint.rstrip('/')}/{quote(bucket)}/{quote(key, safe='/-_.~')}"
