"""Engines and agents with a meter in front: how much was asked of them, how it went, how long it took."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import TypeAlias, TypeVar

from engines.base import Asr, AsrOptions, AsrStream, SpeechChunk, Transcript, Tts, TtsOptions
from gateway.agents.base import Agent, CallInfo, ReplyPart, UserTurn
from gateway.agents.companion import Companion, companion_of
from gateway.agents.handoff import brief
from gateway.agents.sound import SoundAgent, SoundCall
from gateway.wrapped import WrappedAsr, WrappedTts
from media.clock import now
from media.frame import AudioFrame

T = TypeVar("T")

Done: TypeAlias = Callable[[str, str, str, float], None]
"""`EngineMetrics.done`: kind, engine, outcome, seconds."""


async def metered(source: AsyncIterator[T], done: Callable[[str, float], None]) -> AsyncGenerator[T, None]:
    """The items of `source`; tells its outcome and the seconds that were spent waiting for it, not for us."""
    spent, outcome = 0.0, "cancelled"
    try:
        while True:
            began = now()
            try:
                item = await anext(source)
            except StopAsyncIteration:
                outcome = "ok"
                return
            except Exception as error:
                outcome = type(error).__name__
                raise
            finally:
                spent += now() - began
            yield item
    finally:
        done(outcome, spent)
        if isinstance(source, AsyncGenerator):
            await source.aclose()


class MeteredTts(WrappedTts):
    """A `Tts` whose passages are counted."""

    def __init__(self, tts: Tts, done: Done, name: str = "") -> None:
        """`name`: what it is called in the metrics; empty: the voice's own."""
        super().__init__(tts, name)
        self._done = done

    def speak(self, text: str, options: TtsOptions) -> AsyncIterator[SpeechChunk]:
        """As the voice speaks it."""
        return metered(
            super().speak(text, options), lambda how, spent: self._done("tts", self.name, how, spent)
        )


class MeteredAgent:
    """An `Agent` whose replies are counted."""

    def __init__(self, agent: Agent, done: Done) -> None:
        self._agent = agent
        self._done = done

    @property
    def name(self) -> str:
        """The agent's own."""
        return self._agent.name

    @property
    def companion(self) -> Companion | None:
        """The agent's own; what it says unasked is not counted."""
        return companion_of(self._agent)

    def brief(self, handoff: str) -> None:
        """The agent's own."""
        brief(self._agent, handoff)

    def greet(self) -> AsyncIterator[ReplyPart]:
        """The agent's own; a greeting is written down already, and not counted."""
        return self._agent.greet()

    def reply(self, turn: UserTurn) -> AsyncIterator[ReplyPart]:
        """The agent's own."""
        return metered(self._agent.reply(turn), lambda how, spent: self._done("agent", self.name, how, spent))

    def heard(self, turn: UserTurn, text: str, *, complete: bool) -> None:
        """The agent's own."""
        self._agent.heard(turn, text, complete=complete)

    async def aclose(self) -> None:
        await self._agent.aclose()


class MeteredSound:
    """A `SoundAgent` whose conversations are counted, with how long it took to reach the backend."""

    def __init__(self, agent: SoundAgent, done: Done) -> None:
        self._agent = agent
        self._done = done
        self._reached = 0.0
        self.name, self.limits = agent.name, agent.limits
        self.hear, self.voice, self.key, self.played = agent.hear, agent.voice, agent.key, agent.played
        self.aclose = agent.aclose

    def brief(self, handoff: str) -> None:
        """The agent's own."""
        brief(self._agent, handoff)

    async def open(self, info: CallInfo) -> None:
        """The agent's own."""
        began = now()
        try:
            await self._agent.open(info)
        except Exception as error:
            self._done("agent", self.name, type(error).__name__, now() - began)
            raise
        self._reached = now() - began

    async def converse(self, call: SoundCall) -> None:
        """The agent's own."""
        outcome = "ok"  # the caller may hang up at any time
        try:
            await self._agent.converse(call)
        except Exception as error:
            outcome = type(error).__name__
            raise
        finally:
            self._done("agent", self.name, outcome, self._reached)


class MeteredAsr(WrappedAsr):
    """An `Asr` whose finals are counted: from the end of a segment to its transcript."""

    def __init__(self, asr: Asr, done: Done, name: str = "") -> None:
        """`name`: what it is called in the metrics; empty: the recogniser's own."""
        super().__init__(asr, name)
        self._done = done

    def stream(self, options: AsrOptions) -> AsrStream:
        """A stream of the recogniser's. Raises as it does; a refusal is counted."""
        try:
            return _MeteredStream(super().stream(options), self._tell)
        except Exception as error:
            self._tell(type(error).__name__, 0.0)
            raise

    def _tell(self, outcome: str, seconds: float) -> None:
        self._done("asr", self.name, outcome, seconds)


class _MeteredStream:
    def __init__(self, stream: AsrStream, tell: Callable[[str, float], None]) -> None:
        self._stream = stream
        self._tell = tell
        self._segment = 0
        self._ended: dict[int, float] = {}
        """When each segment ended whose final is awaited."""
        # What is called for every frame is called directly.
        self.push: Callable[[AudioFrame], None] = stream.push
        self.pause = stream.pause
        self.resume = stream.resume
        self.cancel = stream.cancel

    def start(self, segment: int) -> None:
        self._segment = segment
        self._stream.start(segment)

    def end(self) -> None:
        self._ended[self._segment] = now()
        self._stream.end()

    async def results(self) -> AsyncGenerator[Transcript, None]:
        source = self._stream.results()
        try:
            async for transcript in source:
                ended = self._ended.pop(transcript.segment, None) if transcript.is_final else None
                if ended is not None:
                    self._tell("ok", now() - ended)
                yield transcript
        except Exception as error:
            self._tell(type(error).__name__, 0.0)
            raise
        finally:
            if isinstance(source, AsyncGenerator):
                await source.aclose()

    async def aclose(self) -> None:
        await self._stream.aclose()
