"""Who may call, as whom, and whom; and what becomes of an offer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fastapi import Request

from gateway.api.core.credentials import presented
from gateway.api.webrtc import origins
from gateway.api.webrtc.channels import CallChannel
from gateway.api.webrtc.errors import CallRefused, NoCommonCodec
from gateway.api.webrtc.parts import WebRtcParts
from gateway.api.webrtc.tokens import PREFIX, CallToken
from gateway.errors import AdmissionRefused, KeyRefused, LimitReached, RequestUnfit, TooManyCalls
from gateway.keys.key import Scope
from gateway.webrtc_settings import TRUNK
from media.legs.base import LegError, Parties
from media.legs.webrtc import Refused, Taken, WebRtcLeg
from media.legs.webrtc_endpoint import WebRtcFull
from media.legs.webrtc_sdp import NothingInCommon, SdpBroken

_DECIDE_SECONDS = 10.0
_LONGEST_NAME = 64


async def admitted(
    request: Request, parts: WebRtcParts, to: str, caller: str
) -> tuple[str, CallToken | None, Parties]:
    """The origin, the token and the parties of a call that may be tried.

    A token says who is called; without one, where the node asks for no keys (or with a key of the scope),
    the request does. Raises `KeyRefused`, `ScopeRefused`, `LimitReached` or `RequestUnfit`.
    """
    text = presented(request.headers, request.query_params)
    token = parts.tokens.read(text) if text.startswith(PREFIX + "_") else None
    bound = token.grant.origin if token is not None else ""
    origin = origins.checked(request.headers, parts.settings.origins, bound)
    host = request.client.host if request.client is not None else ""
    await _limited(parts, host)
    if token is None:
        if parts.door.asks and not text:
            raise KeyRefused("a call token is needed: `Authorization: Bearer <token>`")
        await parts.door.admit(request.headers, request.query_params, Scope.WEB_CALLS)
    called = token.grant.to if token is not None else to
    if not called:
        raise RequestUnfit("name the number or the agent that is called", field="to")
    if token is not None and to and to != called:
        raise RequestUnfit("the call token is for another number", field="to")
    name = token.grant.caller if token is not None else caller
    for field, value in (("to", called), ("caller", name)):
        if len(value) > _LONGEST_NAME or not value.isprintable():
            raise RequestUnfit(f"at most {_LONGEST_NAME} printable characters", field=field)
    port = request.client.port if request.client is not None else 0
    return origin, token, Parties(name or "web", called, TRUNK, f"{host}:{port}" if host else "")


async def began(
    parts: WebRtcParts,
    sdp: str,
    parties: Parties,
    token: CallToken | None,
    channel: Callable[[WebRtcLeg], CallChannel],
) -> tuple[WebRtcLeg, str]:
    """The call, told of over `channel`, and its SDP answer, once somebody has taken it.

    A token is used up by nothing less.

    Raises `RequestUnfit`, `NoCommonCodec`, `AdmissionRefused` or `CallRefused`.
    """
    if token is not None:
        await parts.tokens.use(token)
    try:
        return await _began(parts, sdp, parties, channel)
    except BaseException:
        if token is not None:
            await parts.tokens.give_back(token)
        raise


async def _began(
    parts: WebRtcParts, sdp: str, parties: Parties, channel: Callable[[WebRtcLeg], CallChannel]
) -> tuple[WebRtcLeg, str]:
    try:
        leg = await parts.calls.offer(sdp, parties)
    except SdpBroken as error:
        raise RequestUnfit(str(error)) from None
    except NothingInCommon as error:
        raise NoCommonCodec(str(error)) from None
    except WebRtcFull as error:
        raise TooManyCalls(error.detail, retry_after=error.retry_after) from None
    except LegError as error:
        raise AdmissionRefused(error.detail, retry_after=1) from None
    parts.channels.add(leg, channel(leg))
    try:
        async with asyncio.timeout(_DECIDE_SECONDS):
            decided = await asyncio.shield(leg.decided)
    except TimeoutError:
        await leg.reject(408, reason="nobody took the call in time")
        decided = Refused(503, 1, "nobody took the call in time")
    match decided:
        case Taken(answer):
            return leg, answer
        case Refused(code, retry_after, reason):
            parts.channels.remove(leg.leg_id)
            if code in (480, 486, 500, 503) or retry_after:
                raise TooManyCalls(reason or "no place for another call", retry_after=retry_after or 5)
            raise CallRefused(reason or "the call was refused", sip_code=code)


async def _limited(parts: WebRtcParts, host: str) -> None:
    wait = await parts.rates.take(f"web:{host}", parts.settings.per_address)
    if wait > 0:
        told = f"this address may begin {parts.settings.per_address} calls a minute"
        raise LimitReached(told, retry_after=max(1, round(wait + 0.5)))
