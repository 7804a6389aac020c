"""OpenAI's `/v1/realtime/calls`: the same calls, for clients that speak their Realtime API over WebRTC."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import UploadFile

from gateway.api.dialect import read_body, read_json
from gateway.api.webrtc import origins
from gateway.api.webrtc.admission import admitted, began
from gateway.api.webrtc.errors import MediaTypeUnfit
from gateway.api.webrtc.oai_channel import OaiChannel
from gateway.api.webrtc.parts import WebRtcParts
from gateway.api.webrtc.tokens import Grant
from gateway.errors import CallUnknown, RequestUnfit
from gateway.keys.key import Scope
from media.legs.base import EndReason
from media.legs.webrtc import WebRtcLeg
from media.legs.webrtc_sdp import LARGEST

PATH = "/v1/realtime/calls"
_USUAL_SECONDS = 600
_LARGEST_SESSION = 65_536


def add(router: APIRouter, parts: WebRtcParts) -> None:
    """The addresses of their calls."""

    @router.options(PATH, include_in_schema=False)
    async def ask(request: Request) -> Response:
        origin = origins.checked(request.headers, parts.settings.origins)
        return Response(status_code=204, headers=origins.preflight(origin, "POST, OPTIONS"))

    @router.post(
        PATH,
        status_code=201,
        response_class=Response,
        responses={201: {"description": "The SDP answer", "content": {"application/sdp": {}}}},
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "application/sdp": {"schema": {"type": "string"}},
                    "multipart/form-data": {
                        "schema": {
                            "type": "object",
                            "required": ["sdp"],
                            "properties": {"sdp": {"type": "string"}, "session": {"type": "string"}},
                        }
                    },
                },
            }
        },
    )
    async def call(request: Request, model: str = "") -> Response:
        """Call: an SDP offer, bare or beside a session, in; the answer out.

        Whom the model's name means is the dialplan's to say, as with a number; a client secret says it
        itself.
        """
        sdp, session = await _offered(request)
        named = str(session.get("model") or model)
        origin, token, parties = await admitted(request, parts, named, "")

        def channels(leg: WebRtcLeg) -> OaiChannel:
            return OaiChannel(leg, named or parties.called, parts.obey)

        leg, answer = await began(parts, sdp, parties, token, channels)
        headers = {**origins.cors(origin), "Location": f"{PATH}/{leg.leg_id}"}
        return Response(answer, 201, headers, media_type="application/sdp")

    @router.post(PATH + "/{call_id}/hangup", responses={404: {"description": "No such call"}})
    async def hang_up(call_id: str, request: Request) -> Response:
        """Hang up."""
        origin = origins.checked(request.headers, parts.settings.origins)
        leg = parts.calls.leg(call_id)
        if leg is None:
            raise CallUnknown("no call of that id is running")
        leg.hang_up_by_page(EndReason.CALLER_HUNG_UP)
        return Response(status_code=200, headers=origins.cors(origin))

    @router.post(
        "/v1/realtime/client_secrets",
        openapi_extra={
            "requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}},
        },
    )
    async def secret(request: Request) -> dict[str, Any]:
        """A client secret: a call token in their shape. Needs a key with the scope `web_calls`."""
        caller = await parts.door.admit(request.headers, request.query_params, Scope.WEB_CALLS)
        body = await read_body(request, _LARGEST_SESSION)
        asked = read_json(body) if body else {}
        session = _object(asked.get("session"), "session")
        after = _object(asked.get("expires_after"), "expires_after")
        seconds = after.get("seconds", _USUAL_SECONDS)
        if not isinstance(seconds, int | float) or isinstance(seconds, bool):
            raise RequestUnfit("must be a number", field="expires_after.seconds")
        made, expires = parts.tokens.make(
            Grant(str(session.get("model") or ""), key_id=caller.key_id), float(seconds)
        )
        told = {**session, "type": session.get("type", "realtime"), "object": "realtime.session"}
        return {"value": made, "expires_at": int(expires), "session": told}


async def _offered(request: Request) -> tuple[str, dict[str, Any]]:
    """The SDP, and the session beside it."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/sdp":
        body = await read_body(request, LARGEST)
        return _text(body), {}
    if kind != "multipart/form-data":
        raise MediaTypeUnfit("Content-Type must be application/sdp or multipart/form-data")
    await _bounded(request)
    form = await request.form(max_files=2, max_fields=2, max_part_size=_LARGEST_SESSION)
    sdp, session = [await _field(form.get(name)) for name in ("sdp", "session")]
    if not session:
        return sdp, {}
    try:
        return sdp, _object(json.loads(session), "session")
    except (ValueError, RecursionError):
        raise RequestUnfit("is not JSON", field="session") from None


async def _bounded(request: Request) -> None:
    told = request.headers.get("content-length", "")
    if not told.isdigit() or int(told) > LARGEST + _LARGEST_SESSION:
        raise RequestUnfit(f"Content-Length must be told, {LARGEST + _LARGEST_SESSION} at most")


async def _field(value: UploadFile | str | None) -> str:
    if isinstance(value, UploadFile):
        return _text(await value.read(_LARGEST_SESSION))
    return value or ""


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise RequestUnfit("the body is not UTF-8") from None


def _object(value: object, field: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RequestUnfit("must be an object", field=field)
    return value
