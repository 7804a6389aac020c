"""GET `/v1/status` and `/v1/status/engine`: what Deepgram's probes and dashboards ask."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI, Response

from gateway.api.core.speech_parts import SpeechParts
from gateway.api.deepgram.errors import answer
from gateway.api.dialect import room


def add(api: FastAPI, parts: SpeechParts) -> None:
    """The two addresses; no key is asked for, as probes have none."""
    router = room(parts, answer, tag="deepgram")

    @router.get("/v1/status")
    async def status() -> dict[str, Any]:
        """How the node is, and what it serves now."""
        good = all(check.ok for check in await parts.readiness.checks())
        active = parts.active
        return {
            "system_health": "Healthy" if good else "Critical",
            "active_batch_requests": active["listen"] + active["speak"],
            "active_stream_requests": active["listen_live"] + active["speak_live"],
            "active_listen_v2_stream_requests": 0,
        }

    @router.get("/v1/status/engine")
    async def engine() -> Response:
        """Whether the engines answer. Probes search the body's text: the key first, no blanks."""
        checks = {check.name: check.ok for check in await parts.readiness.checks()}
        connected = checks.get("asr", True) and checks.get("tts", True)
        body = {"engine_connection_status": "Connected" if connected else "Disconnected"}
        return Response(json.dumps(body, separators=(",", ":")), media_type="application/json")

    api.include_router(router)
