"""A Pipecat bot on its Twilio serializer, as its telephony guide has it, served by FastAPI and uvicorn.

Told: a kind (echo, talker, closer), AccountSid, the account's token, the root of the REST API or "", and
sounds to speak (WAV, 8 kHz). Prints the port it listens on, then what it saw of each call, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import wave
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import (
    EndFrame,
    Frame,
    InputAudioRawFrame,
    OutputAudioRawFrame,
    TTSAudioRawFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineParams, PipelineTask
from pipecat.processors.audio.vad_processor import VADProcessor
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport

logger.remove()
RATE = 8000
app = FastAPI()
KIND, ACCOUNT, TOKEN, REST, *SOUNDS = sys.argv[1:]


def spoken(path: str) -> bytes:
    with wave.open(path) as file:
        assert file.getframerate() == RATE and file.getsampwidth() == 2 and file.getnchannels() == 1
        return file.readframes(file.getnframes())


class Bot(FrameProcessor):
    """Repeats the caller; or talks until he interrupts, then answers; or leaves when he has spoken."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, Any] = {"interruptions": 0, "frames": 0}
        self.task: PipelineTask | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        match frame:
            case InputAudioRawFrame():
                self.seen["frames"] += 1
                if KIND == "echo":
                    await self.push_frame(OutputAudioRawFrame(frame.audio, frame.sample_rate, 1))
                return
            case VADUserStartedSpeakingFrame() if KIND == "talker":
                self.seen["interruptions"] += 1
                await self.broadcast_interruption()
            case VADUserStoppedSpeakingFrame() if KIND == "talker":
                await self.speak(SOUNDS[1])
            case VADUserStoppedSpeakingFrame() if KIND == "closer" and self.task is not None:
                await self.task.queue_frame(EndFrame())
        await self.push_frame(frame, direction)

    async def speak(self, path: str) -> None:
        pcm = spoken(path)
        for place in range(0, len(pcm), RATE // 5):
            await self.push_frame(TTSAudioRawFrame(pcm[place : place + RATE // 5], RATE, 1))


@app.websocket("/ws")
async def call(websocket: WebSocket) -> None:
    await websocket.accept()
    dialect, told = await parse_telephony_websocket(websocket)
    serializer = TwilioFrameSerializer(
        stream_sid=told["stream_id"],
        call_sid=told["call_id"],
        account_sid=ACCOUNT,
        auth_token=TOKEN,
        base_url=REST or None,
        params=TwilioFrameSerializer.InputParams(auto_hang_up=bool(REST)),
    )
    transport = FastAPIWebsocketTransport(
        websocket=websocket,
        params=FastAPIWebsocketParams(audio_in_enabled=True, audio_out_enabled=True, serializer=serializer),
    )
    bot = Bot()
    bot.seen |= {"dialect": dialect, "call_sid": told["call_id"], "body": dict(told["body"])}
    bot.seen["signed"] = websocket.headers.get("x-twilio-signature", "")
    vad = VADProcessor(vad_analyzer=SileroVADAnalyzer())
    pipeline = Pipeline([transport.input(), vad, bot, transport.output()])
    params = PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=RATE)
    bot.task = task = PipelineTask(pipeline, params=params)

    @transport.event_handler("on_client_connected")
    async def connected(transport: Any, client: Any) -> None:
        if KIND == "talker":
            await bot.speak(SOUNDS[0])

    @transport.event_handler("on_client_disconnected")
    async def gone(transport: Any, client: Any) -> None:
        await task.cancel()

    await PipelineRunner(handle_sigint=False).run(task)
    sys.stdout.write(json.dumps(bot.seen) + "\n")
    sys.stdout.flush()


async def main() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    await uvicorn.Server(uvicorn.Config(app, log_level="critical")).serve([listening])


asyncio.run(main())
