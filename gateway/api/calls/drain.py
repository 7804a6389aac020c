"""`/v1/drain`: take no new calls, let the running ones finish, and say how far that is."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from gateway.api.calls import same_site
from gateway.api.calls.errors import error_shape
from gateway.api.calls.parts import CallControl
from gateway.api.dialect import room
from gateway.keys.key import Scope


def add_routes(api: FastAPI, parts: CallControl) -> None:
    """Adds the routes."""
    router = room(parts, error_shape, tag="node")

    def progress() -> dict[str, Any]:
        calls, streams = len(parts.registry), parts.door.taken
        return {"draining": parts.registry.draining, "calls": calls, "streams": streams}

    @router.post("/v1/drain", status_code=202)
    async def drain(request: Request) -> JSONResponse:
        """Take no new calls and streams; the running ones may finish, for `node.drain_seconds`."""
        same_site.check(request.headers, parts.allowed_hosts)
        await parts.door.admit(request.headers, request.query_params, Scope.CONTROL, while_draining=True)
        parts.begin_drain()
        return JSONResponse(progress(), 202)

    @router.get("/v1/drain")
    async def look(request: Request) -> dict[str, Any]:
        """How many calls and streams are left."""
        same_site.check(request.headers, parts.allowed_hosts)
        await parts.door.admit(request.headers, request.query_params, Scope.CONTROL, while_draining=True)
        return progress()

    api.include_router(router)
