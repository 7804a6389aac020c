"""Servers that are not ours: one that speaks plain Riva, one that talks nonsense, one that never answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from engines.riva.wire import ASR_SERVICE, TTS_SERVICE, Message, Status, asr_pb2, grpc, tts_grpc, tts_pb2


class PlainAsr:
    """Cuts by itself: a final whenever a message is silent, and one at the end. Tells nothing of itself."""

    def __init__(self) -> None:
        self.configs: list[Message] = []
        self.unknown: list[Message] = []

    async def StreamingRecognize(self, requests: AsyncIterator[Message], context: Any) -> None:
        heard, count = 0, 0
        async for request in requests:
            if request.HasField("streaming_config"):
                self.configs.append(request.streaming_config)
                continue
            if request.runtime_config or not request.audio_content:
                self.unknown.append(request)
            if any(request.audio_content):
                heard += 1
                await context.write(self.result(f"part {count} so far ", False, 0.1))
            elif heard:
                await context.write(self.result(f"part {count} ", True, 0.0))
                heard, count = 0, count + 1
        if heard:
            await context.write(self.result(f"part {count} ", True, 0.0))

    def result(self, text: str, final: bool, stability: float) -> Message:
        result = asr_pb2.StreamingRecognitionResult(is_final=final, stability=stability)
        result.alternatives.add(transcript=text)
        return asr_pb2.StreamingRecognizeResponse(results=[result])


class PlainTts:
    """Lists two speakers of one model; splits its sound within samples; refuses word times."""

    def __init__(self, octets: bytes = b"\1\0\2\0\3\0") -> None:
        self.octets = octets
        self.asked: list[Message] = []

    async def GetRivaSynthesisConfig(self, request: Message, context: Any) -> Message:
        answer = tts_pb2.RivaSynthesisConfigResponse()
        parameters = {"voice_name": "English-US", "subvoices": "Female-1:0,Male-1:1"}
        answer.model_config.add(model_name="radtts", parameters=parameters)
        return answer

    async def SynthesizeOnline(self, requests: AsyncIterator[Message], context: Any) -> None:
        async for request in requests:
            self.asked.append(request)
            if request.enable_word_time_offsets:
                await context.abort(Status.INVALID_ARGUMENT, "enable_word_time_offsets is not supported")
            for place in range(0, len(self.octets), 3):
                await context.write(tts_pb2.SynthesizeSpeechResponse(audio=self.octets[place : place + 3]))


@asynccontextmanager
async def plain(asr: PlainAsr | None = None, tts: PlainTts | None = None) -> AsyncIterator[str]:
    """The address of a server without health, reflection and dialect."""
    server = grpc.aio.server()
    if asr is not None:
        handlers = {
            "StreamingRecognize": grpc.stream_stream_rpc_method_handler(
                asr.StreamingRecognize,
                asr_pb2.StreamingRecognizeRequest.FromString,
                asr_pb2.StreamingRecognizeResponse.SerializeToString,
            )
        }
        service = grpc.method_handlers_generic_handler(ASR_SERVICE, handlers)
        server.add_generic_rpc_handlers((service,))
    if tts is not None:
        tts_grpc.add_RivaSpeechSynthesisServicer_to_server(_Whole(tts), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


class _Whole:
    """The voice, with the method that it lacks."""

    def __init__(self, tts: PlainTts) -> None:
        self.GetRivaSynthesisConfig = tts.GetRivaSynthesisConfig
        self.SynthesizeOnline = tts.SynthesizeOnline

    async def Synthesize(self, request: Message, context: Any) -> None:
        await context.abort(Status.UNIMPLEMENTED, "online only")


@asynccontextmanager
async def garbling() -> AsyncIterator[str]:
    """The address of a server whose every answer is no message."""

    async def garble(requests: AsyncIterator[bytes], context: Any) -> None:
        async for _ in requests:
            await context.write(b"\xff\xff\xff no message")

    server = grpc.aio.server()
    handler = grpc.stream_stream_rpc_method_handler(garble)
    for name, method in ((ASR_SERVICE, "StreamingRecognize"), (TTS_SERVICE, "SynthesizeOnline")):
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


@asynccontextmanager
async def listening(talk: Callable[[asyncio.StreamWriter], None]) -> AsyncIterator[str]:
    """The address of a port that takes connections, may say something, and never answers."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        talk(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()
