"""Asks the operator's server in the middle of a call, and tells it of messages; signed either way."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from gateway.actions.line import StepFailed
from gateway.dialplan import variables
from gateway.errors import FetchFailed, FetchRefused
from gateway.webhook_signature import GONE, pause, signed

log = structlog.get_logger(__name__)

LARGEST_ANSWER = 65_536
"""Octets of an answer that are read."""
_TRIES = 6
_TRY_SECONDS = 10.0
_MOST_TELLING = 1000


@dataclass(frozen=True, slots=True)
class HookAnswer:
    """What a server decided."""

    values: Mapping[str, str] = field(default_factory=dict)
    """Variables to set."""
    choose: str = ""
    """Which branch to take; "" for none."""


class Reply(Protocol):
    """A server's answer whose body has not been read yet."""

    status: int

    def body(self) -> AsyncIterator[bytes]:
        """The body in pieces. Raises `FetchFailed`."""


class Sender(Protocol):
    """Sends one request; `Outbound` is one."""

    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> AbstractAsyncContextManager[Reply]: ...


class PlanHooks:
    """A dialplan's requests. Belongs to one event loop."""

    def __init__(
        self,
        sender: Sender,
        secret: bytes,
        wall: Callable[[], float],
        new_id: Callable[[], str],
        dice: Callable[[], float] = random.random,
    ) -> None:
        """`secret` signs every request. `wall`: seconds since 1970. `dice`: 0 to 1, spreads the waits."""
        self._sender = sender
        self._secret = secret
        self._wall = wall
        self._new_id = new_id
        self._dice = dice
        self._telling: set[asyncio.Task[None]] = set()
        self.dropped = 0
        """Messages that were given up."""

    async def ask(self, url: str, body: Mapping[str, Any], seconds: float) -> HookAnswer:
        """POST the body and read the decision, all within `seconds`. Raises `StepFailed`."""
        octets = json.dumps(body, ensure_ascii=False).encode()
        try:
            async with asyncio.timeout(seconds):
                headers = self._headers(self._new_id(), octets) | {"Accept": "application/json"}
                async with self._sender.request("POST", url, headers, octets) as answer:
                    if not 200 <= answer.status < 300:
                        raise StepFailed(f"the webhook answered {answer.status}", "webhook")
                    read = bytearray()
                    async for piece in answer.body():
                        read += piece
                        if len(read) > LARGEST_ANSWER:
                            raise StepFailed("the webhook's answer is too large", "webhook")
        except (FetchFailed, FetchRefused) as error:
            raise StepFailed(f"the webhook cannot be asked: {error}", "webhook") from None
        except TimeoutError:
            raise StepFailed(f"the webhook did not answer within {seconds:g} s", "webhook") from None
        return read_answer(bytes(read))

    def tell(self, url: str, body: Mapping[str, Any]) -> None:
        """Deliver a message behind the call, tried again under one id. Returns at once."""
        if len(self._telling) >= _MOST_TELLING:
            self.dropped += 1
            log.error("too many webhooks wait, one is given up")
            return
        octets = json.dumps(body, ensure_ascii=False).encode()
        task = asyncio.get_running_loop().create_task(self._deliver(url, octets), name="plan-webhook")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def aclose(self, seconds: float = 2.0) -> None:
        """Wait that long for what is on its way; the rest is given up. Idempotent."""
        if self._telling:
            await asyncio.wait(self._telling, timeout=seconds)
        for task in self._telling:
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)

    async def _deliver(self, url: str, octets: bytes) -> None:
        message = self._new_id()
        for number in range(_TRIES):
            if number:
                await asyncio.sleep(pause(number, 1.0, 60.0, self._dice()))
            try:
                async with asyncio.timeout(_TRY_SECONDS):
                    headers = self._headers(message, octets)
                    async with self._sender.request("POST", url, headers, octets) as answer:
                        status = answer.status
            except FetchRefused:
                break
            except (FetchFailed, TimeoutError):
                continue
            if 200 <= status < 300:
                return
            if status == GONE:
                break
        self.dropped += 1
        log.warning("a message's webhook was given up", message=message)

    def _headers(self, message: str, octets: bytes) -> dict[str, str]:
        stamp = signed(self._secret, message, int(self._wall()), octets)
        return {"Content-Type": "application/json", **stamp}


def read_answer(octets: bytes) -> HookAnswer:
    """An answer's JSON; an empty one decides nothing. Raises `StepFailed` for anything else."""
    if not octets.strip():
        return HookAnswer()
    try:
        data = json.loads(octets)
    except (ValueError, RecursionError):
        raise StepFailed("the webhook's answer is no JSON", "webhook") from None
    if not isinstance(data, dict):
        raise StepFailed("the webhook's answer is no JSON object", "webhook")
    given, choose = data.get("set", {}), data.get("choose", "")
    if not isinstance(given, dict) or not isinstance(choose, str):
        raise StepFailed('the webhook must answer {"set": {...}, "choose": "..."}', "webhook")
    values: dict[str, str] = {}
    for name, value in given.items():
        scalar = isinstance(value, str | int | float | bool)
        if not scalar or not variables.is_name(name) or name.startswith(variables.HEADER):
            raise StepFailed("the webhook sets something that is no variable", "webhook")
        values[name] = value if isinstance(value, str) else json.dumps(value)
    return HookAnswer(values, choose)
