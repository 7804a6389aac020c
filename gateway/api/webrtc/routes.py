"""`add_routes`: the room of the signalling."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from engines.base import EngineError
from gateway.api.dialect import plain
from gateway.api.webrtc import errors, oai_calls, origins, token_routes, whip
from gateway.api.webrtc.parts import WebRtcParts
from gateway.errors import GatewayError, ScopeRefused
from media.legs.base import LegError

log = structlog.get_logger(__name__)


def add_routes(api: FastAPI, parts: WebRtcParts) -> None:
    """Serve calls from web pages."""

    class Route(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def told(request: Request) -> Response:
                try:
                    return await handle(request)
                except ClientDisconnect:
                    raise
                except Exception as error:
                    return _answer(error, request, parts)

            return told

    router = APIRouter(route_class=Route, tags=["webrtc"])
    whip.add(router, parts)
    token_routes.add(router, parts)
    oai_calls.add(router, parts)
    api.include_router(router)


def _answer(error: Exception, request: Request, parts: WebRtcParts) -> Response:
    error = plain(error)
    if not isinstance(error, GatewayError | EngineError | LegError):
        log.error("signalling broke", exc_info=error)
    try:
        headers = origins.cors(origins.checked(request.headers, parts.settings.origins))
    except ScopeRefused:
        headers = {}
    return errors.answer(error, headers)
