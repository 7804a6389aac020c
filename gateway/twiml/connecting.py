"""Apps that take a call, or listen to it, over a WebSocket: `<Connect>`, `<Start>` and `<Stop>`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from gateway import twilio_ids
from gateway.agents import media_stream_messages as messages
from gateway.agents.base import Agent
from gateway.agents.conversation_relay.agent import RelayAgent, RelayHome
from gateway.agents.conversation_relay.attributes import relay_settings
from gateway.agents.conversation_relay.settings import RelaySettings
from gateway.agents.media_stream import MediaStreamAgent, StreamChange
from gateway.agents.media_stream_settings import MediaStreamSettings
from gateway.agents.sound import SoundAgent
from gateway.agents.text_socket import Dial
from gateway.audio.outbound import Guard
from gateway.calls.call import Call
from gateway.calls.stage import CallOver, StageEnd
from gateway.errors import AppFailed
from gateway.secret import Secret
from gateway.twiml.asking import Asking
from gateway.twiml.attributes import UNFIT
from gateway.twiml.client import Ask
from gateway.twiml.form import CallStatus, Fields
from gateway.twiml.listen_in import ListeningIn
from gateway.twiml.sockets import judge
from gateway.twiml.sounds import Sounds
from gateway.twiml.verbs import ConversationRelay, Stream
from media.frame import Pcm

log = structlog.get_logger(__name__)

TRACKS = {"inbound": ("inbound",), "outbound": ("outbound",), "both": ("inbound", "outbound")}
"""What of a call a stream beside it carries, by Twilio's names."""
_MOST_LISTENING = 4
"""Apps that listen to one call at a time, as at Twilio."""


class Talker(Protocol):
    """Lets an agent have the call."""

    async def talk(self, agent: Agent | SoundAgent, kind: str) -> StageEnd:
        """Until it lets go, or the call is over.

        Raises `CallerGone`, and `BrokenOff` when somebody outside has another use for the call.
        """


@dataclass(frozen=True, slots=True)
class Wires:
    """What reaches apps over WebSockets. One per node."""

    dial: Dial
    guard: Guard
    token: Secret
    account: str


class Connecting:
    """Of one call."""

    def __init__(self, call: Call, talker: Talker, asking: Asking, wires: Wires, sounds: Sounds) -> None:
        self._call = call
        self._talker = talker
        self._asking = asking
        self._wires = wires
        self._sounds = sounds
        self._streams = 0
        self._relays = 0
        self._listening: dict[str, ListeningIn] = {}

    async def connect(self, noun: Stream | ConversationRelay) -> Fields:
        """Let the app have the call; what `action` is told. Raises `CallerGone`, `AppFailed`."""
        plain = await judge(noun.url, self._asking.visit, self._wires.guard)
        if isinstance(noun, ConversationRelay):
            return await self._relay(noun, plain)
        return await self._stream(noun, plain)

    async def _relay(self, noun: ConversationRelay, plain: tuple[str, ...]) -> Fields:
        base = RelaySettings(auth_token=self._wires.token, account_sid=self._wires.account, plain_hosts=plain)
        try:
            settings, remarks = relay_settings(
                base,
                {"url": noun.url, **dict(noun.attributes)},
                languages={language.code: dict(language.attributes) for language in noun.languages},
                parameters=dict(noun.parameters),
            )
        except ValueError as error:
            raise AppFailed(f"<ConversationRelay>: {error}", code=UNFIT) from None
        for attribute, told in remarks:
            log.info("twiml was passed over", verb="ConversationRelay", attribute=attribute, why=told)
        home = RelayHome(
            self._wires.account, self._wires.dial, self._sound, lambda: self._asking.wall().timestamp()
        )
        self._relays += 1
        agent = RelayAgent("relay", settings, home, self._relays - 1)
        await self._talker.talk(agent, "conversation_relay")
        return tuple(agent.outcome.form())

    async def _sound(self, source: str, sample_rate: int) -> AsyncGenerator[Pcm, None]:
        """A sound that the app names."""
        yield await self._sounds.pcm(source, sample_rate)

    async def _stream(self, stream: Stream, plain: tuple[str, ...]) -> Fields:
        settings = MediaStreamSettings(
            url=stream.url,
            auth_token=self._wires.token,
            account_sid=self._wires.account,
            parameters=dict(stream.parameters),
            numbers=False,
            plain_hosts=plain,
            dead_air_seconds=0.0,  # the app decides how long it is silent
        )
        number = self._next()
        agent = MediaStreamAgent(
            stream.name or "stream", settings, self._wires.dial, self._wires.account,
            number=number, told=self._teller(stream, number),
        )  # fmt: skip
        match await self._talker.talk(agent, "stream"):
            case CallOver(reason) if self._call.closed is None:
                log.warning("the app's stream ended", why=str(reason))
        return (("StreamSid", twilio_ids.stream_sid(self._call.call_id, number)), ("StreamName", stream.name))

    async def start(self, stream: Stream) -> None:
        """Let an app listen from now on. Raises `AppFailed`."""
        await judge(stream.url, self._asking.visit, self._wires.guard)
        if len(self._listening) >= _MOST_LISTENING:
            raise AppFailed(f"{_MOST_LISTENING} apps listen already", code=31920)
        number = self._next()
        name = stream.name or f"stream-{number}"
        await self.stop(name)
        started = messages.Stream(
            twilio_ids.stream_sid(self._call.call_id, number),
            self._wires.account,
            twilio_ids.call_sid(self._call.call_id),
            tracks=TRACKS[stream.track],
            parameters=dict(stream.parameters),
        )
        listening = ListeningIn(
            stream.url, started, self._wires.dial, self._wires.token, self._teller(stream, number)
        )
        self._listening[name] = listening
        self._call.watch(listening)
        if "outbound" in started.tracks:
            self._call.leg.overhear(listening.overhear)
        listening.start()

    async def stop(self, name: str) -> None:
        """End the stream of this name, if there is one."""
        if (listening := self._listening.pop(name, None)) is not None:
            self._call.unwatch(listening)
            self._call.leg.unhear(listening.overhear)
            await listening.aclose()

    async def aclose(self) -> None:
        """End every stream. Idempotent."""
        for name in list(self._listening):
            await self.stop(name)

    def _next(self) -> int:
        self._streams += 1
        return self._streams - 1

    def _teller(self, stream: Stream, number: int) -> Callable[[StreamChange], None]:
        """Status callbacks of one stream."""
        line, asking = self._asking.line(), self._asking
        sid = twilio_ids.stream_sid(self._call.call_id, number)

        def told(change: StreamChange) -> None:
            if not stream.status_callback:
                return
            fields: Fields = (
                ("StreamSid", sid),
                ("StreamName", stream.name),
                ("StreamEvent", change.event),
                ("Timestamp", asking.wall().isoformat(timespec="milliseconds")),
            )
            if change.error:
                fields += (("StreamError", change.error),)
            status = CallStatus.IN_PROGRESS if self._call.closed is None else CallStatus.COMPLETED
            form = asking.fields.form(status, fields)
            line.tell(Ask(stream.status_callback, stream.status_method, form))

        return told
