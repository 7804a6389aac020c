"""The HTTP side: the node itself, its calls, and the rooms of the speech APIs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from gateway.api import docs, listen_file, models, pages, speak_file, twilio_calls, twilio_recordings
from gateway.api.calls.routes import add_routes as add_call_control
from gateway.api.deepgram.errors import answer as deepgram_answer
from gateway.api.deepgram.routes import add_routes as add_deepgram
from gateway.api.jobs import add_routes as add_jobs
from gateway.api.openai.routes import add_routes as add_openai
from gateway.api.parts import ApiParts
from gateway.api.settings import ApiSettings
from gateway.api.smallest import health
from gateway.api.smallest.routes import add_routes as add_smallest
from gateway.api.webrtc.routes import add_routes as add_webrtc
from gateway.errors import CallUnknown, GatewayError, verdict
from gateway.keys.key import Scope


def create_api(parts: ApiParts, settings: ApiSettings) -> FastAPI:
    """The application; it holds no state of its own."""
    # The framework's own pages load scripts from elsewhere; `docs` serves them from here.
    api = FastAPI(title="Offhook", version=parts.version or "0", docs_url=None, redoc_url=None)
    api.add_middleware(TrustedHostMiddleware, allowed_hosts=list(settings.allowed_hosts))
    api.add_exception_handler(GatewayError, _answer)
    docs.add(api)
    _add_node(api, parts)
    _add_calls(api, parts)
    if parts.recordings is not None:
        twilio_recordings.add(api, parts.recordings)
    if parts.twilio is not None:
        twilio_calls.add_routes(api, parts.twilio)
    if parts.control is not None:
        add_call_control(api, parts.control)
    if parts.speech is not None:
        models.add(api, parts.speech, deepgram_answer)
        listen_file.add(api, parts.speech)
        speak_file.add(api, parts.speech)
        add_smallest(api, parts.speech)
        add_deepgram(api, parts.speech)
        add_openai(api, parts.speech)
        add_jobs(api, parts.speech)
    if parts.web is not None:
        add_webrtc(api, parts.web)
        pages.add(api, parts.web.door, parts.web.targets)
    return api


def _add_node(api: FastAPI, parts: ApiParts) -> None:
    @api.get("/ready", tags=["node"], responses={503: {"description": "Some part would not work now"}})
    async def ready() -> JSONResponse:
        """Whether a call would work now: 200, or 503 with the parts that would not and why."""
        checks = await parts.readiness.checks()
        good = all(check.ok for check in checks)
        body = {"ready": good, "checks": [asdict(check) for check in checks]}
        return JSONResponse(body, status_code=200 if good else 503)

    @api.get("/metrics", tags=["node"], response_class=PlainTextResponse)
    async def metrics(accept: Annotated[str, Header()] = "") -> Response:
        """Prometheus metrics."""
        body, content_type = parts.metrics(accept)
        return Response(body, headers={"Content-Type": content_type})

    health.add(api, parts)


def _add_calls(api: FastAPI, parts: ApiParts) -> None:
    needed = [Depends(_key_for_calls(parts))]

    @api.get("/calls", tags=["calls"], dependencies=needed)
    async def calls() -> dict[str, Any]:
        """The calls that are running."""
        return {"calls": list(parts.calls())}

    @api.get(
        "/calls/{call_id}",
        tags=["calls"],
        dependencies=needed,
        responses={404: {"description": "No such call"}},
    )
    async def call(call_id: str) -> dict[str, Any]:
        """A running call, or the record of a finished one."""
        for running in parts.calls():
            if running.get("call_id") == call_id:
                return dict(running)
        finished = await parts.record(call_id)
        if finished is None:
            raise CallUnknown("no call of that id is running or recorded")
        return dict(finished)


def _key_for_calls(parts: ApiParts) -> Callable[[Request], Awaitable[None]]:
    async def check(request: Request) -> None:
        if parts.door is not None:
            await parts.door.admit(request.headers, request.query_params, Scope.CALLS)

    return check


async def _answer(_request: Request, error: Exception) -> JSONResponse:
    """A gateway's error as its verdict says."""
    judged = verdict(error)
    body = {"error": type(error).__name__, "detail": str(error), "retryable": judged.retryable}
    return JSONResponse(body, status_code=judged.http_status)
