"""What both Coqui engines are beside their models: passages counted, a thread, an end."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Protocol, TypeVar

from engines.base import EngineBusy, EngineError, EngineFailed, EngineTimeout, SpeechChunk, TtsOptions
from engines.coqui.mail import Mail
from engines.coqui.thread import ModelThread
from media.clock import now

T = TypeVar("T")

_TEXT_THREADS = 2


class Bench(Protocol):
    """What runs in the model's thread."""

    def close(self) -> None:
        """Every passage that still waits is told that the voice is closed."""


class CoquiVoice(ABC):
    """Half of a `Tts`; the model's own half is `warm_up` and `_spoken`."""

    def __init__(self, deadline: float) -> None:
        """`deadline`: seconds after it was due at which sound counts as lost."""
        self._deadline = deadline
        self._loading = asyncio.Lock()
        self._thread: ModelThread | None = None
        self._text = ThreadPoolExecutor(_TEXT_THREADS, thread_name_prefix="coqui-text")
        self._counts = Counter({"passages": 0, "refused_busy": 0, "cancelled": 0, "failed": 0, "unread": 0})

    @abstractmethod
    async def warm_up(self) -> None:
        """Load the voice; later calls return at once."""

    @abstractmethod
    def _spoken(self, text: str, options: TtsOptions) -> AsyncGenerator[SpeechChunk, None]:
        """One passage. Closing it cancels its work."""

    @abstractmethod
    def _working(self) -> Bench | None:
        """The bench, once there is one."""

    async def speak(self, text: str, options: TtsOptions) -> AsyncIterator[SpeechChunk]:
        """See `Tts.speak`. Raises `EngineRefused`, `EngineBusy`, `EngineTimeout` or `EngineFailed`."""
        await self.warm_up()
        try:
            async with aclosing(self._spoken(text, options)) as chunks:
                async for chunk in chunks:
                    yield chunk
            self._counts["passages"] += 1
        except (GeneratorExit, asyncio.CancelledError):
            self._counts["cancelled"] += 1
            raise
        except EngineBusy:
            self._counts["refused_busy"] += 1
            raise
        except EngineError:
            self._counts["failed"] += 1
            raise

    async def aclose(self) -> None:
        """Stop the thread. Idempotent; passages that still wait raise `EngineFailed`."""
        thread, self._thread = self._thread, None
        if thread is not None:
            if (bench := self._working()) is not None:
                thread.post(bench.close)
            await asyncio.to_thread(thread.close)
        self._text.shutdown(wait=False)

    def _mail(self) -> Mail[T]:
        return Mail(self._unread)

    def _unread(self) -> None:
        self._counts["unread"] += 1

    async def _unheard(self, text: str, options: TtsOptions) -> None:
        """Speak, to learn what that costs."""
        try:
            async for _ in self._spoken(text, options):
                pass
        except EngineBusy:
            pass

    async def _next(self, mail: Mail[T], due: float) -> T | None:
        """The next of a passage, no later than the deadline after it is due. Raises `EngineError`."""
        try:
            async with asyncio.timeout_at(max(due, now()) + self._deadline):
                return await mail.get()
        except TimeoutError as error:
            raise EngineTimeout(f"no speech {self._deadline} s after it was due") from error

    def _open_thread(self) -> ModelThread:
        if self._thread is None:
            raise EngineFailed("the voice is closed")
        return self._thread
