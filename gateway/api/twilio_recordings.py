"""Recordings of TwiML apps, where Twilio's clients look for them."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from gateway.twiml.recordings import RecordingShelf

_UNKNOWN = 20404
_NOT_ADMITTED = 20003
"""Codes of Twilio's REST API."""


def add(api: FastAPI, shelf: RecordingShelf) -> None:
    """`GET` and `HEAD` of a recording, with Basic authorization: AccountSid and the auth token."""

    @api.api_route(
        "/2010-04-01/Accounts/{account}/Recordings/{name}",
        methods=["GET", "HEAD"],
        tags=["twilio"],
        response_class=FileResponse,
        responses={
            401: {"description": "Not the account's token"},
            404: {"description": "No such recording"},
        },
    )
    async def recording(account: str, name: str, request: Request) -> Response:
        """A recording's sound as WAV; the name is its RecordingSid, with or without `.wav`."""
        if not shelf.admits(request.headers.get("authorization", "")):
            answer = _error(401, _NOT_ADMITTED, "Authenticate")
            answer.headers["WWW-Authenticate"] = 'Basic realm="recordings"'
            return answer
        path = await asyncio.to_thread(shelf.find, account, name)
        if path is None:
            return _error(404, _UNKNOWN, f"The requested resource {request.url.path} was not found")
        return FileResponse(path, media_type="audio/x-wav")


def _error(status: int, code: int, message: str) -> JSONResponse:
    return JSONResponse({"code": code, "message": message, "status": status}, status_code=status)
