"""Riva's recognition service, served by any `Asr`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from engines.base import Asr, Transcript
from engines.riva.asr_reply import Manner, alternative, joined, shifted, streaming_result
from engines.riva.asr_request import AsrAsk, Bench, read_config, read_pause
from engines.riva.asr_session import AsrSession, Heard, Piece
from engines.riva.dialect import DIALECT, VERSION
from engines.riva.door import Door, send
from engines.riva.endpointing import EndpointSettings, LevelJudge, VoiceJudge
from engines.riva.incoming import Incoming
from engines.riva.limits import WireLimits
from engines.riva.newer import refuse_unknown
from engines.riva.refusal import Refused
from engines.riva.wire import Message, Status, asr_pb2
from engines.traits import asr_traits

_SLICE = 32_000
"""Octets of one message that are taken in one go, so that other streams get their turn."""


class AsrService:
    """`nvidia.riva.asr.RivaSpeechRecognition`. Refuses everything until `begin` gives it an engine."""

    def __init__(
        self,
        door: Door,
        limits: WireLimits,
        endpoints: EndpointSettings | None = None,
        language: str = "en-US",
        judge: Callable[[], VoiceJudge] = LevelJudge,
    ) -> None:
        """`judge` makes the one that tells voice from noise in a stream that we have to cut ourselves."""
        self._door = door
        self._limits = limits
        self._endpoints = endpoints or EndpointSettings()
        self._language = language
        self._judge = judge
        self._engine: Asr | None = None

    def begin(self, engine: Asr) -> None:
        """The engine is ready: let clients in."""
        self._engine = engine
        self._door.open()

    async def StreamingRecognize(self, requests: AsyncIterator[Message], context: Any) -> None:
        """Sound in, interims and finals out, until the client ends its side."""
        async with self._door.serving(context, "StreamingRecognize"):
            with Incoming(requests, self._limits.idle_seconds) as incoming:
                first = await _first(incoming)
                refuse_unknown(first, "request")
                streaming = first.streaming_config
                ask = read_config(streaming.config, streaming.interim_results, self._bench())
                manner = _manner(ask)

                async def deliver(heard: Heard) -> None:
                    if _worth_telling(heard.transcript, ask):
                        result = streaming_result(heard.transcript, manner, heard.begins, heard.processed)
                        answer = asr_pb2.StreamingRecognizeResponse(results=[result], id=_id(first))
                        await send(context, answer, self._limits.unread_seconds)

                await self._session(ask).run(_pieces(incoming), deliver)

    async def Recognize(self, request: Message, context: Any) -> Message | None:
        """A whole recording in, one result out."""
        async with self._door.serving(context, "Recognize"):
            refuse_unknown(request, "request")
            ask = read_config(request.config, False, self._bench())
            manner = _manner(ask)
            finals: list[Transcript] = []

            async def deliver(heard: Heard) -> None:
                if heard.transcript.is_final:
                    finals.append(shifted(heard.transcript, heard.begins))

            session = self._session(ask)
            await session.run(_sliced(request.audio), deliver)
            whole = joined(finals)
            answer = asr_pb2.RecognizeResponse(id=_id(request))
            if whole.text:
                result = answer.results.add(channel_tag=1, audio_processed=session.seconds)
                result.alternatives.append(alternative(whole, manner, 0.0))
            return answer
        return None

    async def GetRivaSpeechRecognitionConfig(self, request: Message, context: Any) -> Message | None:
        """What is served here, under the engine's name."""
        async with self._door.serving(context, "GetRivaSpeechRecognitionConfig"):
            bench = self._bench()
            if request.model_name not in ("", bench.engine):
                told = f"model_name: {request.model_name[:40]!r} is not served here, but {bench.engine!r}"
                raise Refused(told, Status.NOT_FOUND)
            answer = asr_pb2.RivaSpeechRecognitionConfigResponse()
            answer.model_config.add(model_name=bench.engine, parameters=_parameters(bench))
            return answer
        return None

    def _bench(self) -> Bench:
        if self._engine is None:
            raise Refused("the worker is still starting", Status.UNAVAILABLE)
        return Bench(self._engine.name, asr_traits(self._engine), self._endpoints, self._language)

    def _session(self, ask: AsrAsk) -> AsrSession:
        if self._engine is None:
            raise Refused("the worker is still starting", Status.UNAVAILABLE)
        return AsrSession(self._engine, ask, self._limits, self._door.watch, self._judge)


async def _first(incoming: Incoming) -> Message:
    """The message with the configuration. Raises `Refused`."""
    request = await incoming.next()
    if request is None or request.WhichOneof("streaming_request") != "streaming_config":
        raise Refused("streaming_config: must come first")
    return request


async def _pieces(incoming: Incoming) -> AsyncIterator[Piece]:
    """Sound and pauses, to the end of the client's side. Raises `Refused`."""
    while (request := await incoming.next()) is not None:
        match request.WhichOneof("streaming_request"):
            case "audio_content":
                if len(request.audio_content) <= _SLICE:
                    yield request.audio_content
                else:
                    async for piece in _sliced(request.audio_content):
                        yield piece
            case "streaming_config":
                raise Refused("streaming_config: may come once only")
            case _:
                paused = read_pause(request)
                if paused is not None:
                    yield paused


async def _sliced(audio: bytes) -> AsyncIterator[Piece]:
    for place in range(0, len(audio), _SLICE):
        if place:
            await asyncio.sleep(0)
        yield audio[place : place + _SLICE]


def _id(request: Message) -> Message | None:
    return request.id if request.HasField("id") else None


def _manner(ask: AsrAsk) -> Manner:
    return Manner(ask.word_times, ask.punctuation, ask.options.language)


def _worth_telling(heard: Transcript, ask: AsrAsk) -> bool:
    """Who cuts its segments itself waits for every early and final transcript, empty ones too."""
    if ask.endpoints is None:
        return heard.is_final or heard.early or ask.options.interim
    return bool(heard.text) and (heard.is_final or ask.options.interim)


def _parameters(bench: Bench) -> dict[str, str]:
    yes = {True: "true", False: "false"}
    return {
        "language_code": ",".join(bench.traits.languages),
        "streaming": "True",
        "type": "online",
        "word_time_offsets": yes[bench.traits.word_times],
        "speech_contexts": yes[bench.traits.hot_words],
        "automatic_punctuation": yes[bench.traits.punctuation],
        DIALECT: VERSION,
    }
