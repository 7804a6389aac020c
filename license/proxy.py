"""The licence proxy's HTTP side: health, status, grants for local services, usage from them, metrics."""

from __future__ import annotations

import hmac
import json
from datetime import UTC, datetime

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from license.keeper import Keeper
from license.standing import Standing, State, Step
from license.usage import BadEvent, UsageEvent

_MOST_OCTETS = 1_000_000
_MOST_EVENTS = 1000


def create_proxy(keeper: Keeper, licence_key: str) -> FastAPI:
    """The application. Local services prove themselves with the licence key."""
    api = FastAPI(title="Offhook licence proxy", docs_url=None, redoc_url=None)

    def known(request: Request) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() in ("bearer", "token") and hmac.compare_digest(
            given.strip().encode(), licence_key.encode()
        )

    @api.get("/health")
    async def health() -> JSONResponse:
        """200 while new work is taken, 503 when not."""
        standing = keeper.standing()
        good = standing.step is not Step.NONE
        body = {
            "status": "healthy" if good else "unhealthy",
            "license_valid": good,
            "valid_until": _time(standing.ends),
            "grace_period_active": standing.state is State.GRACE,
            "state": standing.state,
            "step": standing.step,
            "reason": standing.reason,
            "hours_used": round(keeper.hours(), 2),
        }
        return JSONResponse(body, 200 if good else 503)

    @api.get("/v1/status")
    async def status() -> Response:
        """State, last check and end of trust, compact, as probes grep it."""
        standing = keeper.standing()
        body = {
            "state": standing.state,
            "last_successful_checkin": _time(keeper.last_check),
            "trust_expiration": _time(standing.ends),
        }
        return Response(json.dumps(body, separators=(",", ":")), media_type="application/json")

    @api.get("/metrics")
    async def metrics() -> Response:
        """Prometheus text."""
        return Response(_metrics(keeper), media_type="text/plain; version=0.0.4; charset=utf-8")

    @api.get("/v1/grant")
    async def grant(request: Request) -> JSONResponse:
        """What local services may do, signed and short-lived."""
        if not known(request):
            return _unknown()
        return JSONResponse({"grant": keeper.grant()})

    @api.post("/v1/usage")
    async def usage(request: Request) -> JSONResponse:
        """Usage of local services; when it is answered, it is on the disk."""
        if not known(request):
            return _unknown()
        try:
            events = _events(await _body(request))
        except BadEvent as error:
            return JSONResponse({"error": str(error), "code": "BAD_EVENT"}, 422)
        try:
            await keeper.used(events)
        except OSError as error:
            return JSONResponse({"error": f"not kept: {error.strerror}", "code": "DISK"}, 503)
        return JSONResponse({"kept": len(events)})

    return api


def _unknown() -> JSONResponse:
    return JSONResponse({"error": "Invalid license key", "code": "INVALID_LICENSE"}, 401)


async def _body(request: Request) -> bytes:
    octets = bytearray()
    async for piece in request.stream():
        octets += piece
        if len(octets) > _MOST_OCTETS:
            raise BadEvent(f"more than {_MOST_OCTETS} octets")
    return bytes(octets)


def _events(body: bytes) -> list[UsageEvent]:
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise BadEvent("the body is not JSON") from None
    if not isinstance(given, dict) or set(given) != {"events"} or not isinstance(given["events"], list):
        raise BadEvent('give {"events": [...]}')
    if len(given["events"]) > _MOST_EVENTS:
        raise BadEvent(f"at most {_MOST_EVENTS} events at a time")
    return [UsageEvent.read(one) for one in given["events"]]


def _metrics(keeper: Keeper) -> str:
    standing = keeper.standing()
    lines = [
        "# TYPE license_proxy_grace_period_active gauge",
        f"license_proxy_grace_period_active {int(standing.state is State.GRACE)}",
        "# TYPE license_proxy_valid gauge",
        f"license_proxy_valid {int(standing.step is not Step.NONE)}",
        "# TYPE license_proxy_seconds_left gauge",
        f"license_proxy_seconds_left {_left(standing, keeper.now()):.0f}",
        "# TYPE license_proxy_hours_used gauge",
        f"license_proxy_hours_used {keeper.hours():.3f}",
        "# TYPE license_proxy_events gauge",
    ]
    lines += [
        f'license_proxy_events{{what="{name}"}} {value:g}' for name, value in sorted(keeper.stats().items())
    ]
    return "\n".join(lines) + "\n"


def _left(standing: Standing, now: float) -> float:
    return max(0.0, standing.ends - now) if standing.ends is not None else 0.0


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
