"""What the rooms of the API share: each answers errors in its own shape, and asks for keys at the door."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Protocol

import structlog
from fastapi import APIRouter, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection

from engines.base import EngineError
from gateway.api.core.credentials import answered_subprotocol
from gateway.api.core.door import Caller
from gateway.api.core.speech_parts import SpeechParts
from gateway.calls.orders import OrderRefused
from gateway.errors import BodyTooLarge, GatewayError, RequestUnfit
from gateway.keys.key import Scope

log = structlog.get_logger(__name__)


class ErrorShape(Protocol):
    """How one API tells an error: status, headers and body, by `gateway.errors.verdict`."""

    def __call__(self, error: Exception, request_id: str) -> Response: ...


class Names(Protocol):
    """Names requests."""

    @property
    def new_id(self) -> Callable[[], str]: ...


def room(parts: Names, shape: ErrorShape, *, tag: str) -> APIRouter:
    """A router whose every error is answered in `shape`; `request_id(request)` names each request."""

    class Route(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def told(request: Request) -> Response:
                name_request(request, parts)
                try:
                    return await handle(request)
                except ClientDisconnect:
                    raise
                except Exception as error:
                    # Where two APIs claim one address, the request shows whose it is.
                    chosen: ErrorShape = getattr(request.state, "shape", shape)
                    return answered(error, request_id(request), chosen)

            return told

    return APIRouter(route_class=Route, tags=[tag])


def name_request(connection: HTTPConnection, parts: Names) -> str:
    """Gives the request its id, once."""
    if not hasattr(connection.state, "request_id"):
        connection.state.request_id = parts.new_id()
    return request_id(connection)


def request_id(connection: HTTPConnection) -> str:
    """The id that this request goes by."""
    found: str = connection.state.request_id
    return found


def answered(error: Exception, named: str, shape: ErrorShape) -> Response:
    """The error in the dialect's shape; what is our own fault is logged, and not told to strangers."""
    error = plain(error)
    if not isinstance(error, GatewayError | EngineError | OrderRefused):
        log.error("a request broke", request_id=named, exc_info=error)
    return shape(error, named)


def plain(error: Exception) -> Exception:
    """What the framework raises, as an error of ours."""
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][1:])
        return RequestUnfit(str(first["msg"]), field=field)
    if isinstance(error, HTTPException):
        return RequestUnfit(str(error.detail))
    return error


async def admitted(connection: HTTPConnection, parts: SpeechParts, scope: Scope | None) -> Caller:
    """Who asks. Raises as `Door.admit` does."""
    return await parts.door.admit(connection.headers, connection.query_params, scope)


@asynccontextmanager
async def served(connection: HTTPConnection, parts: SpeechParts, scope: Scope) -> AsyncIterator[Caller]:
    """Who asks, with a place at the node for the length of the block. Raises as `Door` does."""
    caller = await admitted(connection, parts, scope)
    async with parts.door.place(caller):
        yield caller


@asynccontextmanager
async def streamed(socket: WebSocket, parts: SpeechParts, scope: Scope) -> AsyncIterator[None]:
    """As `served`, for a socket that a drain ends in time: then `Draining` is raised in the block."""
    async with served(socket, parts, scope), parts.door.lasting():
        yield


async def refuse(socket: WebSocket, answer: Response) -> None:
    """Answer the handshake with an HTTP error instead of opening the socket."""
    await socket.send_denial_response(answer)


async def accept(socket: WebSocket, headers: dict[str, str]) -> None:
    """Open the socket, with the sub-protocol that the client offered first."""
    raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    await socket.accept(subprotocol=answered_subprotocol(socket.headers), headers=raw)


async def read_body(request: Request, most: int) -> bytes:
    """The whole body, if it is no larger. Raises `BodyTooLarge` before the rest is read."""
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > most:
        raise too_large(most)
    parts: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise too_large(most)
        parts.append(piece)
    return b"".join(parts)


def too_large(most: int) -> BodyTooLarge:
    """The error for a body of more than `most` octets."""
    return BodyTooLarge(f"the body is larger than {most} bytes", most_bytes=most)


def read_json(body: bytes | str) -> dict[str, Any]:
    """A JSON object. Raises `RequestUnfit` for anything else, however deep or odd."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise RequestUnfit("the body is not JSON") from None
    if not isinstance(found, dict):
        raise RequestUnfit("the body must be a JSON object")
    return found
