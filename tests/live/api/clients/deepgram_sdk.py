"""Deepgram's own SDK, pointed here by its environment alone. Prints what it was told, as JSON."""

from __future__ import annotations

import json
import sys
import threading
import time
import wave
from typing import Any

from deepgram import DeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment
from deepgram.speak.v1.types import SpeakV1Text
from websockets.exceptions import InvalidStatus


def client(base: str, key: str) -> DeepgramClient:
    ws = base.replace("http", "ws", 1)
    where = DeepgramClientEnvironment(base=base, production=ws, agent=ws, agent_rest=base)
    return DeepgramClient(api_key=key, environment=where)


def plain(message: Any) -> Any:
    return message.model_dump() if hasattr(message, "model_dump") else message


def listen_live(base: str, key: str, path: str, form: str) -> Any:
    """Sound at its own pace; Finalize in the middle of nothing, KeepAlive, CloseStream."""
    with wave.open(path) as file:
        pcm, rate = file.readframes(file.getnframes()), file.getframerate()
    told: list[Any] = []
    wanted = dict(json.loads(form))
    with client(base, key).listen.v1.connect(
        model="nova-3", encoding="linear16", sample_rate=rate, **wanted
    ) as socket:
        socket.on(EventType.MESSAGE, lambda message: told.append(plain(message)))
        listening = threading.Thread(target=socket.start_listening)
        listening.start()
        socket.send_keep_alive()
        step = rate // 50 * 2
        for place in range(0, len(pcm), step):
            socket.send_media(pcm[place : place + step])
            time.sleep(0.02)
        for _ in range(60):
            socket.send_media(bytes(step))
            time.sleep(0.02)
        socket.send_finalize()
        time.sleep(0.3)
        socket.send_close_stream()
        listening.join(20)
    return told


def speak_live(base: str, key: str, *texts: str) -> Any:
    """Texts, a flush, then a long text that is cleared, then Close."""
    told: list[Any] = []
    flushed = threading.Event()

    def take(message: Any) -> None:
        told.append({"octets": len(message)} if isinstance(message, bytes) else plain(message))
        if not isinstance(message, bytes) and plain(message).get("type") == "Flushed":
            flushed.set()

    with client(base, key).speak.v1.connect(
        model="aura-2-thalia-en", encoding="linear16", sample_rate=24000
    ) as socket:
        socket.on(EventType.MESSAGE, take)
        listening = threading.Thread(target=socket.start_listening)
        listening.start()
        for text in texts:
            socket.send_text(SpeakV1Text(type="Speak", text=text))
        socket.send_flush()
        flushed.wait(20)
        socket.send_text(SpeakV1Text(type="Speak", text="This is never heard to its end. " * 40))
        socket.send_clear()
        time.sleep(0.5)
        socket.send_close()
        listening.join(20)
    return told


def refused(base: str, key: str) -> Any:
    """What a wrong key gets, on a socket and by HTTP."""
    found: dict[str, Any] = {}
    try:
        with client(base, key).listen.v1.connect(model="nova-3"):
            found["socket"] = 101
    except ApiError as error:
        found["socket"] = error.status_code
    except InvalidStatus as error:
        found["socket"] = error.response.status_code
    try:
        client(base, key).manage.v1.models.list()
    except ApiError as error:
        found["models"] = {"status": error.status_code, "body": plain(error.body)}
    return found


def listen_file(base: str, key: str, path: str) -> Any:
    with open(path, "rb") as file:
        return plain(
            client(base, key).listen.v1.media.transcribe_file(
                request=file.read(), model="nova-3", punctuate=True
            )
        )


def speak_file(base: str, key: str, text: str) -> Any:
    octets = b"".join(client(base, key).speak.v1.audio.generate(text=text, model="aura-2-thalia-en"))
    return {"octets": len(octets), "head": octets[:4].hex()}


def models(base: str, key: str) -> Any:
    return plain(client(base, key).manage.v1.models.list())


if __name__ == "__main__":
    sys.stdout.write(json.dumps(globals()[sys.argv[1]](*sys.argv[2:]), default=str))
