"""`/v1/calls`: place calls, look at them, steer them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, FastAPI, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from gateway.api.calls import drain, events, records, same_site, sounds
from gateway.api.calls.bodies import (
    AttendedBody,
    BridgeBody,
    DigitsBody,
    HangUpBody,
    MuteBody,
    Obeyed,
    PlaceCall,
    Placed,
    PlayBody,
    RouteBody,
    SayBody,
    TransferBody,
)
from gateway.api.calls.errors import error_shape
from gateway.api.calls.parts import CallControl
from gateway.api.calls.place import order_of
from gateway.api.calls.records import without_words
from gateway.api.core.door import Caller
from gateway.api.dialect import room
from gateway.calls.orders import (
    BridgeCall,
    BridgeDial,
    ClearNow,
    End,
    GoTo,
    Hold,
    Mute,
    Order,
    PlayNow,
    SayNow,
    SendKeys,
    SwitchAgent,
    TransferAttended,
    TransferBlind,
)
from gateway.control.order_desk import OrderGiven
from gateway.errors import CallUnknown, RequestUnfit
from gateway.keys.key import Scope
from media.legs.base import EndReason

_ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"description": "A key is needed"},
    403: {
        "description": "The key's scopes, or a rule of `outbound.rules`, forbid it; `reason` names the rule"
    },
    404: {"description": "No such call is running"},
    409: {"description": "The call cannot do this now; it goes on as it was"},
    422: {"description": "`field` names what is wrong"},
    429: {"description": "Too often, or too much at once; see Retry-After"},
    503: {"description": "The node takes no more now; see Retry-After"},
}
CallId = Annotated[str, Path(max_length=128, description="As `/v1/calls` shows it.")]
Wait = Annotated[
    float,
    Query(ge=0, le=60, description="Seconds to wait for the order to be done; it goes on all the same."),
]


Give: TypeAlias = Callable[[Request, str, Order, float], Awaitable[Response]]
"""Admit, order, answer."""


def add_routes(api: FastAPI, parts: CallControl) -> None:
    """Adds the routes."""
    events.add_routes(api, parts)  # before `/v1/calls/{call_id}`, which would take their paths
    records.add_routes(api, parts)
    drain.add_routes(api, parts)
    router = room(parts, error_shape, tag="call control")
    _add_calls(router, parts)
    _add_speech(router, parts)
    _add_moves(router, parts)
    api.include_router(router)


async def admitted(request: Request, parts: CallControl, scope: Scope) -> Caller:
    """Who asks. Raises as `Door.admit` does, and for pages of other sites."""
    same_site.check(request.headers, parts.allowed_hosts)
    looks = scope is not Scope.CONTROL
    return await parts.door.admit(request.headers, request.query_params, scope, while_draining=looks)


def _add_calls(router: APIRouter, parts: CallControl) -> None:
    @router.post("/v1/calls", status_code=201, response_model=Placed, responses=_ERRORS)
    async def place(
        request: Request,
        body: PlaceCall,
        idempotency_key: Annotated[str, Header(max_length=128)] = "",
    ) -> dict[str, Any]:
        """Place a call. Answered while it is set up; events and `GET /v1/calls/{call_id}` tell the rest."""
        caller = await admitted(request, parts, Scope.CONTROL)
        key = body.idempotency_key or idempotency_key
        order = order_of(body, parts)
        return {"call_id": await parts.originator.place(order, owner=caller.key_id, key=key)}

    @router.get("/v1/calls")
    async def calls(request: Request) -> dict[str, Any]:
        """The calls that are running, the oldest first, and the event after which they look so."""
        await admitted(request, parts, Scope.CALLS)
        cursor = parts.events.cursor(parts.events.last)
        return {"calls": [dict(call) for call in parts.live()], "cursor": cursor}

    @router.get(
        "/v1/calls/{call_id}", responses={404: {"description": "No such call is running or recorded"}}
    )
    async def call(request: Request, call_id: CallId) -> dict[str, Any]:
        """A running call (`running: true`), or what remains of a finished one."""
        caller = await admitted(request, parts, Scope.CALLS)
        for running in parts.live():
            if running.get("call_id") == call_id:
                return {"running": True, **running}
        finished = await parts.record(call_id)
        if finished is None:
            raise CallUnknown("no call of that id is running or recorded")
        return {"running": False, **without_words(finished, caller)}

    @router.post("/v1/calls/{call_id}/hangup", response_model=Obeyed, responses=_ERRORS)
    async def hang_up(request: Request, call_id: CallId, body: HangUpBody | None = None) -> Response:
        """End the call."""
        await _control_always(request, parts)
        cause = body.cause if body is not None else 0
        given = await parts.orders.give(call_id, End(EndReason.API_HUNG_UP, cause), wait=5.0)
        return _told(given)


async def _control_always(request: Request, parts: CallControl) -> None:
    """For what ends work and begins none: also while the node drains."""
    same_site.check(request.headers, parts.allowed_hosts)
    await parts.door.admit(request.headers, request.query_params, Scope.CONTROL, while_draining=True)


def _add_speech(router: APIRouter, parts: CallControl) -> None:
    give = _giver(parts)

    @router.post("/v1/calls/{call_id}/say", response_model=Obeyed, responses=_ERRORS)
    async def say(request: Request, call_id: CallId, body: SayBody, wait: Wait = 0.2) -> Response:
        """Speak a text to the far end; it is done when the text was heard out, or cleared."""
        return await give(request, call_id, SayNow(body.text, body.interrupt), wait)

    @router.post("/v1/calls/{call_id}/play", response_model=Obeyed, responses=_ERRORS)
    async def play(request: Request, call_id: CallId, body: PlayBody, wait: Wait = 0.2) -> Response:
        """Play a sound to the far end; it is done when it was heard out, or cleared."""
        await _control_always(request, parts)
        parts.orders.call(call_id)
        if bool(body.file) == bool(body.url):
            raise RequestUnfit("give either file or url", field="file")
        after: Callable[[], None] | None = None
        if body.file:
            file = await sounds.named(parts.settings.sounds, body.file)
        else:
            file = await sounds.fetched(parts.files, body.url)
            after = partial(sounds.dropped, file)
        order = PlayNow(file, body.interrupt)
        return _told(await parts.orders.give(call_id, order, wait=wait, after=after))

    @router.post("/v1/calls/{call_id}/clear", response_model=Obeyed, responses=_ERRORS)
    async def clear(request: Request, call_id: CallId, wait: Wait = 5.0) -> Response:
        """Fall silent at once; what was queued is never heard."""
        return await give(request, call_id, ClearNow(), wait)

    @router.post("/v1/calls/{call_id}/digits", response_model=Obeyed, responses=_ERRORS)
    async def digits(request: Request, call_id: CallId, body: DigitsBody, wait: Wait = 10.0) -> Response:
        """Press keys towards the far end."""
        return await give(request, call_id, SendKeys(body.digits), wait)


def _add_moves(router: APIRouter, parts: CallControl) -> None:
    give = _giver(parts)

    @router.post("/v1/calls/{call_id}/mute", response_model=Obeyed, responses=_ERRORS)
    async def mute(request: Request, call_id: CallId, body: MuteBody | None = None) -> Response:
        """Let nobody here hear the far end (`on: true`), or hear it again."""
        return await give(request, call_id, Mute(body is None or body.on), 5.0)

    @router.post("/v1/calls/{call_id}/hold", response_model=Obeyed, responses=_ERRORS)
    async def hold(request: Request, call_id: CallId, wait: Wait = 10.0) -> Response:
        """Put the far end on hold; done when it agreed."""
        return await give(request, call_id, Hold(True), wait)

    @router.post("/v1/calls/{call_id}/unhold", response_model=Obeyed, responses=_ERRORS)
    async def unhold(request: Request, call_id: CallId, wait: Wait = 10.0) -> Response:
        """Take the far end back from hold."""
        return await give(request, call_id, Hold(False), wait)

    @router.post("/v1/calls/{call_id}/transfer", response_model=Obeyed, responses=_ERRORS)
    async def transfer(request: Request, call_id: CallId, body: TransferBody, wait: Wait = 5.0) -> Response:
        """Send the far end elsewhere (REFER). Done when the target answered; else the call goes on."""
        return await give(request, call_id, TransferBlind(body.to, body.seconds), wait)

    @router.post("/v1/calls/{call_id}/transfer-attended", response_model=Obeyed, responses=_ERRORS)
    async def attended(request: Request, call_id: CallId, body: AttendedBody, wait: Wait = 5.0) -> Response:
        """Connect the far end with that of another call (REFER with Replaces)."""
        parts.orders.call(body.call_id)
        return await give(request, call_id, TransferAttended(body.call_id, body.seconds), wait)

    @router.post("/v1/calls/{call_id}/bridge", response_model=Obeyed, responses=_ERRORS)
    async def bridge(request: Request, call_id: CallId, body: BridgeBody, wait: Wait = 5.0) -> Response:
        """Connect two calls, or the call with somebody who is called for it."""
        if bool(body.call_id) == bool(body.to):
            raise RequestUnfit("give either call_id or to", field="to")
        order: Order = BridgeCall(body.call_id)
        if body.to:
            order = BridgeDial(body.to, body.trunk, body.from_, body.ring_seconds)
        return await give(request, call_id, order, wait)

    @router.post("/v1/calls/{call_id}/route", response_model=Obeyed, responses=_ERRORS)
    async def route(request: Request, call_id: CallId, body: RouteBody, wait: Wait = 5.0) -> Response:
        """Leave what the call is doing for another route of the dialplan, or for another agent."""
        if bool(body.route) == bool(body.agent):
            raise RequestUnfit("give either route or agent", field="route")
        if body.agent and body.agent not in parts.agents():
            raise RequestUnfit("no agent is called so", field="agent")
        order: Order = SwitchAgent(body.agent, body.handoff) if body.agent else GoTo(body.route)
        return await give(request, call_id, order, wait)


def _giver(parts: CallControl) -> Give:
    async def give(request: Request, call_id: str, order: Order, wait: float) -> Response:
        await _control_always(request, parts)
        given = await parts.orders.give(call_id, order, wait=wait)
        return _told(given)

    return give


def _told(given: OrderGiven) -> Response:
    """200 when it is done, 202 while it is under way."""
    return JSONResponse({"order_id": given.order_id, "done": given.done}, 200 if given.done else 202)
