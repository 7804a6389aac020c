"""This node's calls, told to the store while they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.calls.record import CallRecord
from gateway.observers import SilentObserver
from gateway.store.sessions import Sessions


class CallSessions(SilentObserver):
    """Watches calls for `Sessions`. Nothing in it waits."""

    def __init__(
        self, sessions: Sessions, facts: Callable[[str], Mapping[str, str]], wall: Callable[[], float]
    ) -> None:
        """`facts`: of a running call. `wall`: seconds since the epoch."""
        self._sessions, self._facts, self._wall = sessions, facts, wall

    def answered(self, call_id: str, codec: str, sample_rate: int) -> None:
        self._sessions.put("call", call_id, self._wall(), self._facts(call_id))

    def ended(self, record: CallRecord) -> None:
        self._sessions.drop("call", record.call_id)
