"""An agent with a script: one answer per turn, after a while, or a failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from gateway.agents.base import AgentError, HangUp, ReplyPart, Say, UserTurn


def repeats(turn: UserTurn) -> str:
    return f"You said {turn.text or turn.dtmf}"


class ScriptedAgent:
    """`says` gives the answer: "!" in it fails there, "#" hangs up, "~" pauses for 3 s.

    `takes`: seconds to the first text.
    """

    name = "scripted"

    def __init__(
        self, says: Callable[[UserTurn], str] = repeats, takes: float = 0.1, greeting: str = ""
    ) -> None:
        self.says, self.takes, self.greeting = says, takes, greeting
        self.asked: list[UserTurn] = []
        self.told: list[tuple[int, str, bool]] = []
        """Turn, words heard, complete."""
        self.open = 0
        """Replies that are being made."""
        self.closed = False

    async def greet(self) -> AsyncIterator[ReplyPart]:
        if self.greeting:
            yield Say(self.greeting)

    async def reply(self, turn: UserTurn) -> AsyncIterator[ReplyPart]:
        self.asked.append(turn)
        self.open += 1
        try:
            await asyncio.sleep(self.takes)
            for piece in self.says(turn).split(" "):
                if piece == "!":
                    raise AgentError("scripted")
                if piece == "~":
                    await asyncio.sleep(3.0)
                    continue
                yield HangUp() if piece == "#" else Say(piece + " ")
        finally:
            self.open -= 1

    def heard(self, turn: UserTurn, text: str, *, complete: bool) -> None:
        self.told.append((turn.number, text, complete))

    async def aclose(self) -> None:
        self.closed = True
