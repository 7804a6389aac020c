"""One streamed completion of a chat endpoint: words, and the tools that the model wants to use.

Errors before the first words may be tried again while the caller's patience lasts; after them a second try
would repeat what was already spoken, so they are final.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import openai
import structlog
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam, ChatCompletionToolParam
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall

from gateway.agents.base import AgentError, FaultKind
from gateway.agents.chat_history import Message
from gateway.agents.chat_settings import ChatSettings
from gateway.agents.tools.box import ToolBox
from gateway.agents.tools.http_tools import HttpTools

log = structlog.get_logger(__name__)

_RETRY_STATUS = frozenset({408, 409, 425, 429})
_RETRY_PAUSE = 0.2
"""Seconds before another try when the endpoint names no time."""

_DRAIN = 0.25
"""Seconds given to the end of a stream after its last word, so that the connection can be used again."""


_GARBAGE = (ValueError, TypeError, AttributeError, LookupError)
"""What a broken chunk raises: the library hands chunks over unvalidated, so it shows only when used."""


_MOST_CALLS = 64
"""Tools asked for at once, far more than sense makes."""
_LONGEST_ARGUMENTS = 65_536
_LONGEST_TOKEN = 12
"""Characters. More than `max_tokens` of these is no answer, but an endpoint that does not stop."""


class _Trouble(Exception):
    """Why one try failed, and how long the endpoint asks us to wait."""

    def __init__(
        self,
        detail: str,
        *,
        kind: FaultKind = FaultKind.REFUSED,
        retryable: bool = True,
        retry_after: float = _RETRY_PAUSE,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.kind = kind
        self.retryable = retryable
        self.retry_after = retry_after


class ChatBackend:
    """One configured endpoint and its connections, shared by all calls."""

    def __init__(self, settings: ChatSettings) -> None:
        self.settings = settings
        self.tools = ToolBox(settings.tools)
        self.http = HttpTools()
        self._functions = [
            cast(ChatCompletionToolParam, {"type": "function", "function": told})
            for told in self.tools.definitions()
        ]
        self._client = openai.AsyncOpenAI(
            base_url=settings.base_url,
            api_key=settings.api_key.reveal() or "none",
            timeout=settings.total_seconds,
            max_retries=0,
        )

    async def open(
        self, messages: Sequence[Message], *, tools: bool
    ) -> openai.AsyncStream[ChatCompletionChunk]:
        """Ask for a streamed completion, with tools or without. Raises what the openai client raises."""
        chosen = self.settings
        return await self._client.chat.completions.create(
            model=chosen.model,
            messages=cast(list[ChatCompletionMessageParam], messages),
            tools=self._functions if tools and self._functions else openai.omit,
            temperature=chosen.temperature,
            extra_body={chosen.max_tokens_field: chosen.max_tokens},
            stream=True,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.close()
        await self.http.aclose()


@dataclass(slots=True)
class ToolCall:
    """A tool that the model wants to use, as it wrote it."""

    id: str = ""
    name: str = ""
    arguments: str = ""


class Completion:
    """One streamed completion: opened late, retried early, its waiting bounded, closed whatever happens."""

    def __init__(self, backend: ChatBackend, messages: Sequence[Message], *, tools: bool = True) -> None:
        """`tools`: whether the model may use its tools."""
        self._backend = backend
        self._messages = messages
        self._tools = tools
        self._calls: dict[int, ToolCall] = {}
        self._stream: openai.AsyncStream[ChatCompletionChunk] | None = None
        self._spoke = False
        self._written = 0
        """Characters of text so far."""
        self._finished = False
        self._waited = 0.0

    @property
    def calls(self) -> list[ToolCall]:
        """The tools that the model wants to use; whole after the last piece of text."""
        return [call for _, call in sorted(self._calls.items())]

    async def next_text(self) -> str | None:
        """The next piece of text, "" while tools are named, None after the last. Raises `AgentError`."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        settings = self._backend.settings
        patience = settings.stall_seconds if self._spoke else settings.first_token_seconds
        limit = min(settings.total_seconds - self._waited, patience)
        try:
            async with asyncio.timeout_at(started + limit):
                text = await (self._text() if self._spoke else self._first_text(started + limit))
        except TimeoutError:
            what = "stopped in the middle" if self._spoke else f"gave no words within {limit:.1f} s"
            kind = FaultKind.CUT if self._spoke else FaultKind.SLOW
            raise AgentError(f"the chat endpoint {what}", retryable=not self._spoke, kind=kind) from None
        except _Trouble as trouble:
            again = trouble.retryable and not self._spoke
            raise AgentError(trouble.detail, retryable=again, kind=trouble.kind) from trouble
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
                self._stream = await self._backend.open(self._messages, tools=self._tools)
            while not self._finished and (chunk := await anext(self._stream, None)) is not None:
                for choice in chunk.choices[:1]:
                    self._finished = choice.finish_reason is not None
                    named = choice.delta.tool_calls or ()
                    self._note(named)
                    if choice.delta.content:
                        return self._more(choice.delta.content)
                    if named:
                        return ""  # from here on it is late only as one that speaks would be
        except openai.APIStatusError as error:
            raise _translate(error) from error
        except openai.APIError as error:
            if self._stream is not None and isinstance(error, openai.APIConnectionError):
                raise _Trouble("the connection to the chat endpoint broke", kind=FaultKind.CUT) from error
            raise _translate(error) from error
        except _GARBAGE as error:
            told = "the chat endpoint sent something that is no completion"
            raise _Trouble(told, kind=FaultKind.GARBAGE) from error
        except OSError as error:
            raise _Trouble("the connection to the chat endpoint broke", kind=FaultKind.CUT) from error
        if not self._finished and not (self._spoke and self._is_whole()):
            raise _Trouble("the chat endpoint broke off in the middle", kind=FaultKind.CUT)
        if not self._spoke and not self._calls:
            raise _Trouble("the chat endpoint gave an empty reply", kind=FaultKind.GARBAGE)
        await self._drain()
        return None

    def _more(self, text: str) -> str:
        self._written += len(text)
        if self._written > self._backend.settings.max_tokens * _LONGEST_TOKEN:
            told = "the chat endpoint writes far more than it was asked for"
            raise _Trouble(told, kind=FaultKind.ENDLESS, retryable=False)
        return text

    def _note(self, deltas: Sequence[ChoiceDeltaToolCall]) -> None:
        """More of the tools that the model names; they come in pieces, several at a time perhaps."""
        for delta in deltas:
            if delta.index not in self._calls and len(self._calls) >= _MOST_CALLS:
                told = "the chat endpoint asks for tools without end"
                raise _Trouble(told, kind=FaultKind.ENDLESS, retryable=False)
            call = self._calls.setdefault(delta.index, ToolCall())
            call.id = call.id or delta.id or ""
            if delta.function is not None:
                call.name = call.name or delta.function.name or ""
                call.arguments += delta.function.arguments or ""
            if len(call.arguments) > _LONGEST_ARGUMENTS:
                told = "the chat endpoint gives a tool arguments without end"
                raise _Trouble(told, kind=FaultKind.ENDLESS, retryable=False)

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
        return _Trouble("the chat endpoint did not answer in time", kind=FaultKind.SLOW)
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
