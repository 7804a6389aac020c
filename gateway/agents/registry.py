"""Which agents exist: by the names that dialplans use, made per call from what the configuration says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import Field

from gateway.agents.base import Agent
from gateway.agents.chat_settings import ChatSettings
from gateway.agents.echo import EchoAgent, EchoSettings
from gateway.errors import AgentUnknown
from gateway.problems import nearest

if TYPE_CHECKING:
    from gateway.agents.chat import ChatBackend

AgentSettings: TypeAlias = Annotated[EchoSettings | ChatSettings, Field(discriminator="kind")]
"""One agent's section of the configuration; `kind` says which."""


class AgentRegistry:
    """Makes an agent for a call; what a backend shares between calls (connections) lives here."""

    def __init__(self, settings: Mapping[str, EchoSettings | ChatSettings]) -> None:
        self._settings = dict(settings)
        self._chats: dict[str, ChatBackend] = {}
        for name, chosen in self._settings.items():
            if isinstance(chosen, ChatSettings):
                # Only who configures a chat agent pays for loading its client, and pays at start-up.
                from gateway.agents.chat import ChatBackend

                self._chats[name] = ChatBackend(chosen)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._settings)

    def create(self, name: str) -> Agent:
        """A fresh agent for one call. Raises `AgentUnknown`."""
        chosen = self._settings.get(name)
        if isinstance(chosen, EchoSettings):
            return EchoAgent(name, chosen)
        if isinstance(chosen, ChatSettings):
            from gateway.agents.chat import ChatAgent

            return ChatAgent(name, self._chats[name])
        raise AgentUnknown(f'no agent is called "{name}"; {nearest(name, self._settings)}')

    async def aclose(self) -> None:
        """Close what the backends share. Calls must be over."""
        for backend in self._chats.values():
            await backend.aclose()
