"""What one socket has spoken: texts in as they come, sound out in order, taken back at once.

say ─▶ sentences ─┐
flush ── mark ────┤ queue ─▶ sounds ─▶ pieces of sound and marks, in order
clear ── empties ─┘
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from engines.base import SpeechChunk, Tts, TtsOptions
from engines.text.sentences import SentenceSplitter
from gateway.api.core.speaking import SpeakLimits, later, spoken

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Mark(Generic[M]):
    """Something of the client's, told when everything before it has been given out."""

    what: M


@dataclass(frozen=True, slots=True)
class _Text:
    words: str
    options: TtsOptions


Item: TypeAlias = SpeechChunk | Mark[M]


class SpeechLine(Generic[M]):
    """One task says, one takes `sounds`. Sentences are spoken as soon as they are whole."""

    def __init__(self, tts: Tts, limits: SpeakLimits) -> None:
        self._tts = tts
        self._limits = limits
        self._splitter = SentenceSplitter()
        self._queue: deque[_Text | Mark[M]] = deque()
        self._changed = asyncio.Event()
        self._generation = 0
        self._closed = False
        self._since_mark = 0
        """Samples given out since the last mark."""
        self.characters = 0
        """Of all texts that were taken."""

    @property
    def waiting(self) -> int:
        """Sentences and marks that wait."""
        return len(self._queue)

    async def room(self) -> None:
        """Wait while too much waits to be spoken."""
        while len(self._queue) >= self._limits.texts_waiting and not self._closed:
            self._changed.clear()
            await self._changed.wait()

    def say(self, text: str, options: TtsOptions) -> None:
        """The next piece of text; blank pieces make no sound."""
        self.characters += len(text)
        self._add(self._splitter.push(text), options)

    def flush(self, options: TtsOptions, mark: Mark[M] | None = None) -> None:
        """Speak what is left, whole sentence or not; then tell the mark."""
        self._add(self._splitter.flush(), options)
        if mark is not None:
            self._queue.append(mark)
        self._changed.set()

    def begin(self, mark: Mark[M]) -> None:
        """What is said from now on belongs to the mark: it is told before its first sound."""
        self._queue.append(mark)
        self._changed.set()

    def clear(self, mark: Mark[M] | None = None) -> list[M]:
        """Speak none of what was said so far; then tell the mark. Returns the marks that are dropped with it.

        At most the piece that is being handed over already still comes before the mark.
        """
        self._generation += 1
        self._splitter.flush()
        dropped = [item.what for item in self._queue if isinstance(item, Mark)]
        self._queue.clear()
        if mark is not None:
            self._queue.append(mark)
        self._changed.set()
        return dropped

    def close(self) -> None:
        """Nothing more will be said: `sounds` ends after what waits."""
        self._closed = True
        self._changed.set()

    async def sounds(self) -> AsyncGenerator[Item[M], None]:
        """Pieces of sound and marks in order. Raises `EngineError`; closing it cancels the voice."""
        while True:
            while self._queue:
                item = self._queue.popleft()
                self._changed.set()
                if isinstance(item, Mark):
                    self._since_mark = 0
                    yield item
                    continue
                async with aclosing(self._spoken(item)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            if self._closed:
                return
            self._changed.clear()
            await self._changed.wait()

    async def _spoken(self, text: _Text) -> AsyncGenerator[SpeechChunk, None]:
        """The text's pieces; their words are timed from the last mark on."""
        generation, before = self._generation, self._since_mark / text.options.sample_rate
        async with aclosing(spoken(self._tts, [text.words], text.options, self._limits)) as chunks:
            async for chunk in chunks:
                if generation != self._generation:
                    return
                self._since_mark += len(chunk.pcm)
                yield SpeechChunk(chunk.pcm, tuple(later(word, before) for word in chunk.words))
                if generation != self._generation:
                    return

    def _add(self, sentences: Iterable[str], options: TtsOptions) -> None:
        self._queue.extend(_Text(sentence, options) for sentence in sentences if sentence.strip())
        self._changed.set()
