"""The one place that finds a key in a request, however its client sends it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

_SCHEMES = frozenset({"token", "bearer", "key", "apikey", "api-key"})
_QUERY = ("api_key", "token", "access_token")
_HEADERS = ("x-api-key", "api-key")


def presented(headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    """The key that came with a request, or "".

    In order: `Authorization` with `Token`, `Bearer` or a bare key in any case, or `Basic` with the key as
    user or password; `X-API-Key`; the sub-protocols `token, KEY` or `bearer, KEY` of a browser's socket;
    OpenAI's sub-protocol `openai-insecure-api-key.KEY`; `?api_key=`, `?token=`. `headers` must find names
    in any case.
    """
    written = headers.get("authorization", "").strip()
    if written:
        return _authorization(written)
    for name in _HEADERS:
        if value := headers.get(name, "").strip():
            return value
    if value := _subprotocol(headers.get("sec-websocket-protocol", "")):
        return value
    return next((query[name] for name in _QUERY if query.get(name)), "")


def answered_subprotocol(headers: Mapping[str, str]) -> str | None:
    """The sub-protocol to accept a socket with: browsers close one that names none of those they offered."""
    offered = [part.strip() for part in headers.get("sec-websocket-protocol", "").split(",") if part.strip()]
    return offered[0] if offered else None


def _authorization(written: str) -> str:
    scheme, _, rest = written.partition(" ")
    if scheme.lower() == "basic":
        return _basic(rest.strip())
    return rest.strip() if scheme.lower() in _SCHEMES else written


def _basic(encoded: str) -> str:
    try:
        text = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    user, _, password = text.partition(":")
    return password or user


def _subprotocol(written: str) -> str:
    parts = [part.strip() for part in written.split(",")]
    for before, after in zip(parts, parts[1:], strict=False):
        if before.lower() in _SCHEMES:
            return after
    marker = "openai-insecure-api-key."
    return next((part[len(marker) :] for part in parts if part.startswith(marker)), "")
