"""A conversation as the caller lived it, cut to what fits into a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NotRequired, TypedDict

CHARACTERS_PER_TOKEN = 4
"""An estimate that holds within a third for European languages, and needs no tokenizer."""


class Message(TypedDict):
    """One entry of a chat request."""

    role: str
    content: str
    tool_calls: NotRequired[list[dict[str, Any]]]
    tool_call_id: NotRequired[str]


@dataclass(frozen=True, slots=True)
class _Exchange:
    user: str
    agent: str
    complete: bool
    worked: tuple[Message, ...] = ()
    """The tools that were used for the reply, and what came of them."""

    @property
    def size(self) -> int:
        return len(self.user) + len(self.agent) + sum(_size(message) for message in self.worked)


@dataclass(slots=True)
class History:
    """What was said and really heard, by turn; told to the model within two bounds."""

    max_turns: int
    max_tokens: int
    _turns: dict[int, _Exchange] = field(default_factory=dict)

    def note(
        self, number: int, user: str, agent: str, *, complete: bool, worked: Sequence[Message] = ()
    ) -> None:
        """Keep one turn; noting a turn again replaces it. The oldest are forgotten beyond the bound."""
        self._turns[number] = _Exchange(user, agent, complete, tuple(worked))
        while len(self._turns) > self.max_turns:
            del self._turns[min(self._turns)]

    def note_unasked(self, agent: str, *, complete: bool) -> None:
        """Keep what was said to the caller beside the model's replies; it follows the newest turn."""
        newest = max(self._turns, default=0)
        turn = self._turns.get(newest, _Exchange("", "", complete=True))
        before = turn.agent if turn.complete else _cut(turn.agent)
        self._turns[newest] = replace(turn, agent=f"{before} {agent}".strip(), complete=complete)

    def messages(self, user: str) -> list[Message]:
        """The conversation so far and the new user turn, roles alternating, oldest left out first."""
        budget = self.max_tokens * CHARACTERS_PER_TOKEN
        newest = user[-budget:]
        budget -= len(newest)
        kept: list[_Exchange] = []
        for _, turn in sorted(self._turns.items(), reverse=True):
            budget -= turn.size
            if budget < 0:
                break
            kept.append(turn)
        told: list[Message] = []
        for turn in reversed(kept):
            _tell(told, "user", turn.user)
            told.extend(turn.worked)
            _tell(told, "assistant", turn.agent if turn.complete else _cut(turn.agent))
        _tell(told, "user", newest)
        return told


def _size(message: Message) -> int:
    return len(message["content"]) + sum(len(str(call)) for call in message.get("tool_calls", ()))


def _cut(heard: str) -> str:
    return f"{heard.rstrip()} —" if heard.strip() else ""


def _tell(told: list[Message], role: str, content: str) -> None:
    """Append, joining neighbours of one role: several backends refuse two in a row."""
    if not content.strip():
        return
    if told and told[-1]["role"] == role and "tool_calls" not in told[-1]:
        told[-1]["content"] += "\n" + content
    else:
        told.append({"role": role, "content": content})
