"""Smallest's two error shapes: flat with a code on the self-host paths, `error` and `message` under Waves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse

from engines.base import EngineBusy
from gateway.api.told import message_of
from gateway.audio.unreadable import FORMATS
from gateway.errors import (
    AdmissionRefused,
    AudioBroken,
    AudioTooLong,
    AudioUnfit,
    BodyTooLarge,
    KeyRefused,
    LicenceRefused,
    LimitReached,
    ModelUnknown,
    ParameterMissing,
    RequestUnfit,
    ScopeRefused,
    ServiceAway,
    verdict,
)

_RETRY_SECONDS = 1
_BODY = {
    "type": "object",
    "properties": {
        "error": {"type": "string"},
        "message": {"type": "string"},
        "request_id": {"type": "string"},
    },
}
_WHY = {
    400: "A parameter is wrong, or asks for what the engine cannot do; or audio of a kind that is not read",
    401: "No key, or a wrong one",
    403: "The key may not do this",
    404: "Nothing of that name",
    413: "More than is taken",
    429: "The key or the node has no place or rate left",
    502: "The engine failed",
    503: "The engine or a service is away or full",
    504: "The engine did not answer in time",
}
DESCRIBED: dict[int | str, dict[str, Any]] = {
    status: {"description": why, "content": {"application/json": {"schema": _BODY}}}
    for status, why in _WHY.items()
}
"""The errors under Waves' paths, as OpenAPI describes them."""
_CODES: tuple[tuple[type[Exception], int, str], ...] = (
    (KeyRefused, 401, "INVALID_LICENSE"),
    (LicenceRefused, 403, "LICENSE_EXPIRED"),
    (ScopeRefused, 403, "FORBIDDEN"),
    (LimitReached, 429, "RATE_LIMIT_EXCEEDED"),
    (EngineBusy, 503, "SERVICE_UNAVAILABLE"),
    (ServiceAway, 503, "SERVICE_UNAVAILABLE"),
    (AdmissionRefused, 503, "SERVICE_UNAVAILABLE"),
    (BodyTooLarge, 422, "FILE_TOO_LARGE"),
    (AudioTooLong, 422, "FILE_TOO_LARGE"),
    (AudioBroken, 400, "INVALID_AUDIO"),
    (AudioUnfit, 415, "UNSUPPORTED_FORMAT"),
    (ModelUnknown, 404, "NOT_FOUND"),
    (ParameterMissing, 400, "MISSING_PARAMETER"),
    (RequestUnfit, 400, "INVALID_PARAMETER"),
)


def code_of(error: Exception) -> tuple[int, str]:
    """The HTTP status and Smallest's word for it."""
    for kind, status, code in _CODES:
        if isinstance(error, kind):
            return status, code
    status = verdict(error).http_status
    return status, "SERVICE_UNAVAILABLE" if status == 503 else "INTERNAL_ERROR"


def flat(error: Exception, request_id: str) -> Response:
    """The self-host paths' shape. See `gateway.api.dialect.ErrorShape`."""
    status, _ = code_of(error)
    return JSONResponse(flat_body(error, request_id), status, headers_of(error, status, request_id))


def flat_body(error: Exception, request_id: str) -> Mapping[str, Any]:
    """`error`, `code`, and what each code adds."""
    status, code = code_of(error)
    body: dict[str, Any] = {"error": message_of(error), "code": code, "request_id": request_id}
    if code == "UNSUPPORTED_FORMAT":
        body["supported_formats"] = list(FORMATS)
    if isinstance(error, BodyTooLarge):
        body["max_size_mb"] = error.most_bytes / 1e6
    if status in (429, 503):
        body["retry_after"] = getattr(error, "retry_after", _RETRY_SECONDS)
    return body


def waves(error: Exception, request_id: str) -> Response:
    """The Waves paths' shape. See `gateway.api.dialect.ErrorShape`."""
    status, code = code_of(error)
    status = 413 if code == "FILE_TOO_LARGE" else 400 if code == "UNSUPPORTED_FORMAT" else status
    told = message_of(error)
    body = {"error": code, "message": told, "status": "error", "request_id": request_id, "details": [told]}
    return JSONResponse(body, status, headers_of(error, status, request_id))


def headers_of(error: Exception, status: int, request_id: str) -> dict[str, str]:
    """The request's id, and when to try again."""
    headers = {"X-Request-Id": request_id}
    if status in (429, 503):
        headers["Retry-After"] = str(getattr(error, "retry_after", _RETRY_SECONDS))
    return headers
