"""Health in every shape that is asked for on this port. Liveness asks nobody; components have a deadline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from gateway.api.core.readiness import Check, Readiness
from gateway.api.parts import ApiParts
from media.clock import now

_COMPONENTS = {"lightning_asr": "asr", "lightning_tts": "tts", "license_proxy": "license", "redis": "redis"}
"""Names that operators of the self-host class know, and ours."""
_SICK: dict[int | str, dict[str, Any]] = {503: {"description": "A component does not answer"}}


def add(api: FastAPI, parts: ApiParts) -> None:
    """All of them; no key is asked for, as probes have none."""

    @api.get("/health", tags=["node"], responses=_SICK)
    async def health(detailed: bool = False) -> JSONResponse:
        """Alive: the event loop answers. With `detailed` components are asked, and 503 says which fails."""
        if not detailed:
            return JSONResponse({"status": "healthy", "version": parts.version})
        checks = await _checks(parts.components or parts.readiness)
        sick = [f"{name}: {check.reason}" for name, check in checks.items() if not check.ok]
        body = {
            "status": "unhealthy" if sick else "healthy",
            "components": {"api_server": "healthy", **{name: _word(checks, name) for name in _COMPONENTS}},
            "uptime_seconds": int(now() - parts.started),
            "version": parts.version,
        }
        if sick:
            body["reason"] = "; ".join(sick)
        return JSONResponse(body, status_code=503 if sick else 200)

    @api.get("/health/{component}", tags=["node"], responses={**_SICK, 404: {"description": "No such part"}})
    async def component(component: str) -> JSONResponse:
        """One component: `asr`, `tts`, `license` or `redis`."""
        name = next((ours for ours, theirs in _COMPONENTS.items() if theirs == component), None)
        if name is None:
            known = ", ".join(_COMPONENTS.values())
            return JSONResponse({"error": f"no such component; known: {known}", "code": "NOT_FOUND"}, 404)
        checks = await _checks(parts.components or parts.readiness)
        check = checks.get(name)
        if check is None:
            return JSONResponse({"status": "healthy", "configured": False})
        if check.ok:
            return JSONResponse({"status": "healthy", "configured": True})
        return JSONResponse({"status": "unhealthy", "configured": True, "reason": check.reason}, 503)

    @api.get("/api/v1/health", tags=["node"])
    async def alive() -> dict[str, Any]:
        """For liveness and start-up probes."""
        return {"status": "healthy", "version": parts.version}

    @api.get("/healthz", tags=["node"], responses=_SICK)
    async def healthz() -> JSONResponse:
        """For readiness probes that search the body for `true`: as `/ready`, Redis is not asked."""
        good = all(check.ok for check in (await _checks(parts.readiness)).values())
        return JSONResponse({"healthy": good}, status_code=200 if good else 503)

    @api.get("/waves/v1/health", tags=["smallest"])
    async def waves() -> dict[str, Any]:
        """What the Waves client asks; of the services that it names only Redis may be in use here."""
        checks = await _checks(parts.components or parts.readiness)
        redis = checks.get("redis")
        return {
            "status": "ok" if all(check.ok for check in checks.values()) else "degraded",
            "mongo": {"status": "not used"},
            "redis": {"status": "not used" if redis is None else "ok" if redis.ok else "down"},
            "rabbitmq": {"status": "not used"},
        }


async def _checks(readiness: Readiness) -> Mapping[str, Check]:
    """By the operators' names; parts that nobody configured are missing."""
    found = {check.name: check for check in await readiness.checks()}
    return {theirs: found[ours] for theirs, ours in _COMPONENTS.items() if ours in found}


def _word(checks: Mapping[str, Check], name: str) -> str:
    check = checks.get(name)
    return "disabled" if check is None else "healthy" if check.ok else "unhealthy"
