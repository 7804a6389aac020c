"""How a session with a realtime endpoint is come by: dialled, and told to have been created."""

from __future__ import annotations

import asyncio

import structlog

from gateway.agents.base import AgentError
from gateway.agents.realtime_events import Malformed, SessionTold, Trouble, read_event
from gateway.agents.realtime_settings import RealtimeSettings
from gateway.agents.text_socket import Dial, DialFailed, SocketLost, TextSocket

log = structlog.get_logger(__name__)

LARGEST_MESSAGE = 8 * 1024 * 1024
"""Octets of one event: two minutes of PCM at 24 kHz."""
_RETRY_PAUSE = 0.5


async def dialled(dial: Dial, chosen: RealtimeSettings, name: str) -> TextSocket:
    """A socket whose session was created, after some tries. `name`: the agent's. Raises `AgentError`."""
    key = chosen.api_key.reveal()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    attempt = 1
    while True:
        try:
            socket = await dial(chosen.url, headers, chosen.connect_seconds)
            return await _created(socket, chosen.connect_seconds)
        except AgentError as failed:
            log.warning("endpoint not reached", agent=name, why=failed.detail, attempt=attempt)
            if attempt >= chosen.attempts or not failed.retryable:
                raise
        attempt += 1
        await asyncio.sleep(_RETRY_PAUSE)


async def _created(socket: TextSocket, seconds: float) -> TextSocket:
    try:
        async with asyncio.timeout(seconds):
            while not isinstance(event := read_event(await socket.receive()), SessionTold):
                if isinstance(event, Trouble):
                    raise DialFailed(f"the endpoint refuses the session: {event.code}")
        return socket
    except TimeoutError:
        why = DialFailed("the endpoint created no session in time", timed_out=True)
    except (SocketLost, Malformed) as error:
        why = DialFailed(f"the endpoint created no session: {error}")
    except DialFailed as error:
        why = error
    await socket.close()
    raise why
