"""A small vendor's licence server, for trials and tests: issues, revokes, and misbehaves when told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from license.entitlement import Answer, Terms, issue_answer
from license.usage import BadEvent, UsageEvent

_MOST_OCTETS = 4_000_000


@dataclass(slots=True)
class Office:
    """The vendor's books and manners."""

    private_key: str
    wall: Callable[[], float]
    licences: dict[str, Terms] = field(default_factory=dict)
    """Terms by licence key."""
    revoked: set[str] = field(default_factory=set)
    batches: dict[str, int] = field(default_factory=dict)
    """Events by batch id."""
    events: dict[str, UsageEvent] = field(default_factory=dict)
    """Every event once, however often it came."""
    bodies: list[bytes] = field(default_factory=list)
    """Every octet that was reported, for those who look for what must not be there."""
    seconds: float = 0.0
    """How long it takes its time."""
    broken: bool = False
    """Answers 500."""
    wrong_key: str = ""
    """Signs with this key instead."""

    def expire(self, licence_key: str) -> None:
        """Let a licence run out now."""
        self.licences[licence_key] = replace(self.licences[licence_key], expires=self.wall())


def create_vendor(office: Office) -> FastAPI:
    """The application."""
    api = FastAPI(title="Reference licence server", docs_url=None, redoc_url=None)

    async def asked(request: Request) -> tuple[str, JSONResponse | None]:
        await asyncio.sleep(office.seconds)
        key = request.headers.get("authorization", "").partition(" ")[2]
        if office.broken:
            return key, JSONResponse({"error": "broken"}, 500)
        if key not in office.licences:
            return key, JSONResponse({"error": "unknown licence key"}, 401)
        return key, None

    @api.get("/validate")
    async def validate(request: Request, nonce: str = "") -> JSONResponse:
        """What the licence grants, signed."""
        key, refusal = await asked(request)
        if refusal is not None:
            return refusal
        answer = Answer(office.licences[key], office.wall(), key in office.revoked, nonce[:128])
        return JSONResponse({"answer": issue_answer(answer, office.wrong_key or office.private_key)})

    @api.post("/usage")
    async def usage(request: Request) -> JSONResponse:
        """Takes a batch; one that came before changes nothing."""
        _, refusal = await asked(request)
        if refusal is not None:
            return refusal
        body = await request.body()
        if len(body) > _MOST_OCTETS:
            return JSONResponse({"error": "too large"}, 413)
        office.bodies.append(body)
        try:
            given: Any = json.loads(body)
            batch_id, events = given["batch_id"], [UsageEvent.read(one) for one in given["events"]]
        except (ValueError, KeyError, TypeError, BadEvent) as error:
            return JSONResponse({"error": str(error)}, 422)
        office.batches[batch_id] = len(events)
        office.events |= {event.event_id: event for event in events}
        return JSONResponse({"taken": len(events)})

    return api
