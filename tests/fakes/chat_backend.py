"""A chat backend without a network, for whole calls in virtual time: its stream follows a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import openai
from openai.types.chat import ChatCompletionChunk

from gateway.agents.chat_completion import ChatBackend
from gateway.agents.chat_history import Message
from gateway.agents.chat_settings import ChatSettings
from gateway.agents.tools.http_tools import HttpTools
from gateway.agents.tools.settings import HttpTool

Line = str | float | Exception | dict[str, Any]
"""Text, a pause in seconds, something that is raised, or a chunk's delta."""


class ScriptedBackend(ChatBackend):
    """Answers each request with the next script, the last one for ever."""

    def __init__(
        self, settings: ChatSettings, *scripts: Sequence[Line], http: HttpTools | None = None
    ) -> None:
        super().__init__(settings)
        self._scripts = list(scripts)
        self.asked: list[Sequence[Message]] = []
        self.http = http or self.http

    async def open(
        self, messages: Sequence[Message], *, tools: bool
    ) -> openai.AsyncStream[ChatCompletionChunk]:
        self.asked.append(messages)
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        if script and isinstance(script[0], Exception):
            raise script[0]
        return cast("openai.AsyncStream[ChatCompletionChunk]", _Stream(script))


class SlowTools(HttpTools):
    """Every tool takes so long, and says this, or fails so."""

    def __init__(self, seconds: float, answer: str | Exception) -> None:
        super().__init__()
        self._seconds, self._answer = seconds, answer

    async def ask(self, tool: HttpTool, arguments: Any, call_id: str) -> str:
        await asyncio.sleep(self._seconds)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


class _Stream:
    """As much of the library's stream as is used."""

    def __init__(self, script: Sequence[Line]) -> None:
        self.response = SimpleNamespace(headers={"transfer-encoding": "chunked"})
        self._chunks = self._play(script)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._chunks

    async def __anext__(self) -> Any:
        return await anext(self._chunks)

    async def close(self) -> None: ...

    async def _play(self, script: Sequence[Line]) -> AsyncIterator[Any]:
        for line in script:
            match line:
                case float():
                    await asyncio.sleep(line)
                case Exception():
                    raise line
                case str():
                    yield _chunk({"content": line})
                case delta:
                    yield _chunk(delta)
        yield _chunk({}, "stop")


def _chunk(delta: dict[str, Any], finish: str | None = None) -> ChatCompletionChunk:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return ChatCompletionChunk.model_validate(
        {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    )


def wish(name: str, arguments: str = "{}") -> dict[str, Any]:
    """The delta that asks for a tool."""
    called = {
        "index": 0,
        "id": "call_0",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }
    return {"tool_calls": [called]}
