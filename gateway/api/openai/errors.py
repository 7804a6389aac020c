"""Errors as OpenAI's API tells them: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse

from engines.base import EngineBusy, EngineRefused
from gateway.errors import (
    AbilityMissing,
    BodyTooLarge,
    FormatUnfit,
    KeyRefused,
    LicenceRefused,
    LimitReached,
    ModelUnknown,
    RequestUnfit,
    ScopeRefused,
    verdict,
)

_CODES: tuple[tuple[type[Exception], str, str], ...] = (
    (KeyRefused, "invalid_request_error", "invalid_api_key"),
    (ScopeRefused, "invalid_request_error", "insufficient_permissions"),
    (LicenceRefused, "insufficient_quota", "license_expired"),
    (LimitReached, "requests", "rate_limit_exceeded"),
    (ModelUnknown, "invalid_request_error", "model_not_found"),
    (BodyTooLarge, "invalid_request_error", "file_too_large"),
    (AbilityMissing, "invalid_request_error", "unsupported_parameter"),
    (FormatUnfit, "invalid_request_error", "unsupported_value"),
    (RequestUnfit, "invalid_request_error", "invalid_value"),
    (EngineRefused, "invalid_request_error", "unsupported_value"),
    (EngineBusy, "server_error", "engine_busy"),
)
"""Type and code, by the first class that fits."""
_BUSY_SECONDS = 2


def error_body(error: Exception) -> dict[str, Any]:
    """The error as an object; what is our own fault is not told in detail."""
    kind, code = next(
        ((kind, code) for cls, kind, code in _CODES if isinstance(error, cls)), ("server_error", None)
    )
    ours = verdict(error).http_status == 500
    message = "The server had an error while processing the request." if ours else str(error)
    param = error.field or None if isinstance(error, RequestUnfit) else None
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def openai_error(error: Exception, request_id: str) -> Response:
    """See `gateway.api.dialect.ErrorShape`."""
    judged = verdict(error)
    headers = {"x-request-id": request_id}
    if judged.retryable and judged.http_status in (429, 503):
        headers["Retry-After"] = str(getattr(error, "retry_after", _BUSY_SECONDS))
    if judged.http_status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(error_body(error), status_code=judged.http_status, headers=headers)
