"""What a model's thread hands to the loop: chunks in order, then the end or an error."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

from engines.base import EngineError

T = TypeVar("T")


class Mail(Generic[T]):
    """One reader in the loop in which it was made; written to from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[T | EngineError | None] = asyncio.Queue()

    def put(self, item: T | EngineError | None) -> None:
        """A chunk, an error, or None for the end. A loop that is gone reads nothing any more."""
        try:
            self._loop.call_soon_threadsafe(self._items.put_nowait, item)
        except RuntimeError:
            pass

    async def get(self) -> T | None:
        """The next chunk, None at the end. Raises the error."""
        item = await self._items.get()
        if isinstance(item, EngineError):
            raise item
        return item
