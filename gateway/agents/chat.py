"""The agent behind any OpenAI-compatible chat-completions endpoint, streamed word by word.

A reply that was never heard leaves no trace: the conversation grows only by `heard`, with exactly the words
that reached the caller. Errors before the first words may be tried again while the caller's patience lasts;
after them a second try would repeat what was already spoken, so they are final.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import openai
import structlog
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

from gateway.agents.base import AgentError, ReplyPart, Say, UserTurn
from gateway.agents.chat_history import History, Message
from gateway.agents.chat_settings import ChatSettings

log = structlog.get_logger(__name__)

_RETRY_STATUS = frozenset({408, 409, 425, 429})
_RETRY_PAUSE = 0.2
"""Seconds before another try when the endpoint names no time."""


_DRAIN = 0.25
"""Seconds given to the end of a stream after its last word, so that the connection can be used again."""


_GARBAGE = (ValueError, TypeError, AttributeError, LookupError)
"""What a broken chunk raises: the library hands chunks over unvalidated, so it shows only when used."""


class _Trouble(Exception):
    """Why one try failed, and how long the endpoint asks us to wait."""

    def __init__(self, detail: str, *, retryable: bool = True, retry_after: float = _RETRY_PAUSE) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retryable = retryable
        self.retry_after = retry_after


class ChatBackend:
    """One configured endpoint and its connections, shared by all calls."""

    def __init__(self, settings: ChatSettings) -> None:
        self.settings = settings
        self._client = openai.AsyncOpenAI(
            base_url=settings.base_url,
            api_key=settings.api_key.reveal() or "none",
            timeout=settings.total_seconds,
            max_retries=0,
        )

    async def open(self, messages: list[Message]) -> openai.AsyncStream[ChatCompletionChunk]:
        """Ask for a streamed completion. Raises what the openai client raises."""
        chosen = self.settings
        return await self._client.chat.completions.create(
            model=chosen.model,
            messages=cast(list[ChatCompletionMessageParam], messages),
            temperature=chosen.temperature,
            extra_body={chosen.max_tokens_field: chosen.max_tokens},
            stream=True,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.close()


class ChatAgent:
    """One call's conversation with a chat endpoint."""

    def __init__(self, name: str, backend: ChatBackend) -> None:
        self._name = name
        self._backend = backend
        settings = backend.settings
        self._history = History(settings.history_turns, settings.history_tokens)

    @property
    def name(self) -> str:
        return self._name

    async def greet(self) -> AsyncIterator[ReplyPart]:
        if self._backend.settings.greeting:
            yield Say(self._backend.settings.greeting)

    async def reply(self, turn: UserTurn) -> AsyncIterator[ReplyPart]:
        completion = _Completion(self._backend, self._messages(turn))
        try:
            while (text := await completion.next_text()) is not None:
                yield Say(text)
        finally:
            await completion.aclose()

    def heard(self, turn: UserTurn, text: str, *, complete: bool) -> None:
        self._history.note(turn.number, _user_text(turn), text, complete=complete)

    async def aclose(self) -> None:
        """The endpoint's connections stay open for other calls."""

    def _messages(self, turn: UserTurn) -> list[Message]:
        told = self._history.messages(_user_text(turn))
        prompt = self._backend.settings.system_prompt
        return [{"role": "system", "content": prompt}, *told] if prompt else told


def _user_text(turn: UserTurn) -> str:
    keys = f"(pressed {' '.join(turn.dtmf)})" if turn.dtmf else ""
    return " ".join(part for part in (turn.text.strip(), keys) if part)


class _Completion:
    """One streamed completion: opened late, retried early, its waiting bounded, closed whatever happens."""

    def __init__(self, backend: ChatBackend, messages: list[Message]) -> None:
        self._backend = backend
        self._messages = messages
        self._stream: openai.AsyncStream[ChatCompletionChunk] | None = None
        self._spoke = False
        self._finished = False
        self._waited = 0.0

    async def next_text(self) -> str | None:
        """The next piece of text, or None after the last one. Raises `AgentError`."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        settings = self._backend.settings
        limit = settings.total_seconds - self._waited
        if not self._spoke:
            limit = min(limit, settings.first_token_seconds)
        try:
            async with asyncio.timeout_at(started + limit):
                text = await (self._text() if self._spoke else self._first_text(started + limit))
        except TimeoutError:
            what = "stopped in the middle" if self._spoke else f"gave no words within {limit:.1f} s"
            raise AgentError(f"the chat endpoint {what}", retryable=not self._spoke) from None
        except _Trouble as trouble:
            raise AgentError(trouble.detail, retryable=trouble.retryable and not self._spoke) from trouble
        self._waited += loop.time() - started
        self._spoke = True
        return text

    async def _first_text(self, deadline: float) -> str | None:
        tries = self._backend.settings.retries
        loop = asyncio.get_running_loop()
        while True:
            try:
                return await self._text()
            except _Trouble as trouble:
                await self.aclose()
                if not trouble.retryable or tries == 0 or loop.time() + trouble.retry_after >= deadline:
                    raise
                tries -= 1
                log.warning("chat endpoint failed, trying again", why=trouble.detail)
                await asyncio.sleep(trouble.retry_after)

    async def _text(self) -> str | None:
        """Chunks until one holds text. Raises `_Trouble` for whatever the library raises."""
        try:
            if self._stream is None:
                self._stream = await self._backend.open(self._messages)
            while not self._finished and (chunk := await anext(self._stream, None)) is not None:
                for choice in chunk.choices[:1]:
                    self._finished = choice.finish_reason is not None
                    if choice.delta.content:
                        return choice.delta.content
        except openai.APIError as error:
            raise _translate(error) from error
        except _GARBAGE as error:
            raise _Trouble("the chat endpoint sent something that is no completion") from error
        except OSError as error:
            raise _Trouble("the connection to the chat endpoint broke") from error
        if not self._finished and not (self._spoke and self._is_whole()):
            raise _Trouble("the chat endpoint broke off in the middle")
        if not self._spoke:
            raise _Trouble("the chat endpoint gave an empty reply")
        await self._drain()
        return None

    def _is_whole(self) -> bool:
        """Whether HTTP's own framing says that nothing is missing: some endpoints give no finish reason."""
        assert self._stream is not None
        headers = self._stream.response.headers
        return "chunked" in headers.get("transfer-encoding", "").lower() or "content-length" in headers

    async def _drain(self) -> None:
        """Read past the end marker: only a stream read to its end leaves the connection usable."""
        assert self._stream is not None
        try:
            async with asyncio.timeout(_DRAIN):
                while await anext(self._stream, None) is not None:
                    pass
        except (TimeoutError, openai.APIError, OSError, *_GARBAGE):
            log.debug("chat stream had no proper end")

    async def aclose(self) -> None:
        """Drop the stream; the endpoint sees the connection close and stops generating."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()


def _translate(error: openai.APIError) -> _Trouble:
    """The library's errors in our words; bodies are left out, since some endpoints repeat the request."""
    if isinstance(error, openai.APIStatusError):
        status = error.status_code
        retryable = status in _RETRY_STATUS or status >= 500
        return _Trouble(
            f"the chat endpoint answered {status}{_CURES.get(status, '')}",
            retryable=retryable,
            retry_after=_retry_after(error.response.headers.get("retry-after")),
        )
    if isinstance(error, openai.APITimeoutError):
        return _Trouble("the chat endpoint did not answer in time")
    if isinstance(error, openai.APIConnectionError):
        return _Trouble("the chat endpoint cannot be reached")
    return _Trouble("the chat endpoint reported an error inside its stream")


_CURES = {
    401: ": check api_key",
    403: ": the key may not use this model",
    404: ": check base_url and model",
    429: ": too many requests or no credit",
}


def _retry_after(header: str | None) -> float:
    """Seconds from a Retry-After header (RFC 9110 section 10.2.3); a date counts as too long to wait."""
    if header is None:
        return _RETRY_PAUSE
    try:
        return max(0.0, float(header))
    except ValueError:
        return float("inf")
