"""Errors of the signalling, and their shape: a problem document (RFC 9457), RFC 9725 section 4.5."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import Response
from fastapi.responses import JSONResponse

from gateway.api.told import message_of
from gateway.errors import AdmissionRefused, GatewayError, KeyRefused, LimitReached, RequestUnfit, verdict
from media.legs.base import LegError


class NoCommonCodec(RequestUnfit):
    """Sound SDP with nothing in it that we speak."""


class MediaTypeUnfit(RequestUnfit):
    """A body of another kind than is taken here."""


class PreconditionFailed(RequestUnfit):
    """`If-Match` names an ICE session that is over."""


class PreconditionMissing(RequestUnfit):
    """`If-Match` is missing (RFC 6585 section 3)."""


class CallRefused(GatewayError):
    """Nobody takes this call; `sip_code` says why, as a telephone would be told."""

    def __init__(self, detail: str, *, sip_code: int) -> None:
        super().__init__(detail)
        self.sip_code = sip_code


_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (NoCommonCodec, 422),
    (MediaTypeUnfit, 415),
    (PreconditionFailed, 412),
    (PreconditionMissing, 428),
)
_REFUSED = {401: 403, 403: 403, 404: 404, 410: 410, 484: 404, 488: 422, 603: 403}
"""HTTP's word for a refusal in SIP's; others are a conflict."""


def answer(error: Exception, headers: dict[str, str]) -> Response:
    """The error as a browser reads it."""
    status = next((code for cls, code in _STATUS if isinstance(error, cls)), verdict(error).http_status)
    if isinstance(error, CallRefused):
        status = _REFUSED.get(error.sip_code, 409)
    if isinstance(error, LegError):
        status = {481: 404, 400: 400, 503: 503}.get(error.sip_code, status)
    if isinstance(error, AdmissionRefused | LimitReached):
        headers = {**headers, "Retry-After": str(error.retry_after)}
    if isinstance(error, KeyRefused):
        headers = {**headers, "WWW-Authenticate": "Bearer"}
    body: dict[str, object] = {
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": message_of(error),
        "error": type(error).__name__,
    }
    if isinstance(error, RequestUnfit) and error.field:
        body["field"] = error.field
    return JSONResponse(body, status, headers, media_type="application/problem+json")
