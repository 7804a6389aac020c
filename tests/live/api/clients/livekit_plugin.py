"""LiveKit's Deepgram and Smallest plugins, pointed here by their addresses alone. Prints JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import wave
from typing import Any

import aiohttp
from livekit import rtc
from livekit.agents import APIConnectOptions, stt, tts
from livekit.plugins import deepgram, smallestai

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
    return await listened(deepgram.STT(base_url=f"{base}/v1/listen", api_key=key, http_session=session), path)


async def smallest_listen_live(session: aiohttp.ClientSession, base: str, key: str, path: str) -> Any:
    return await listened(smallest_stt(session, base, key), path)


def smallest_stt(session: aiohttp.ClientSession, base: str, key: str) -> stt.STT:
    return smallestai.STT(base_url=f"{base}/waves/v1", api_key=key, http_session=session)


def smallest_tts(session: aiohttp.ClientSession, base: str, key: str, **more: Any) -> tts.TTS:
    socket = base.replace("http", "ws", 1)
    return smallestai.TTS(
        base_url=f"{base}/waves/v1", ws_url=f"{socket}/waves/v1/tts/live", api_key=key,
        http_session=session, **more,
    )  # fmt: skip


async def listened(engine: stt.STT, path: str) -> Any:
    """Events of a stream in the plugin's own settings, a flush at the end."""
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
    return await recognised(
        deepgram.STT(base_url=f"{base}/v1/listen", api_key=key, http_session=session), path
    )


async def smallest_listen_file(session: aiohttp.ClientSession, base: str, key: str, path: str) -> Any:
    return await recognised(smallest_stt(session, base, key), path)


async def recognised(engine: stt.STT, path: str) -> Any:
    event = await engine.recognize(frames(path), conn_options=ONCE)
    assert event.type is stt.SpeechEventType.FINAL_TRANSCRIPT
    return event.alternatives[0].text


async def speak_live(session: aiohttp.ClientSession, base: str, key: str, *texts: str) -> Any:
    return await spoken(deepgram.TTS(base_url=f"{base}/v1/speak", api_key=key, http_session=session), texts)


async def smallest_speak_live(session: aiohttp.ClientSession, base: str, key: str, *texts: str) -> Any:
    """By both of the plugin's protocols."""
    new = await spoken(smallest_tts(session, base, key), texts)
    return new, await spoken(smallest_tts(session, base, key, use_continuations=False), texts)


async def spoken(engine: tts.TTS, texts: tuple[str, ...]) -> Any:
    """Seconds of each of the segments, on as few sockets as the plugin wants."""
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
    return await synthesized(
        deepgram.TTS(base_url=f"{base}/v1/speak", api_key=key, http_session=session), text
    )


async def smallest_speak_file(session: aiohttp.ClientSession, base: str, key: str, text: str) -> Any:
    return await synthesized(smallest_tts(session, base, key), text)


async def synthesized(engine: tts.TTS, text: str) -> Any:
    total = 0.0
    async for audio in engine.synthesize(text, conn_options=ONCE):
        total += audio.frame.duration
    return round(total, 2)


async def main() -> None:
    async with aiohttp.ClientSession() as session:
        sys.stdout.write(json.dumps(await globals()[sys.argv[1]](session, *sys.argv[2:])))


if __name__ == "__main__":
    asyncio.run(main())
