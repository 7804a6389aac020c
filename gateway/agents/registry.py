"""Which agents exist: by the names that dialplans use, made per call from what the configuration says."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import Field

from gateway.agents.base import Agent
from gateway.agents.chat_settings import ChatSettings
from gateway.agents.conversation_relay.agent import RelayAgent, RelayHome, Sounds
from gateway.agents.conversation_relay.settings import RelaySettings
from gateway.agents.echo import EchoAgent, EchoSettings
from gateway.agents.media_stream import LARGEST_MESSAGE, MediaStreamAgent
from gateway.agents.media_stream_settings import MediaStreamSettings
from gateway.agents.realtime_settings import RealtimeSettings
from gateway.agents.sound import SoundAgent
from gateway.agents.text_socket import WebSocketDial
from gateway.errors import AgentUnknown
from gateway.problems import nearest
from gateway.twilio_ids import account_sid
from media.frame import Pcm

if TYPE_CHECKING:
    from gateway.agents.chat_completion import ChatBackend
    from gateway.agents.realtime import RealtimeBackend

AgentSettings: TypeAlias = Annotated[
    EchoSettings | ChatSettings | RelaySettings | MediaStreamSettings | RealtimeSettings,
    Field(discriminator="kind"),
]
"""One agent's section of the configuration; `kind` says which."""

_OWN_EARS = (MediaStreamSettings, RealtimeSettings)
_RELAY_BYTES = 1_048_576
"""Largest message of a relay's app that keeps the socket open; how large a useful one may be is a setting."""


async def no_sounds(source: str, sample_rate: int) -> AsyncGenerator[Pcm, None]:
    """Where nobody plays sound files. Raises `OSError`."""
    raise OSError("sound files are not played here")
    yield


class AgentRegistry:
    """Makes an agent for a call; what a backend shares between calls (connections) lives here."""

    def __init__(
        self, settings: Mapping[str, AgentSettings], node: str = "offhook", sounds: Sounds = no_sounds
    ) -> None:
        """`node`: its name, from which an AccountSid is made for apps that want one; `sounds` opens files."""
        self._settings = dict(settings)
        self._account = account_sid(node)
        self.relay_home = RelayHome(self._account, WebSocketDial(_RELAY_BYTES), sounds, time.time)
        """What sessions of ConversationRelay have from the node."""
        self._chats: dict[str, ChatBackend] = {}
        self._models: dict[str, RealtimeBackend] = {}
        for name, chosen in self._settings.items():
            if isinstance(chosen, ChatSettings):
                # Only who configures a chat agent pays for loading its client, and pays at start-up.
                from gateway.agents.chat_completion import ChatBackend

                self._chats[name] = ChatBackend(chosen)
            elif isinstance(chosen, RealtimeSettings):
                from gateway.agents.realtime import RealtimeBackend

                self._models[name] = RealtimeBackend(chosen)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._settings)

    @property
    def own_ears(self) -> frozenset[str]:
        """Agents that hear by themselves and need no recogniser."""
        return frozenset(name for name, chosen in self._settings.items() if isinstance(chosen, _OWN_EARS))

    def create(self, name: str) -> Agent | SoundAgent:
        """A fresh agent for one call. Raises `AgentUnknown`."""
        chosen = self._settings.get(name)
        if isinstance(chosen, EchoSettings):
            return EchoAgent(name, chosen)
        if isinstance(chosen, ChatSettings):
            from gateway.agents.chat import ChatAgent

            return ChatAgent(name, self._chats[name])
        if isinstance(chosen, RelaySettings):
            return RelayAgent(name, chosen, self.relay_home)
        if isinstance(chosen, MediaStreamSettings):
            return MediaStreamAgent(name, chosen, WebSocketDial(LARGEST_MESSAGE), self._account)
        if isinstance(chosen, RealtimeSettings):
            from gateway.agents.realtime import RealtimeAgent

            return RealtimeAgent(name, self._models[name])
        raise AgentUnknown(f'no agent is called "{name}"; {nearest(name, self._settings)}')

    async def aclose(self) -> None:
        """Close what the backends share. Calls must be over."""
        for chat in self._chats.values():
            await chat.aclose()
        for model in self._models.values():
            await model.aclose()
