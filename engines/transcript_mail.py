"""Transcripts of one stream on their way to its one reader. Bounded: a reader who is away costs no memory."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator

from engines.base import EngineError, Transcript

UNREAD = 256
"""Transcripts that may wait; beyond it the oldest interim goes, then the oldest."""


class TranscriptMail:
    """Written to and read on one loop. What newer words of the same segment replace is not kept."""

    def __init__(self, counts: Counter[str]) -> None:
        """`counts` gets `unread_dropped`."""
        self._counts = counts
        self._unread: deque[Transcript] = deque()
        self._error: EngineError | None = None
        self._news = asyncio.Event()
        self._closed = False
        self._read = False

    def __len__(self) -> int:
        return len(self._unread)

    def post(self, transcript: Transcript) -> None:
        """The next one for the reader."""
        if self._unread and _replaces(transcript, self._unread[-1]):
            self._unread.pop()
        if len(self._unread) >= UNREAD:
            self._counts["unread_dropped"] += 1
            self._unread.remove(next((t for t in self._unread if not t.is_final), self._unread[0]))
        self._unread.append(transcript)
        self._news.set()

    def fail(self, error: EngineError) -> None:
        """The reader gets this after what waits already; of several errors the first."""
        self._error = self._error or error
        self._news.set()

    def forget(self, segment: int) -> None:
        """Nobody wants to read of this segment any more."""
        self._unread = deque(told for told in self._unread if told.segment != segment)

    def close(self) -> None:
        """Nothing more comes; what waits is still read."""
        self._closed = True
        self._news.set()

    async def results(self) -> AsyncIterator[Transcript]:
        """See `AsrStream.results`. Raises an error that cost a segment its final, once;
        after it the results may be asked for again.

        Raises `RuntimeError` for a second reader.
        """
        if self._read:
            raise RuntimeError("a stream's results have one reader only")
        self._read = True
        try:
            while True:
                while self._unread:
                    yield self._unread.popleft()
                if self._error:
                    error, self._error = self._error, None
                    raise error
                if self._closed:
                    return
                self._news.clear()
                await self._news.wait()
        finally:
            self._read = False


def _replaces(new: Transcript, last: Transcript) -> bool:
    """An interim gives way to whatever comes of its segment, an early final to the next early one only."""
    return not last.is_final and last.early <= new.early and last.segment == new.segment
