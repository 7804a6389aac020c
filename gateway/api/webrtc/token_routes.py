"""`/v1/webrtc/tokens`: a server of yours asks for a token, and hands it to a page that shall call."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request

from gateway.api.dialect import read_body, read_json
from gateway.api.webrtc import ice_servers
from gateway.api.webrtc.parts import WebRtcParts
from gateway.api.webrtc.tokens import Grant
from gateway.errors import RequestUnfit
from gateway.keys.key import Scope

_LARGEST = 4_096
_USUAL_SECONDS = 60
_FIELDS = {"to": str, "agent": str, "caller": str, "origin": str, "ttl": int | float}


def add(router: APIRouter, parts: WebRtcParts) -> None:
    """The addresses of tokens."""

    @router.post(
        "/v1/webrtc/tokens",
        status_code=201,
        responses={400: {"description": "A field is wrong"}, 401: {"description": "No key, or a wrong one"}},
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "properties": {
                                "to": {"type": "string", "description": "Number or name that is called"},
                                "agent": {"type": "string", "description": "The same, by its other name"},
                                "caller": {"type": "string", "description": "Who calls"},
                                "origin": {"type": "string", "description": "The page's origin"},
                                "ttl": {"type": "number", "minimum": 1, "maximum": 600, "default": 60},
                            },
                        }
                    }
                },
            }
        },
    )
    async def token(request: Request) -> dict[str, Any]:
        """A token for one call. Needs a key with the scope `web_calls`, where the node asks for keys."""
        caller = await parts.door.admit(request.headers, request.query_params, Scope.WEB_CALLS)
        body = read_json(await read_body(request, _LARGEST))
        for field, value in body.items():
            if field not in _FIELDS:
                raise RequestUnfit(f"unknown; the fields are {', '.join(_FIELDS)}", field=field)
            if not isinstance(value, _FIELDS[field]) or isinstance(value, bool):
                raise RequestUnfit("is of a wrong type", field=field)
        grant = Grant(
            str(body.get("to") or body.get("agent") or ""),
            str(body.get("caller") or ""),
            str(body.get("origin") or "").rstrip("/"),
            caller.key_id,
        )
        made, expires = parts.tokens.make(grant, float(body.get("ttl", _USUAL_SECONDS)))
        return {
            "token": made,
            "expires_at": datetime.fromtimestamp(expires, UTC).isoformat(timespec="seconds"),
            "to": grant.to,
            "url": "/v1/webrtc/calls",
            "ice_servers": ice_servers.for_page(parts.settings.ice_servers, parts.wall()),
        }

    @router.get("/v1/webrtc/ice_servers")
    async def servers(request: Request) -> dict[str, Any]:
        """STUN and TURN servers for a page that needs no token; with keys, tokens bring them along."""
        await parts.door.admit(request.headers, request.query_params, Scope.WEB_CALLS)
        return {"ice_servers": ice_servers.for_page(parts.settings.ice_servers, parts.wall())}
