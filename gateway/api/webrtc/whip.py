"""WHIP (RFC 9725), with sound both ways: POST an offer, PATCH what ICE learns later, DELETE to hang up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from fastapi import APIRouter, Request, Response

from gateway.api.dialect import read_body
from gateway.api.webrtc import ice_servers, origins
from gateway.api.webrtc.admission import admitted, began
from gateway.api.webrtc.channel import PageChannel
from gateway.api.webrtc.errors import MediaTypeUnfit, PreconditionFailed, PreconditionMissing
from gateway.api.webrtc.parts import WebRtcParts
from gateway.errors import CallUnknown, RequestUnfit
from media.legs.base import EndReason
from media.legs.webrtc import WebRtcLeg
from media.legs.webrtc_sdp import LARGEST, Fragment, SdpBroken, read_fragment

PATH = "/v1/webrtc/calls"
_SDP = "application/sdp"
_FRAGMENT = "application/trickle-ice-sdpfrag"


def add(router: APIRouter, parts: WebRtcParts) -> None:
    """The addresses of a call."""

    @router.options(PATH, include_in_schema=False)
    async def ask(request: Request) -> Response:
        origin = origins.checked(request.headers, parts.settings.origins)
        headers = origins.preflight(origin, "POST, OPTIONS") | {"Accept-Post": _SDP}
        return Response(status_code=204, headers=headers)

    @router.options(PATH + "/{call_id}", include_in_schema=False)
    async def ask_call(call_id: str, request: Request) -> Response:
        origin = origins.checked(request.headers, parts.settings.origins)
        headers = origins.preflight(origin, "PATCH, DELETE, OPTIONS") | {"Accept-Patch": _FRAGMENT}
        return Response(status_code=204, headers=headers)

    @router.post(
        PATH,
        status_code=201,
        response_class=Response,
        responses={
            201: {"description": "The SDP answer; `Location` is the call", "content": {_SDP: {}}},
            400: {"description": "The offer is broken"},
            422: {"description": "The offer has no audio that we speak"},
            503: {"description": "No place for another call now; `Retry-After` tells when"},
        },
        openapi_extra={"requestBody": {"required": True, "content": {_SDP: {"schema": {"type": "string"}}}}},
    )
    async def call(request: Request, to: str = "", agent: str = "", caller: str = "") -> Response:
        """Call: an SDP offer in, the answer out.

        `to` (or `agent`): the number or name that is called; a call token says it instead.
        """
        _need(request, _SDP)
        origin, token, parties = await admitted(request, parts, to or agent, caller)
        sdp = await _text(request)
        now = asyncio.get_running_loop().time
        leg, answer = await began(parts, sdp, parties, token, lambda leg: PageChannel(leg, now))
        headers = {
            **origins.cors(origin),
            "Location": f"{PATH}/{leg.leg_id}",
            "ETag": _tag(leg),
            "Accept-Patch": _FRAGMENT,
        }
        if link := ice_servers.for_link(parts.settings.ice_servers, parts.wall()):
            headers["Link"] = link
        return Response(answer, 201, headers, media_type=_SDP)

    @router.patch(
        PATH + "/{call_id}",
        response_class=Response,
        responses={
            200: {"description": "ICE restarted: our side of it", "content": {_FRAGMENT: {}}},
            204: {"description": "Candidates taken"},
            412: {"description": "Another ICE session than the current one"},
            428: {"description": "`If-Match` is missing"},
        },
        openapi_extra={
            "requestBody": {"required": True, "content": {_FRAGMENT: {"schema": {"type": "string"}}}}
        },
    )
    async def trickle(call_id: str, request: Request) -> Response:
        """Candidates that came later, or a new ICE session (`If-Match: *`) when the network has changed."""
        origin = origins.checked(request.headers, parts.settings.origins)
        _need(request, _FRAGMENT)
        leg = _leg(parts, call_id)
        matched = request.headers.get("if-match", "")
        if not matched:
            raise PreconditionMissing("If-Match is needed: the ETag of the answer, or * to restart ICE")
        try:
            fragment = read_fragment(await _text(request))
        except SdpBroken as error:
            raise RequestUnfit(str(error)) from None
        if matched.strip() == "*":
            return await _restart(leg, fragment, origin)
        if matched.strip() != _tag(leg):
            raise PreconditionFailed("If-Match names another ICE session than the current one")
        await leg.trickle(fragment)
        return Response(status_code=204, headers=origins.cors(origin))

    @router.delete(
        PATH + "/{call_id}", response_class=Response, responses={404: {"description": "No such call"}}
    )
    async def hang_up(call_id: str, request: Request) -> Response:
        """Hang up."""
        origin = origins.checked(request.headers, parts.settings.origins)
        _leg(parts, call_id).hang_up_by_page(EndReason.CALLER_HUNG_UP)
        return Response(status_code=200, headers=origins.cors(origin))


async def _restart(leg: WebRtcLeg, fragment: Fragment, origin: str) -> Response:
    if fragment.ice is None:
        raise RequestUnfit("an ICE restart brings a new a=ice-ufrag and a=ice-pwd")
    told = await leg.restart(fragment)
    headers: Mapping[str, str] = {**origins.cors(origin), "ETag": _tag(leg)}
    return Response(told, 200, headers, media_type=_FRAGMENT)


def _leg(parts: WebRtcParts, call_id: str) -> WebRtcLeg:
    leg = parts.calls.leg(call_id)
    if leg is None:
        raise CallUnknown("no call of that id is running")
    return leg


def _tag(leg: WebRtcLeg) -> str:
    return f'"{leg.ice_tag}"'


def _need(request: Request, media_type: str) -> None:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != media_type:
        raise MediaTypeUnfit(f"Content-Type must be {media_type}")


async def _text(request: Request) -> str:
    body = await read_body(request, LARGEST)
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise RequestUnfit("the body is not UTF-8") from None
