"""Pipecat's Deepgram and Smallest services, pointed here by `base_url` alone. Prints JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import warnings
import wave
from typing import Any

from loguru import logger
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineParams, PipelineTask
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

logger.remove()
warnings.simplefilter("ignore", DeprecationWarning)


class Sink(FrameProcessor):
    """Keeps what comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []
        self.started = asyncio.Event()
        self.spoken = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        match frame:
            case StartFrame():
                self.started.set()
            case TranscriptionFrame() | InterimTranscriptionFrame():
                self.seen.append({"type": type(frame).__name__, "text": frame.text})
            case TTSAudioRawFrame():
                self.seen.append({"type": "audio", "octets": len(frame.audio), "rate": frame.sample_rate})
            case ErrorFrame():
                self.seen.append({"type": "error", "text": str(frame.error)})
            case TTSTextFrame():
                self.seen.append({"type": "word", "text": frame.text})
            case TTSStoppedFrame():
                self.spoken.set()
        await self.push_frame(frame, direction)


async def run(service: FrameProcessor, drive: Any, rate: int) -> list[Any]:
    sink = Sink()
    params = PipelineParams(audio_in_sample_rate=rate, audio_out_sample_rate=24000)
    task = PipelineTask(Pipeline([service, sink]), params=params)
    running = asyncio.ensure_future(PipelineRunner(handle_sigint=False).run(task))
    await asyncio.wait_for(sink.started.wait(), 20)
    await drive(task, sink)
    await task.queue_frame(EndFrame())
    await asyncio.wait_for(running, 20)
    return sink.seen


async def listened(service: FrameProcessor, path: str) -> Any:
    """A sound, and Pipecat's own notice that the user stopped: the services ask for the final then."""
    with wave.open(path) as file:
        rate, pcm = file.getframerate(), file.readframes(file.getnframes())

    async def drive(task: PipelineTask, sink: Sink) -> None:
        await task.queue_frame(VADUserStartedSpeakingFrame())
        step = rate // 50 * 2
        for place in range(0, len(pcm), step):
            await task.queue_frame(InputAudioRawFrame(pcm[place : place + step], rate, 1))
            await asyncio.sleep(0.02)
        await task.queue_frame(VADUserStoppedSpeakingFrame())
        await asyncio.sleep(1.5)

    return await run(service, drive, rate)


async def spoken(service: FrameProcessor, *texts: str) -> Any:
    async def drive(task: PipelineTask, sink: Sink) -> None:
        for text in texts:
            sink.spoken.clear()
            await task.queue_frame(TTSSpeakFrame(text))
            await asyncio.wait_for(sink.spoken.wait(), 20)

    return await run(service, drive, 16000)


async def listen_live(base: str, key: str, path: str) -> Any:
    from pipecat.services.deepgram.stt import DeepgramSTTService

    return await listened(DeepgramSTTService(api_key=key, base_url=base.replace("http", "ws", 1)), path)


async def speak_live(base: str, key: str, text: str) -> Any:
    from pipecat.services.deepgram.tts import DeepgramTTSService

    return await spoken(DeepgramTTSService(api_key=key, base_url=base.replace("http", "ws", 1)), text)


async def smallest_listen_live(base: str, key: str, path: str) -> Any:
    from pipecat.services.smallest.stt import SmallestSTTService

    return await listened(SmallestSTTService(api_key=key, base_url=base.replace("http", "ws", 1)), path)


async def smallest_speak_live(base: str, key: str, *texts: str) -> Any:
    """In the service's own settings: continuations, and the times of words."""
    from pipecat.services.smallest.tts import SmallestTTSService

    return await spoken(SmallestTTSService(api_key=key, base_url=base.replace("http", "ws", 1)), *texts)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(globals()[sys.argv[1]](*sys.argv[2:]))))
