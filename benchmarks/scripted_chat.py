"""A chat-completions endpoint that answers every request with one sentence, after an exact time."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

ANSWER = "I have understood that. "


@dataclass
class ScriptedChat:
    """`delay`: seconds from the last byte of a request to its answer."""

    delay: float
    url: str = ""
    took: list[float] = field(default_factory=list)
    """Seconds that each answer really took."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept alive."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = head.partition("content-length:")[2].partition("\r\n")[0]
                await reader.readexactly(int(length))
                asked = time.monotonic()
                await asyncio.sleep(self.delay)
                writer.write(_RESPONSE)
                self.took.append(time.monotonic() - asked)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _run(self, ready: threading.Event, stop: asyncio.Event) -> None:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        async with server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            ready.set()
            await stop.wait()

    @contextmanager
    def running(self) -> Iterator[ScriptedChat]:
        """Serve from a thread with a loop of its own while the block runs."""
        ready, loop, stop = threading.Event(), asyncio.new_event_loop(), asyncio.Event()
        thread = threading.Thread(
            target=lambda: loop.run_until_complete(self._run(ready, stop)), name="chat", daemon=True
        )
        thread.start()
        try:
            if not ready.wait(5.0):
                raise RuntimeError("the scripted chat endpoint did not start")
            yield self
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(5.0)


def _event(delta: dict[str, str], finish: str | None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n"


def _response() -> bytes:
    body = (_event({"content": ANSWER}, None) + _event({}, "stop") + "data: [DONE]\n\n").encode()
    head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head.encode() + f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"


_RESPONSE = _response()
