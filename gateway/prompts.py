"""Has ready in the cache what callers hear again and again: phrases, greetings, the dialplan's texts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple

import structlog

from engines.base import EngineError, EngineRefused, TtsOptions
from engines.speech_cache import SpeechCache
from engines.text.sentences import SentenceSplitter
from gateway.calls.settings import PhraseSettings
from gateway.dialplan.plan import Dialplan
from gateway.dialplan.said import said

log = structlog.get_logger(__name__)

_AGAIN = 5.0
"""Seconds before prompts that could not be spoken are tried again."""


def sentences(text: str) -> list[str]:
    """A text in the pieces in which it is spoken."""
    splitter = SentenceSplitter()
    return [*splitter.push(text), *splitter.flush()]


def prompts(phrases: PhraseSettings, greetings: Iterable[str], plan: Dialplan) -> Iterator[str]:
    """Everything that is known to be said, as it is handed to the voice. Phrases are spoken whole."""
    yield from filter(None, astuple(phrases))
    for greeting in greetings:
        yield from sentences(greeting)
    for text in said(plan):
        yield from sentences(text)


class Prompter:
    """Speaks prompts into the cache in the background, behind every caller."""

    def __init__(
        self, cache: SpeechCache, options: TtsOptions, phrases: PhraseSettings, agents: Mapping[str, object]
    ) -> None:
        """`options`: as calls will ask for; `agents`: settings by name, those with a `greeting` count."""
        self._cache = cache
        self._options = options
        self._phrases = phrases
        self._greetings = [str(getattr(agent, "greeting", "")) for agent in agents.values()]
        self._task: asyncio.Task[None] | None = None

    def prepare(self, plan: Dialplan) -> None:
        """Begin with the texts of this plan, in place of an older one's. Returns at once."""
        if self._task is not None:
            self._task.cancel()
        texts = list(dict.fromkeys(prompts(self._phrases, self._greetings, plan)))
        self._task = asyncio.get_running_loop().create_task(self._speak(texts), name="prepare-prompts")

    async def done(self) -> None:
        """Wait until everything asked for is ready, or failed."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def aclose(self) -> None:
        """Stop. Idempotent."""
        if self._task is not None:
            self._task.cancel()
        await self.done()

    async def _speak(self, texts: list[str]) -> None:
        while True:
            try:
                await self._cache.prewarm(texts, self._options)
                return
            except EngineRefused as error:
                log.warning("prompts not prepared", why=str(error))
                return
            except EngineError as error:
                # They are what callers hear when no voice works any more: worth another try.
                log.warning("prompts not prepared", again_in=_AGAIN, why=str(error))
            await asyncio.sleep(_AGAIN)
