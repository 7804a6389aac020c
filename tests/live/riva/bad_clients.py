"""Clients that misbehave, each in a process of its own: `python -m tests.live.riva.bad_clients NAME ADDRESS`.

Prints one line with the statuses it was given, as JSON, where it lives to see them.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import numpy as np

from engines.riva.wire import Message, asr_grpc, asr_pb2, grpc, tts_grpc, tts_pb2

STREAMS = 5000
CHANNELS = 50
LINEAR, FLAC = 1, 2
BIG = 4 * 1024 * 1024 - 4096
"""Octets of sound in a message just below the limit."""
UNTOLD = "UNTOLD"
"""The status was lost on the client's side of the wire."""
SENTENCE = "Please hold the line while we look for somebody who has the time to talk to you. "

Attack = Callable[[str], Coroutine[Any, Any, "Counter[str]"]]


def opening(**fields: Any) -> Message:
    config = asr_pb2.RecognitionConfig(**{"encoding": LINEAR, "sample_rate_hertz": 8000, **fields})
    streaming = asr_pb2.StreamingRecognitionConfig(config=config, interim_results=True)
    return asr_pb2.StreamingRecognizeRequest(streaming_config=streaming)


def sound(octets: bytes) -> Message:
    return asr_pb2.StreamingRecognizeRequest(audio_content=octets)


def voice(seconds: float) -> bytes:
    """A buzz that rises and falls like syllables, 8 kHz."""
    at = np.arange(round(8000 * seconds)) / 8000
    buzz = np.sign(np.sin(2 * np.pi * 120 * at)) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * at))
    return (6000 * buzz).astype("<i2").tobytes()


def channel(address: str, number: int = 0) -> Any:
    return grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1), ("n", number)])


async def outcome(call: Any) -> str:
    """Read to the end; how the call ended."""
    try:
        async for _ in call:
            pass
    except (grpc.aio.AioRpcError, asyncio.CancelledError):
        pass
    return await status(call)


async def status(call: Any) -> str:
    """Its name, and what was told with one that should never be seen."""
    code, told = await call.code(), await call.details()
    if told == "Internal error from Core":  # our own library: the call ended in the middle of a write
        return UNTOLD
    return f"{code.name} {told}" if code.name in ("INTERNAL", "UNKNOWN") else str(code.name)


async def said(*messages: Message) -> AsyncIterator[Message]:
    for message in messages:
        yield message


async def wrong_fields(address: str) -> Counter[str]:
    """Rates, encodings and fields that nobody serves."""
    wrong: list[dict[str, Any]] = [
        {"sample_rate_hertz": 4000}, {"sample_rate_hertz": 96000}, {"sample_rate_hertz": -1},
        {"encoding": FLAC}, {"audio_channel_count": 2}, {"language_code": "xx"}, {"profanity_filter": True},
    ]  # fmt: skip
    async with channel(address) as made:
        stub = asr_grpc.RivaSpeechRecognitionStub(made)
        calls = [
            stub.StreamingRecognize(said(opening(**wrong[n % 7]), sound(voice(0.1)))) for n in range(350)
        ]
        return Counter(await asyncio.gather(*map(outcome, calls)))


async def half_frames(address: str) -> Counter[str]:
    """Sound in pieces of one and three octets, cut within samples."""
    octets = voice(0.5)

    async def pieces() -> AsyncIterator[Message]:
        yield opening()
        place = 0
        while place < len(octets) - 1:
            size = 1 if place % 2 else 3
            yield sound(octets[place : place + size])
            place += size

    async with channel(address) as made:
        stub = asr_grpc.RivaSpeechRecognitionStub(made)
        return Counter(await asyncio.gather(*(outcome(stub.StreamingRecognize(pieces())) for _ in range(8))))


async def big_messages(address: str) -> Counter[str]:
    """The largest messages that are taken, as fast as they are taken, and some that are larger."""
    octets = (voice(10.0) * 30)[:BIG]

    async def flood() -> AsyncIterator[Message]:
        yield opening()
        while True:
            yield sound(octets)

    async def one(stub: Any) -> str:
        call = stub.StreamingRecognize(flood())
        asyncio.get_running_loop().call_later(4.0, call.cancel)
        return await outcome(call)

    async with channel(address) as made:
        stub = asr_grpc.RivaSpeechRecognitionStub(made)
        large = [outcome(stub.StreamingRecognize(said(opening(), sound(octets * 2)))) for _ in range(4)]
        return Counter(await asyncio.gather(*(one(stub) for _ in range(12)), *large))


async def vanishes(address: str) -> Counter[str]:
    """A hundred streams in speech, then the process is gone without a word."""
    made = channel(address)
    stub = asr_grpc.RivaSpeechRecognitionStub(made)
    calls = [stub.StreamingRecognize() for _ in range(100)]
    for call in calls:
        await call.write(opening())
        await call.write(sound(voice(1.0)))
    print("{}", flush=True)  # noqa: T201
    os._exit(9)


async def stops(address: str) -> Counter[str]:
    """A hundred streams in speech, then the process stands still: its connections stay."""
    made = channel(address)
    stub = asr_grpc.RivaSpeechRecognitionStub(made)
    calls = [stub.StreamingRecognize() for _ in range(100)]
    for call in calls:
        await call.write(opening())
        await call.write(sound(voice(1.0)))
    print("{}", flush=True)  # noqa: T201
    os.kill(os.getpid(), 19)
    return Counter()


async def listens_never(address: str) -> Counter[str]:
    """Sound for ever, and no answer is ever read."""
    octets = voice(2.0) + bytes(16_000)

    async def flood() -> AsyncIterator[Message]:
        yield opening()
        for _ in range(400):
            yield sound(octets)

    async with channel(address) as made:
        stub = asr_grpc.RivaSpeechRecognitionStub(made)
        calls = [stub.StreamingRecognize(flood()) for _ in range(20)]
        await asyncio.sleep(4.0)
        return Counter(["CANCELLED" if call.cancel() else await status(call) for call in calls])


async def opens(address: str) -> Counter[str]:
    """5,000 streams over 50 connections, each with its opening and some sound, none ended."""

    async def endless() -> AsyncIterator[Message]:
        yield opening()
        yield sound(voice(0.2))
        await asyncio.sleep(60.0)

    made = [channel(address, number) for number in range(CHANNELS)]
    stubs = [asr_grpc.RivaSpeechRecognitionStub(one) for one in made]
    calls = [stubs[n % CHANNELS].StreamingRecognize(endless()) for n in range(STREAMS)]
    return await _held(calls, made)


async def speaks_never_read(address: str) -> Counter[str]:
    """Long texts whose sound is never read."""
    async with channel(address) as made:
        stub = tts_grpc.RivaSpeechSynthesisStub(made)
        calls = [stub.SynthesizeOnline(said(*[text(SENTENCE * 50)] * 50)) for _ in range(40)]
        await asyncio.sleep(4.0)
        return Counter(["CANCELLED" if call.cancel() else await status(call) for call in calls])


async def text_forever(address: str) -> Counter[str]:
    """Texts without end, each stream as fast as it is served."""

    async def flood() -> AsyncIterator[Message]:
        while True:
            yield text(SENTENCE * 10)

    async with channel(address) as made:
        stub = tts_grpc.RivaSpeechSynthesisStub(made)
        calls = [stub.SynthesizeOnline(flood()) for _ in range(40)]
        loop = asyncio.get_running_loop()
        for call in calls:
            loop.call_later(4.0, call.cancel)
        return Counter(await asyncio.gather(*map(outcome, calls)))


async def opens_texts(address: str) -> Counter[str]:
    """5,000 synthesis streams over 50 connections that say nothing."""

    async def silent() -> AsyncIterator[Message]:
        await asyncio.sleep(60.0)
        yield text("Hello.")

    made = [channel(address, number) for number in range(CHANNELS)]
    stubs = [tts_grpc.RivaSpeechSynthesisStub(one) for one in made]
    return await _held([stubs[n % CHANNELS].SynthesizeOnline(silent()) for n in range(STREAMS)], made)


def text(words: str) -> Message:
    return tts_pb2.SynthesizeSpeechRequest(
        text=words, language_code="en-US", encoding=1, sample_rate_hz=48000
    )


async def _held(calls: list[Any], channels: list[Any]) -> Counter[str]:
    """Hold for a while what is not refused."""
    reading = [asyncio.ensure_future(outcome(call)) for call in calls]
    await asyncio.wait(reading, timeout=4.0)
    told = Counter(task.result() if task.done() else "HELD" for task in reading)
    for call in calls:
        call.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    for made in channels:
        await made.close()
    return told


ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        wrong_fields, half_frames, big_messages, vanishes, stops, listens_never, opens, speaks_never_read,
        text_forever, opens_texts,
    )
}  # fmt: skip

if __name__ == "__main__":
    print(json.dumps(asyncio.run(ATTACKS[sys.argv[1]](sys.argv[2]))))  # noqa: T201
