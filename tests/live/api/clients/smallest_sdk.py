"""Smallest's own SDK, pointed here by its environment alone. Prints what it was told, as JSON."""

from __future__ import annotations

import base64
import json
import sys
import threading
import time
import wave
from typing import Any

from smallestai import SmallestAI
from smallestai.core.events import EventType
from smallestai.environment import SmallestAIEnvironment
from smallestai.waves import TTSConfig, WavesStreamingTTS
from smallestai.waves.speech_to_text.types.close_stream import CloseStream
from smallestai.waves.speech_to_text.types.finalize_signal import FinalizeSignal
from smallestai.waves.tts.types.tts_request_message import TtsRequestMessage


def client(base: str, key: str) -> SmallestAI:
    ws = base.replace("http", "ws", 1)
    where = SmallestAIEnvironment(atoms=base, waves=base, waves_ws=ws, payment=base)
    return SmallestAI(api_key=key, environment=where)


def plain(message: Any) -> Any:
    return message.model_dump() if hasattr(message, "model_dump") else message


def listen_live(base: str, key: str, path: str) -> Any:
    """Two turns of the same sound: the first ended by `finalize`, the stream by `close_stream`."""
    with wave.open(path) as file:
        pcm, rate = file.readframes(file.getnframes()), file.getframerate()
    told: list[Any] = []
    query = {"model": "pulse", "language": "en", "sample_rate": rate, "encoding": "linear16",
             "word_timestamps": "true", "vad_events": "true"}  # fmt: skip
    with client(base, key).waves.speech_to_text.stream(
        request_options={"additional_query_parameters": query}
    ) as socket:
        socket.on(EventType.MESSAGE, lambda message: told.append(plain(message)))
        listening = threading.Thread(target=socket.start_listening)
        listening.start()
        step = rate // 50 * 2
        for turn in range(2):
            for place in range(0, len(pcm), step):
                socket.send_audio_chunk_out(pcm[place : place + step])
                time.sleep(0.02)
            if turn == 0:
                socket.send_finalize_signal(FinalizeSignal(type="finalize"))
                time.sleep(0.5)
        socket.send_close_stream(CloseStream(type="close_stream"))
        listening.join(20)
    return told


def listen_file(base: str, key: str, path: str) -> Any:
    with open(path, "rb") as file:
        octets = file.read()
    answer = client(base, key).waves.speech_to_text.transcribe(
        model="pulse", language="en", request=octets, word_timestamps=True
    )
    return plain(answer)


def speak_live(base: str, key: str, text: str) -> Any:
    """Statuses and octets of one request."""
    told: list[Any] = []
    with client(base, key).waves.tts.connect() as socket:
        socket.synthesize_streaming_tts(
            TtsRequestMessage(voice_id="magnus", text=text, model="lightning_v3.1", sample_rate=24000)
        )
        while True:
            message = plain(socket.recv())
            audio = (message.get("data") or {}).get("audio")
            told.append({"status": message["status"], "octets": len(base64.b64decode(audio or ""))})
            if message["status"] != "chunk":
                return told


def speak_helper(base: str, key: str, *texts: str) -> Any:
    """The SDK's older helper, a whole text and a text in pieces; octets of each."""
    config = TTSConfig(voice_id="magnus", api_key=key)
    whole = WavesStreamingTTS(config)
    whole.ws_url = base.replace("http", "ws", 1) + "/waves/v1/tts/live"
    once = sum(len(chunk) for chunk in whole.synthesize(" ".join(texts)))
    pieces = sum(len(chunk) for chunk in whole.synthesize_streaming(iter(texts)))
    return [once, pieces]


def speak_file(base: str, key: str, text: str) -> Any:
    sound = client(base, key).waves.synthesize_tts(text=text, voice_id="magnus", sample_rate=24000)
    return len(b"".join(sound))


def around(base: str, key: str) -> Any:
    """Voices and health."""
    made = client(base, key)
    return {"health": plain(made.waves.ops.get_waves_health())}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(globals()[sys.argv[1]](*sys.argv[2:]), default=str))
