"""What an agent is told that takes a call over from another."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

HANDOFF = "handoff"
"""Name of the custom parameter that carries it to apps."""
_FOR_A_MODEL = "A colleague hands you this call and says: "


@runtime_checkable
class Briefed(Protocol):
    """An agent that can be told; others take the call as if it were new."""

    def brief(self, handoff: str) -> None:
        """What a colleague said who hands the call over; called once, before anything else."""


def brief(agent: object, handoff: str) -> None:
    """Tell the agent, if there is something to tell and it listens."""
    if handoff and isinstance(agent, Briefed):
        agent.brief(handoff)


def instructed(instructions: str, handoff: str) -> str:
    """A model's instructions with the note, if there is one."""
    return "\n\n".join(filter(None, (instructions, handoff and _FOR_A_MODEL + handoff)))
