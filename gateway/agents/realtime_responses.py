"""When the endpoint is asked to let the model speak: for the rest of an answer, or to fill a wait.

An endpoint makes one response at a time and refuses a second one, so what comes of tools waits until a filler
is over; it is not lost in the refusal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.agents.realtime_events import Event, aside, respond

FILLER = "offhook-filler"
"""`event_id` of our request for a filler, by which its error is known."""
_PATIENCE = 5.0
"""Seconds that a filler may take to begin; then it is not waited for."""


class RealtimeResponses:
    """One call's, over all its sessions."""

    def __init__(self, send: Callable[[Event], None]) -> None:
        self._send = send
        self._active = ""
        self._filler = ""
        """The newest filler's response."""
        self._asked: asyncio.TimerHandle | None = None
        """A filler was asked for, and has not begun."""
        self._owed = False

    @property
    def idle(self) -> bool:
        """No response is being made or begun."""
        return not self._active and self._asked is None

    def go_on(self) -> None:
        """The model shall speak with what it has been told, now or when it is free."""
        if self.idle:
            self._send(respond())
        else:
            self._owed = True

    def fill(self, text: str) -> None:
        """The model says this beside the conversation, in its own voice. Only while `idle`."""
        self._send(aside(text, FILLER))
        self._asked = asyncio.get_running_loop().call_later(_PATIENCE, self.refused)

    def refused(self) -> None:
        """No filler comes."""
        self._stop_waiting()
        self._settle()

    def began(self, response_id: str) -> None:
        """`response.created`."""
        self._active = response_id
        if self._asked is not None:
            self._filler = response_id
            self._stop_waiting()

    def over(self, response_id: str) -> None:
        """`response.done`."""
        if self._active == response_id:
            self._active = ""
            self._settle()

    def fills(self, response_id: str) -> bool:
        """Whether this is but a filler."""
        return response_id == self._filler

    def forget(self) -> None:
        """The session is gone, with all that was asked of it."""
        self._stop_waiting()
        self._active, self._filler, self._owed = "", "", False

    def _settle(self) -> None:
        if self._owed and self.idle:
            self._owed = False
            self._send(respond())

    def _stop_waiting(self) -> None:
        if self._asked is not None:
            self._asked.cancel()
            self._asked = None
