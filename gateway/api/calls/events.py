"""`/v1/calls/events`: what happens to calls, over a WebSocket, as server-sent events, or a page at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request, Response, WebSocket
from fastapi.responses import JSONResponse
from starlette.requests import HTTPConnection
from starlette.types import Receive, Send
from starlette.types import Scope as Scopes
from starlette.websockets import WebSocketDisconnect

from gateway.api.calls import same_site
from gateway.api.calls.errors import error_shape
from gateway.api.calls.parts import CallControl, Subscribers
from gateway.api.dialect import accept, answered, name_request, refuse, request_id, room
from gateway.api.live_socket import Sender, close
from gateway.control.event_log import CursorUnknown, Interest, Page
from gateway.errors import ClientSlow, RequestUnfit, ScopeRefused
from gateway.keys.key import Scope

PATH = "/v1/calls/events"
_KEEP_SECONDS = 20.0
"""A stream that has nothing to tell says so this often, so that proxies keep it open."""
_TRY_AGAIN_LATER = 1013
"""Close code (RFC 6455's registry) of a subscriber that was too slow."""


def add_routes(api: FastAPI, parts: CallControl) -> None:
    """Adds the routes."""
    subscribers = parts.subscribers
    router = room(parts, error_shape, tag="call control")

    @router.get(PATH, response_model=None)
    async def page(
        request: Request,
        after: Annotated[
            str, Query(description="Id of the last event seen; `start`: all that is kept.")
        ] = "",
        call_id: Annotated[str, Query(description="Of one call only.")] = "",
        types: Annotated[str, Query(description="Kinds of events, by comma.")] = "",
        words: Annotated[bool, Query(description="With what was said and pressed; scope `words`.")] = False,
        most: Annotated[int, Query(ge=1, le=1000)] = 200,
        accept: Annotated[str, Header()] = "",
        last_event_id: Annotated[str, Header()] = "",
    ) -> Response:
        """Events that are kept, a page at a time; a stream of them for `Accept: text/event-stream`."""
        interest = await _interest(request, parts, call_id, types, words)
        streamed = "text/event-stream" in accept
        start, lost = _start(parts, last_event_id or after or ("" if streamed else "start"))
        if streamed:
            return EventStream(parts, interest, start, lost)
        found = parts.events.read(start, interest, most)
        return JSONResponse(
            {
                "events": [event.as_json(words=interest.words) for event in found.events],
                "cursor": parts.events.cursor(found.last),
                "missed": found.missed,
                "restarted": lost,
            }
        )

    api.include_router(router)

    @api.websocket(PATH)
    async def live(
        socket: WebSocket,
        after: str = "",
        call_id: str = "",
        types: str = "",
        words: bool = False,
    ) -> None:
        named = name_request(socket, parts)
        try:
            interest = await _interest(socket, parts, call_id, types, words)
            start, lost = _start(parts, after)
            with subscribers:
                await accept(socket, {"offhook-request-id": named})
                await _serve(socket, parts, subscribers, interest, start, lost)
        except WebSocketDisconnect:
            return
        except ClientSlow as slow:
            subscribers.slow += 1
            await close(socket, _TRY_AGAIN_LATER, str(slow))
        except Exception as error:
            await refuse(socket, answered(error, request_id(socket), error_shape))


async def _interest(
    connection: HTTPConnection, parts: CallControl, call_id: str, types: str, words: bool
) -> Interest:
    same_site.check(connection.headers, parts.allowed_hosts)
    query = connection.query_params
    caller = await parts.door.admit(connection.headers, query, Scope.CALLS, while_draining=True)
    if words and Scope.WORDS not in caller.scopes:
        raise ScopeRefused("this key may not see what is said in calls; its scopes lack `words`")
    kinds = frozenset(kind for kind in (part.strip() for part in types.split(",")) if kind)
    return Interest(call_id, kinds, words)


def _start(parts: CallControl, after: str) -> tuple[int, bool]:
    """Number after which to read, and whether the cursor is of an earlier start of the node."""
    if after == "start":
        return 0, False
    try:
        place = parts.events.place(after)
    except CursorUnknown as error:
        raise RequestUnfit(str(error), field="after") from None
    return (0, True) if place is None else (place, False)


def _gap(parts: CallControl, page: Page, restarted: bool) -> dict[str, Any]:
    """What a reader is told who came too late, or was too slow."""
    return {
        "type": "gap",
        "missed": page.missed if not restarted else None,
        "restarted": restarted,
        "cursor": parts.events.cursor(page.last),
    }


async def _told(
    parts: CallControl, subscribers: Subscribers, interest: Interest, start: int, lost: bool
) -> AsyncGenerator[dict[str, Any] | None, None]:
    """Events and gaps as plain values, for ever; None when there was nothing for a while."""
    place, restarted = start, lost
    while True:
        page = parts.events.read(place, interest)
        if page.missed or restarted:
            subscribers.gaps += 1
            yield _gap(parts, page, restarted)
            restarted = False
        place = page.last
        for event in page.events:
            yield event.as_json(words=interest.words)
        if page.last < parts.events.last:
            continue
        try:
            async with asyncio.timeout(_KEEP_SECONDS):
                await parts.events.more(place)
        except TimeoutError:
            yield None


async def _serve(
    socket: WebSocket,
    parts: CallControl,
    subscribers: Subscribers,
    interest: Interest,
    start: int,
    lost: bool,
) -> None:
    """Send until the client leaves. Raises `WebSocketDisconnect`, `ClientSlow`."""
    sender = Sender(socket, parts.event_settings.unread_seconds)
    await sender.json({"type": "hello", "cursor": parts.events.cursor(start if not lost else 0)})
    loop = asyncio.get_running_loop()
    reading = loop.create_task(_left(socket), name="events-read")
    writing = loop.create_task(_write(sender, parts, subscribers, interest, start, lost), name="events-write")
    try:
        done, _ = await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (reading, writing):
            task.cancel()
        await asyncio.gather(reading, writing, return_exceptions=True)


async def _write(
    sender: Sender,
    parts: CallControl,
    subscribers: Subscribers,
    interest: Interest,
    start: int,
    lost: bool,
) -> None:
    async for told in _told(parts, subscribers, interest, start, lost):
        if told is not None:
            await sender.json(told)


async def _left(socket: WebSocket) -> None:
    """Return when the client leaves; what it sends means nothing."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


class EventStream(Response):
    """The same as server-sent events, as the HTML standard has them (section 9.2)."""

    def __init__(self, parts: CallControl, interest: Interest, start: int, lost: bool) -> None:
        """Takes a subscriber's place, and gives it back when the stream is over. Raises `LimitReached`."""
        super().__init__(media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        del self.headers["content-length"]
        self._parts = parts
        self._told = _told(parts, parts.subscribers, interest, start, lost)
        parts.subscribers.__enter__()

    async def __call__(self, scope: Scopes, receive: Receive, send: Send) -> None:
        """Send until the client leaves, or takes nothing for too long."""
        subscribers, limit = self._parts.subscribers, self._parts.event_settings.unread_seconds
        gone = asyncio.get_running_loop().create_task(_gone(receive), name="events-gone")
        writing = asyncio.get_running_loop().create_task(self._write(send, limit), name="events-write")
        try:
            await asyncio.wait({gone, writing}, return_when=asyncio.FIRST_COMPLETED)
            if writing.done() and isinstance(writing.exception(), TimeoutError):
                subscribers.slow += 1
        finally:
            subscribers.__exit__()
            for task in (gone, writing):
                task.cancel()
            await asyncio.gather(gone, writing, return_exceptions=True)
            await self._told.aclose()

    async def _write(self, send: Send, limit: float) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        pieces = _framed(self._told)
        async for piece in pieces:
            async with asyncio.timeout(limit):
                await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _framed(told: AsyncIterator[dict[str, Any] | None]) -> AsyncIterator[bytes]:
    yield b": offhook\n\n"
    async for one in told:
        if one is None:
            yield b": still here\n\n"
            continue
        named = f"id: {one.get('id') or one['cursor']}\n"
        data = json.dumps(one, ensure_ascii=False, separators=(",", ":"))
        yield f"{named}event: {one['type']}\ndata: {data}\n\n".encode()


async def _gone(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
