"""One round of tools: what the model asked for is done, side by side, and what came of it is written down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from itertools import cycle

import structlog

from gateway.agents.base import Do, FaultKind, Mishap, ReplyPart, Say, Settle, Working
from gateway.agents.chat_completion import ChatBackend, ToolCall
from gateway.agents.chat_history import Message
from gateway.agents.tools.box import Asked, ToolMisused
from gateway.agents.tools.call_tools import LEAVES, PARTS, CallTool
from gateway.agents.tools.http_tools import ToolFailed
from gateway.agents.tools.settings import HttpTool

log = structlog.get_logger(__name__)

_DONE = "done"
_FAILED = "failed: "


class ToolWork:
    """The tools of one reply. `messages` grows by what the model is told of them."""

    def __init__(self, backend: ChatBackend, call_id: str) -> None:
        self._backend = backend
        self._call_id = call_id
        self._settled = False
        self.messages: list[Message] = []
        """The model's wishes and the tools' answers so far, as the next request carries them."""
        self.left = False
        """An order was given after which the conversation is over."""

    async def round(self, calls: Sequence[ToolCall]) -> AsyncGenerator[ReplyPart, None]:
        """Do what was asked for; meanwhile the caller hears fillers. Closing it gives up what still runs."""
        most = self._backend.tools.settings.most_parallel
        wishes = [self._read(call, number < most) for number, call in enumerate(calls)]
        if not self._settled and any(isinstance(wish, Asked) and not wish.safe for wish in wishes):
            self._settled = True
            yield Settle()
        answers: list[str | asyncio.Task[str]] = [
            self._start(wish, wish.tool) if isinstance(wish, Asked) and isinstance(wish.tool, HttpTool)
            else wish if isinstance(wish, str) else _DONE
            for wish in wishes
        ]  # fmt: skip
        try:
            async for part in self._order(wishes, answers, parting=False):
                yield part
            async for filler in self._wait(answers):
                yield filler
            async for part in self._order(wishes, answers, parting=True):
                yield part
        finally:
            for answer in answers:
                if isinstance(answer, asyncio.Task):
                    answer.cancel()
        told = [await answer if isinstance(answer, asyncio.Task) else answer for answer in answers]
        for answer, text in zip(answers, told, strict=True):
            if isinstance(answer, asyncio.Task) and text.startswith(_FAILED):
                yield Mishap(FaultKind.TOOL, "told")
        self._write(calls, told)

    def _read(self, call: ToolCall, first: bool) -> Asked | str:
        """What it means, or why it cannot be done."""
        if not first:
            return "too many at once; ask again for this one"
        try:
            return self._backend.tools.asked(call.name, call.arguments)
        except ToolMisused as misused:
            return f"refused: {misused}"

    def _start(self, wish: Asked, tool: HttpTool) -> asyncio.Task[str]:
        return asyncio.get_running_loop().create_task(self._ask(tool, wish), name=f"tool {tool.name}")

    async def _ask(self, tool: HttpTool, wish: Asked) -> str:
        try:
            return await self._backend.http.ask(tool, wish.arguments, self._call_id)
        except ToolFailed as failed:
            log.warning("a tool failed", tool=tool.name, why=str(failed).partition(":")[0])
            return f"{_FAILED}{failed}"

    async def _order(
        self, wishes: Sequence[Asked | str], answers: list[str | asyncio.Task[str]], *, parting: bool
    ) -> AsyncGenerator[ReplyPart, None]:
        """What acts on the call is done one by one, as a person would; after some of it nothing follows.

        `parting`: what may end the conversation; it comes when the services have answered, which would be
        given up with it.
        """
        for number, wish in enumerate(wishes):
            if not isinstance(wish, Asked) or not isinstance(wish.tool, CallTool):
                continue
            order = wish.tool.order(wish.arguments)
            if (type(order) in PARTS) is not parting:
                continue
            done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            yield Do(order, partial(_settle, done))
            if type(order) in LEAVES:
                self.left = True
                return
            answers[number] = f"{_FAILED}{refused}" if (refused := await done) else _DONE

    async def _wait(self, answers: Sequence[str | asyncio.Task[str]]) -> AsyncGenerator[ReplyPart, None]:
        settings = self._backend.tools.settings
        fillers = cycle(settings.fillers) if settings.fillers else None
        patience = settings.filler_seconds
        pending = {answer for answer in answers if isinstance(answer, asyncio.Task)}
        while pending:
            yield Working()
            _, pending = await asyncio.wait(pending, timeout=patience)
            if pending and fillers is not None:
                yield Mishap(FaultKind.TOOL, "filler")
                yield Say(next(fillers) + " ", filler=True)
            patience = settings.filler_again

    def _write(self, calls: Sequence[ToolCall], told: Sequence[str]) -> None:
        """As the API wants it: the wishes in one message, each answer in one of its own."""
        named = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
        self.messages.append({"role": "assistant", "content": "", "tool_calls": named})
        for call, answer in zip(calls, told, strict=True):
            self.messages.append({"role": "tool", "content": answer, "tool_call_id": call.id})


def _settle(done: asyncio.Future[str], refused: str) -> None:
    """An order was done ("") or refused; nobody waits for it any more, perhaps."""
    if not done.done():
        done.set_result(refused)
