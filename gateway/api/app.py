"""The HTTP side, version 0: is it alive, would a call work, what is measured, which calls there are."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request, Response
from fastapi.responses import JSONResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from gateway.api.parts import ApiParts
from gateway.api.settings import ApiSettings
from gateway.errors import CallUnknown, GatewayError, verdict


def create_api(parts: ApiParts, settings: ApiSettings) -> FastAPI:
    """The application; it holds no state of its own."""
    # The interactive pages would load scripts from elsewhere, so only the description itself is served.
    api = FastAPI(title="Offhook", version=parts.version or "0", docs_url=None, redoc_url=None)
    api.add_middleware(TrustedHostMiddleware, allowed_hosts=list(settings.allowed_hosts))
    api.add_exception_handler(GatewayError, _answer)
    _add_node(api, parts)
    _add_calls(api, parts)
    return api


def _add_node(api: FastAPI, parts: ApiParts) -> None:
    @api.get("/health")
    async def health() -> dict[str, Any]:
        """Alive: the event loop answers. Says nothing about calls; ask `/ready` for that."""
        return {"status": "alive", "version": parts.version, "tasks": len(asyncio.all_tasks())}

    @api.get("/ready")
    async def ready() -> JSONResponse:
        """Whether a call would work now: 200, or 503 with the parts that would not and why."""
        checks = await parts.readiness.checks()
        good = all(check.ok for check in checks)
        body = {"ready": good, "checks": [asdict(check) for check in checks]}
        return JSONResponse(body, status_code=200 if good else 503)

    @api.get("/metrics")
    async def metrics(accept: Annotated[str, Header()] = "") -> Response:
        """Prometheus metrics."""
        body, content_type = parts.metrics(accept)
        return Response(body, headers={"Content-Type": content_type})


def _add_calls(api: FastAPI, parts: ApiParts) -> None:
    @api.get("/calls")
    async def calls() -> dict[str, Any]:
        """The calls that are running."""
        return {"calls": list(parts.calls())}

    @api.get("/calls/{call_id}")
    async def call(call_id: str) -> dict[str, Any]:
        """A running call, or the record of a finished one."""
        for running in parts.calls():
            if running.get("call_id") == call_id:
                return dict(running)
        finished = await parts.record(call_id)
        if finished is None:
            raise CallUnknown("no call of that id is running or recorded")
        return dict(finished)


async def _answer(_request: Request, error: Exception) -> JSONResponse:
    """A gateway's error as its verdict says."""
    judged = verdict(error)
    body = {"error": type(error).__name__, "detail": str(error), "retryable": judged.retryable}
    return JSONResponse(body, status_code=judged.http_status)
