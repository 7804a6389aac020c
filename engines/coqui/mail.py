"""What a model's thread hands to the loop: chunks in order, then the end or an error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from engines.base import EngineError, EngineFailed

T = TypeVar("T")

MOST = 512
"""Chunks that nobody took: minutes of speech. A reader who is so far behind is gone."""


class Mail(Generic[T]):
    """One reader in the loop in which it was made; written to from any thread."""

    def __init__(self, unread: Callable[[], None] = lambda: None) -> None:
        """`unread`: called on the loop for each chunk that found no room."""
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[T | EngineError | None] = asyncio.Queue()
        self._unread = unread
        self._overrun = False

    def put(self, item: T | EngineError | None) -> None:
        """A chunk, an error, or None for the end. A loop that is gone reads nothing any more."""
        try:
            self._loop.call_soon_threadsafe(self._take, item)
        except RuntimeError:
            pass

    async def get(self) -> T | None:
        """The next chunk, None at the end. Raises the error; `EngineFailed` where a chunk was lost."""
        item = await self._items.get()
        if isinstance(item, EngineError):
            raise item
        return item

    def _take(self, item: T | EngineError | None) -> None:
        if self._overrun:
            self._unread()
        elif self._items.qsize() < MOST or not self._is_chunk(item):
            self._items.put_nowait(item)
        else:
            self._overrun = True
            self._unread()
            self._items.put_nowait(EngineFailed(f"{MOST} chunks of speech were not taken"))

    @staticmethod
    def _is_chunk(item: object) -> bool:
        return item is not None and not isinstance(item, EngineError)
