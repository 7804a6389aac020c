"""Deepgram's error shape: JSON `err_code`, `err_msg`, `request_id`, and the header `dg-error`."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse

from engines.base import EngineBusy, EngineRefused
from gateway.api.told import message_of
from gateway.errors import (
    AdmissionRefused,
    AudioBroken,
    AudioTooLong,
    AudioUnfit,
    BodyTooLarge,
    FetchFailed,
    FetchRefused,
    KeyRefused,
    LimitReached,
    ModelUnknown,
    RequestUnfit,
    ScopeRefused,
    ServiceAway,
    verdict,
)

_CODES: tuple[tuple[type[Exception], int, str], ...] = (
    (KeyRefused, 401, "INVALID_AUTH"),
    (ScopeRefused, 403, "INSUFFICIENT_PERMISSIONS"),
    (LimitReached, 429, "TOO_MANY_REQUESTS"),
    (EngineBusy, 503, "SERVICE_UNAVAILABLE"),
    (ServiceAway, 503, "SERVICE_UNAVAILABLE"),
    (ModelUnknown, 404, "Bad Request"),
    (BodyTooLarge, 413, "PAYLOAD_TOO_LARGE"),
    (AudioTooLong, 413, "PAYLOAD_TOO_LARGE"),
    (AudioBroken, 400, "PAYLOAD_ERROR"),
    (AudioUnfit, 415, "UNSUPPORTED_MEDIA_TYPE"),
    (FetchFailed, 400, "REMOTE_CONTENT_ERROR"),
    (FetchRefused, 400, "REMOTE_CONTENT_ERROR"),
    (AdmissionRefused, 503, "SERVICE_UNAVAILABLE"),
    (EngineRefused, 400, "INVALID_QUERY_PARAMETER"),
)
_RETRY_SECONDS = 1
_BODY = {
    "type": "object",
    "properties": {
        "err_code": {"type": "string"},
        "err_msg": {"type": "string"},
        "request_id": {"type": "string"},
    },
}
_WHY = {
    400: "A parameter is wrong, or asks for what the engine cannot do",
    401: "No key, or a wrong one",
    403: "The key may not do this",
    413: "More than is taken",
    415: "Audio of a kind that is not read",
    429: "The key or the node has no place or rate left",
    502: "The engine failed",
    503: "The engine or a service is away or full",
    504: "The engine did not answer in time",
}
DESCRIBED: dict[int | str, dict[str, Any]] = {
    status: {"description": why, "content": {"application/json": {"schema": _BODY}}}
    for status, why in _WHY.items()
}
"""The errors, as OpenAPI describes them."""


def code_of(error: Exception) -> tuple[int, str]:
    """The HTTP status and Deepgram's word for it."""
    for kind, status, code in _CODES:
        if isinstance(error, kind):
            return status, code
    if isinstance(error, RequestUnfit):
        return 400, "INVALID_QUERY_PARAMETER" if error.field else "Bad Request"
    judged = verdict(error)
    return judged.http_status, "SERVICE_UNAVAILABLE" if judged.http_status == 503 else "INTERNAL_SERVER_ERROR"


def answer(error: Exception, request_id: str) -> Response:
    """See `gateway.api.dialect.ErrorShape`."""
    status, code = code_of(error)
    told = message_of(error)
    headers = {"dg-request-id": request_id, "dg-error": told.encode("latin-1", "replace").decode("latin-1")}
    headers["dg-error"] = " ".join(headers["dg-error"].split())[:500]
    if status in (429, 503):
        headers["Retry-After"] = str(getattr(error, "retry_after", _RETRY_SECONDS))
    body = {"err_code": code, "err_msg": told, "request_id": request_id}
    return JSONResponse(body, status, headers)
