"""LiveKit's Deepgram plugin, pointed here by `base_url` alone. Prints what it made of us, as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import wave
from typing import Any

import aiohttp
from livekit import rtc
from livekit.agents import APIConnectOptions, stt
from livekit.plugins import deepgram

ONCE = APIConnectOptions(max_retry=0, timeout=20.0)


def frames(path: str, milliseconds: int = 20) -> list[rtc.AudioFrame]:
    with wave.open(path) as file:
        rate, pcm = file.getframerate(), file.readframes(file.getnframes())
    step = rate * milliseconds // 1000
    pcm += bytes(2 * rate * 2)
    return [
        rtc.AudioFrame(pcm[place : place + 2 * step], rate, 1, step)
        for place in range(0, len(pcm) - 2 * step, 2 * step)
    ]


async def listen_live(session: aiohttp.ClientSession, base: str, key: str, path: str) -> Any:
    """Events of a stream in the plugin's own settings, a flush at the end."""
    engine = deepgram.STT(base_url=f"{base}/v1/listen", api_key=key, http_session=session)
    stream = engine.stream(conn_options=ONCE)

    async def talk() -> None:
        for frame in frames(path):
            stream.push_frame(frame)
            await asyncio.sleep(0.02)
        stream.flush()
        await asyncio.sleep(0.5)
        stream.end_input()

    talking = asyncio.ensure_future(talk())
    told = []
    async for event in stream:
        words = [word for one in event.alternatives for word in (one.words or [])]
        told.append(
            {
                "type": str(getattr(event.type, "value", event.type)),
                "text": event.alternatives[0].text if event.alternatives else "",
                "words": len(words),
                "request_id": event.request_id,
            }
        )
    await talking
    return told


async def listen_file(session: aiohttp.ClientSession, base: str, key: str, path: str) -> Any:
    engine = deepgram.STT(base_url=f"{base}/v1/listen", api_key=key, http_session=session)
    event = await engine.recognize(frames(path), conn_options=ONCE)
    assert event.type is stt.SpeechEventType.FINAL_TRANSCRIPT
    return event.alternatives[0].text


async def speak_live(session: aiohttp.ClientSession, base: str, key: str, *texts: str) -> Any:
    """Seconds of each of two segments on one socket."""
    engine = deepgram.TTS(base_url=f"{base}/v1/speak", api_key=key, http_session=session)
    seconds = []
    for text in texts:
        stream = engine.stream(conn_options=ONCE)
        for word in text.split():
            stream.push_text(word + " ")
        stream.end_input()
        total = 0.0
        async for audio in stream:
            total += audio.frame.duration
        seconds.append(round(total, 2))
        await stream.aclose()
    await engine.aclose()
    return seconds


async def speak_file(session: aiohttp.ClientSession, base: str, key: str, text: str) -> Any:
    engine = deepgram.TTS(base_url=f"{base}/v1/speak", api_key=key, http_session=session)
    total = 0.0
    async for audio in engine.synthesize(text, conn_options=ONCE):
        total += audio.frame.duration
    return round(total, 2)


async def main() -> None:
    async with aiohttp.ClientSession() as session:
        sys.stdout.write(json.dumps(await globals()[sys.argv[1]](session, *sys.argv[2:])))


if __name__ == "__main__":
    asyncio.run(main())
