"""This node's live streams of the speech APIs, told to the store while they run."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from gateway.store.sessions import Sessions


class StreamSessions:
    """A `gateway.api.core.watch.StreamBook` for `Sessions`. Nothing in it waits."""

    def __init__(self, sessions: Sessions, wall: Callable[[], float]) -> None:
        """`wall`: seconds since the epoch."""
        self._sessions, self._wall = sessions, wall

    def began(self, api: str, kind: str) -> str:
        """See `StreamBook.began`."""
        stream_id = uuid.uuid4().hex
        self._sessions.put("stream", stream_id, self._wall(), {"api": api, "kind": kind})
        return stream_id

    def ended(self, stream_id: str) -> None:
        """See `StreamBook.ended`."""
        self._sessions.drop("stream", stream_id)
