"""The agent that repeats what it was told: for a first call, for sound checks, for measurements."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

from gateway.agents.base import ReplyPart, Say, UserTurn


@dataclass(frozen=True, slots=True)
class EchoSettings:
    """An agent that repeats the caller's words exactly."""

    kind: Literal["echo"] = "echo"
    """Always `echo`."""
    greeting: str = ""
    """Spoken when the call is answered; empty: the caller speaks first."""


class EchoAgent:
    """Says every turn back, word by word, and keys one by one."""

    def __init__(self, name: str, settings: EchoSettings) -> None:
        self._name = name
        self._greeting = settings.greeting

    @property
    def name(self) -> str:
        return self._name

    async def greet(self) -> AsyncIterator[ReplyPart]:
        if self._greeting:
            yield Say(self._greeting)

    async def reply(self, turn: UserTurn) -> AsyncIterator[ReplyPart]:
        said = " ".join(part for part in (turn.text.strip(), " ".join(turn.dtmf)) if part)
        if said:
            yield Say(said)

    def heard(self, turn: UserTurn, text: str, *, complete: bool) -> None:
        """An echo remembers nothing."""

    async def aclose(self) -> None:
        """Nothing to free."""
