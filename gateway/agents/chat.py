"""The agent behind any OpenAI-compatible chat-completions endpoint, streamed word by word.

A reply that was never heard leaves no trace: the conversation grows only by `heard`, with exactly the words
that reached the caller, and by the tools that were really used.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from gateway.agents.base import ReplyPart, Say, UserTurn
from gateway.agents.chat_completion import ChatBackend, Completion
from gateway.agents.chat_history import History, Message
from gateway.agents.chat_work import ToolWork
from gateway.agents.handoff import instructed


class ChatAgent:
    """One call's conversation with a chat endpoint."""

    def __init__(self, name: str, backend: ChatBackend, call_id: str = "") -> None:
        """`call_id`: told to the operator's tools."""
        self._name = name
        self._backend = backend
        self._call_id = call_id
        settings = backend.settings
        self._history = History(settings.history_turns, settings.history_tokens)
        self._handoff = ""
        self._worked: dict[int, list[Message]] = {}
        """Tools that were used for a turn, also by a reply of it that nobody heard: it happened."""

    @property
    def name(self) -> str:
        return self._name

    def brief(self, handoff: str) -> None:
        """See `handoff.Briefed`."""
        self._handoff = handoff

    async def greet(self) -> AsyncIterator[ReplyPart]:
        if self._backend.settings.greeting and not self._handoff:
            yield Say(self._backend.settings.greeting)
        elif self._handoff:
            async for part in self.reply(UserTurn(0, "")):
                yield part

    async def reply(self, turn: UserTurn) -> AsyncIterator[ReplyPart]:
        work = ToolWork(self._backend, self._call_id)
        used = self._worked.get(turn.number, [])
        before = [*self._messages(turn), *used]
        for round in range(self._backend.tools.settings.rounds, -1, -1):
            completion = Completion(self._backend, [*before, *work.messages], tools=round > 0)
            try:
                while (text := await completion.next_text()) is not None:
                    if text:
                        yield Say(text)
            finally:
                await completion.aclose()
            if not completion.calls or not round:
                return
            async with aclosing(work.round(completion.calls)) as parts:
                async for part in parts:
                    yield part
            self._worked[turn.number] = [*used, *work.messages]
            if work.left:
                return

    def heard(self, turn: UserTurn, text: str, *, complete: bool) -> None:
        if turn.unasked:
            self._history.note_unasked(text, complete=complete)
            return
        worked = self._worked.pop(turn.number, ())
        self._history.note(turn.number, _user_text(turn), text, complete=complete, worked=worked)

    async def aclose(self) -> None:
        """The endpoint's connections stay open for other calls."""

    def _messages(self, turn: UserTurn) -> list[Message]:
        told = self._history.messages(_user_text(turn))
        prompt = instructed(self._backend.settings.system_prompt, self._handoff)
        return [{"role": "system", "content": prompt}, *told] if prompt else told


def _user_text(turn: UserTurn) -> str:
    keys = f"(pressed {' '.join(turn.dtmf)})" if turn.dtmf else ""
    return " ".join(part for part in (turn.text.strip(), keys) if part)
