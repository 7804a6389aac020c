"""`/v1/calls/records`: finished calls, found by what they were; their records and recordings."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import FileResponse

from gateway.api.calls import same_site
from gateway.api.calls.errors import error_shape
from gateway.api.calls.parts import CallControl
from gateway.api.core.door import Caller
from gateway.api.dialect import room
from gateway.errors import CallUnknown, RequestUnfit, ScopeRefused
from gateway.keys.key import Scope
from gateway.record_archive import RecordQuery

_WORDS = ("said", "reply", "heard", "dtmf")


def add_routes(api: FastAPI, parts: CallControl) -> None:
    """Adds the routes."""
    router = room(parts, error_shape, tag="call control")

    @router.get("/v1/calls/records")
    async def records(
        request: Request,
        began_from: Annotated[str, Query(alias="from", description="Started then or later; ISO 8601")] = "",
        began_to: Annotated[str, Query(alias="to", description="Started before that")] = "",
        caller: str = "",
        called: str = "",
        route: str = "",
        reason: Annotated[str, Query(description="Why it ended, such as `caller_hung_up`")] = "",
        cursor: Annotated[str, Query(description="Of the page before")] = "",
        most: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> dict[str, Any]:
        """Finished calls, the newest first. A page may hold few or none and still have a `cursor`: the search
        goes on there."""
        asked = await _admitted(request, parts)
        start, end = _utc("from", began_from), _utc("to", began_to)
        query = RecordQuery(start, end, caller, called, route, reason)
        try:
            page = await parts.archive.find(query, cursor, most)
        except ValueError as error:
            raise RequestUnfit(str(error), field="cursor") from None
        return {"records": [without_words(one, asked) for one in page.records], "cursor": page.cursor}

    @router.get("/v1/calls/{call_id}/record", responses={404: {"description": "No such call was recorded"}})
    async def record(request: Request, call_id: str) -> dict[str, Any]:
        """What remains of a finished call."""
        asked = await _admitted(request, parts)
        found = await parts.record(call_id)
        if found is None:
            raise CallUnknown("no finished call of that id is recorded")
        return without_words(found, asked)

    @router.get(
        "/v1/calls/{call_id}/recording",
        response_class=FileResponse,
        responses={404: {"description": "Its sound was not kept"}},
    )
    async def recording(request: Request, call_id: str) -> Response:
        """The sound of a finished call as WAV, caller left and agent right. Needs the scope `words`."""
        asked = await _admitted(request, parts)
        if Scope.WORDS not in asked.scopes:
            raise ScopeRefused("this key may not hear calls; its scopes lack `words`")
        path = await asyncio.to_thread(parts.archive.recording, call_id)
        if path is None:
            raise CallUnknown("no sound of a call of that id is kept")
        return FileResponse(path, media_type="audio/wav", filename=path.name)

    api.include_router(router)


async def _admitted(request: Request, parts: CallControl) -> Caller:
    same_site.check(request.headers, parts.allowed_hosts)
    return await parts.door.admit(request.headers, request.query_params, Scope.CALLS, while_draining=True)


def _utc(name: str, written: str) -> str:
    """A time as records have it. Raises `RequestUnfit`."""
    if not written:
        return ""
    try:
        at = datetime.fromisoformat(written.replace(" ", "+"))
    except ValueError:
        raise RequestUnfit("must be a time such as 2026-01-31T12:00:00Z", field=name) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="milliseconds")


def without_words(record: Any, caller: Caller) -> dict[str, Any]:
    """A record as this key may see it: without what was said and pressed, unless it may hear calls."""
    told = dict(record)
    if Scope.WORDS in caller.scopes:
        return told
    told["turns"] = [
        {name: value for name, value in turn.items() if name not in _WORDS} for turn in told.get("turns", ())
    ]
    return told
