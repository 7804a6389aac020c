"""Reading a realtime endpoint's socket: what is no event is counted, and borne for a while."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import structlog

from gateway.agents.base import AgentError
from gateway.agents.realtime_events import Malformed, ServerEvent, read_event
from gateway.agents.sound import SoundCall
from gateway.agents.text_socket import TextSocket

log = structlog.get_logger(__name__)

_MOST_MALFORMED = 20
"""In a row; then the endpoint is given up."""
_MOST_WARNINGS = 5
"""Lines about what the endpoint sends in the log of one call."""


class EventReader:
    """Of one call, over all its sessions."""

    def __init__(self, agent: str) -> None:
        self._agent = agent
        self._warned = 0

    async def events(self, socket: TextSocket, call: SoundCall) -> AsyncGenerator[ServerEvent, None]:
        """Until the socket is lost. Raises `SocketLost`, `AgentError`."""
        in_a_row = 0
        while True:
            try:
                event = read_event(await socket.receive())
            except Malformed as malformed:
                in_a_row += 1
                call.count("realtime_malformed")
                self.warn("the endpoint sent something malformed", why=str(malformed))
                if in_a_row >= _MOST_MALFORMED:
                    raise AgentError(f"the endpoint sends nothing but {malformed}") from None
                continue
            in_a_row = 0
            yield event

    def warn(self, what: str, **told: str) -> None:
        """The first few go to the log."""
        if self._warned < _MOST_WARNINGS:
            self._warned += 1
            log.warning(what, agent=self._agent, **told)
