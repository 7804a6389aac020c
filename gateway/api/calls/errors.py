"""The call-control API's shape of an error: what it was, in words, and which field it is about."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse

from gateway.api.told import message_of
from gateway.calls.orders import OrderRefused
from gateway.errors import DialDenied, DialFailed, RequestUnfit, verdict


def error_shape(error: Exception, request_id: str) -> Response:
    """`{"error", "code", "request_id"}`, with `field`, `reason` or `sip_code` where there is one."""
    if isinstance(error, OrderRefused) and isinstance(error.__cause__, DialDenied):
        error = error.__cause__
    if isinstance(error, OrderRefused):
        return _answer(409, "OrderRefused", error.detail, request_id, {"sip_code": error.sip_code})
    judged = verdict(error)
    status = judged.http_status
    more: dict[str, Any] = {}
    if isinstance(error, RequestUnfit):
        # Unlike the speech APIs, whose clients know 400: here 422 is a field, 400 is no request at all.
        status = 422 if error.field and status == 400 else status
        more = {"field": error.field} if error.field else {}
    if isinstance(error, DialDenied):
        more = {"reason": error.reason}
    if isinstance(error, DialFailed):
        more = {"sip_code": error.sip_code}
    headers = {}
    if judged.retryable and status in (429, 503):
        headers["Retry-After"] = str(getattr(error, "retry_after", 2))
    return _answer(status, type(error).__name__, message_of(error), request_id, more, headers)


def _answer(
    status: int,
    code: str,
    message: str,
    request_id: str,
    more: dict[str, Any],
    headers: dict[str, str] | None = None,
) -> Response:
    body = {"error": message, "code": code, "request_id": request_id, **more}
    return JSONResponse(body, status, headers)
