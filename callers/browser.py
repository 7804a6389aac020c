"""A browser's half of a call, by aiortc: an independent WebRTC client for tests and benchmarks.

It speaks WHIP (RFC 9725) as a page would, sends a track in real time, and keeps what it hears. Its jitter
buffer is the library's own, so what it hears comes some 80 ms later than it could.
"""

from __future__ import annotations

import asyncio
import fractions
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import av
import httpx
import numpy as np
import numpy.typing as npt
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

Pcm = npt.NDArray[np.int16]

RATE = 48_000
_FRAME = RATE // 50


class Microphone(MediaStreamTrack):  # type: ignore[misc]
    """Sends what it is given to say, each 20 ms, and silence between."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._waiting: Pcm = np.zeros(0, np.int16)
        self._began = 0.0
        self._sent = 0
        self.said_at: list[float] = []
        """When each thing began to leave, `time.monotonic` seconds."""
        self._begins: list[int] = []

    def say(self, pcm: Pcm) -> None:
        """Say samples at 48 kHz, after whatever is being said."""
        self._begins.append(len(self._waiting))
        self._waiting = np.concatenate([self._waiting, pcm])

    @property
    def silent(self) -> bool:
        """Whether everything was said."""
        return not len(self._waiting)

    async def recv(self) -> av.AudioFrame:
        """See `MediaStreamTrack.recv`."""
        now = time.monotonic()
        if not self._sent:
            self._began = now
        due = self._began + self._sent / RATE
        if due > now:
            await asyncio.sleep(due - now)
        pcm = np.zeros(_FRAME, np.int16)
        said, self._waiting = self._waiting[:_FRAME], self._waiting[_FRAME:]
        pcm[: len(said)] = said
        self.said_at += [time.monotonic() + begin / RATE for begin in self._begins if begin < _FRAME]
        self._begins = [begin - _FRAME for begin in self._begins if begin >= _FRAME]
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._sent, fractions.Fraction(1, RATE)
        self._sent += _FRAME
        return frame


@dataclass
class Heard:
    """What came, in pieces with the moment each came at."""

    pieces: list[tuple[float, Pcm]] = field(default_factory=list)

    def sound(self) -> Pcm:
        """All of it, mono at 48 kHz."""
        return np.concatenate([pcm for _, pcm in self.pieces]) if self.pieces else np.zeros(0, np.int16)

    def loud_at(self, level: float = 300.0) -> float | None:
        """When the first piece came whose RMS is above `level`."""
        for at, pcm in self.pieces:
            if float(np.sqrt(np.mean(np.square(pcm, dtype=np.float64)))) > level:
                return at
        return None


class WhipRefused(Exception):
    """The server said no."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(f"{answer.status_code} {answer.text[:200]}")
        self.answer = answer


class Browser:
    """One page with one call."""

    def __init__(self, http: httpx.AsyncClient, *, channel: str = "offhook") -> None:
        """`http`: a client whose base address is the server's."""
        self.http = http
        self.microphone = Microphone()
        self.heard = Heard()
        self.messages: list[dict[str, Any]] = []
        """What came on the data channel."""
        self.location = self.etag = ""
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.channel = self.peer.createDataChannel(channel)
        self._told = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self.channel.on("message", self._message)
        self.peer.addTrack(self.microphone)
        self.peer.on("track", self._track)

    async def offer(self, change: Callable[[str], str] = lambda sdp: sdp) -> str:
        """The offer; `change` may spoil it."""
        await self.peer.setLocalDescription(await self.peer.createOffer())
        return change(str(self.peer.localDescription.sdp))

    async def call(
        self,
        address: str = "/v1/webrtc/calls",
        *,
        to: str = "",
        token: str = "",
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Call, by WHIP; returns the server's answer. Raises `WhipRefused`."""
        told = {"Content-Type": "application/sdp", **(headers or {})}
        if token:
            told["Authorization"] = f"Bearer {token}"
        answer = await self.http.post(
            address, content=await self.offer(), headers=told, params={"to": to} if to else None
        )
        if answer.status_code != 201:
            raise WhipRefused(answer)
        self.location, self.etag = answer.headers["location"], answer.headers.get("etag", "")
        await self.answered(answer.text)
        return answer

    async def answered(self, sdp: str) -> None:
        """Take the server's answer."""
        await self.peer.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    async def connected(self, seconds: float = 10.0) -> None:
        """Wait until sound flows. Raises `TimeoutError`."""
        async with asyncio.timeout(seconds):
            while self.peer.connectionState != "connected":  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def told(self, kind: str, seconds: float = 10.0, **fields: object) -> dict[str, Any]:
        """The first message of this type, with these fields. Raises `TimeoutError`."""
        async with asyncio.timeout(seconds):
            while True:
                for message in self.messages:
                    if message.get("type") == kind and all(message.get(k) == v for k, v in fields.items()):
                        return message
                self._told.clear()
                await self._told.wait()

    def send(self, message: dict[str, Any]) -> None:
        """Send a message on the data channel."""
        self.channel.send(json.dumps(message))

    async def hang_up(self) -> httpx.Response:
        """End the call as a page does: DELETE."""
        return await self.http.delete(self.location)

    async def close(self) -> None:
        """Close the page."""
        if self._listening is not None:
            self._listening.cancel()
        await self.peer.close()

    def _track(self, track: MediaStreamTrack) -> None:
        self._listening = asyncio.ensure_future(self._listen(track))

    async def _listen(self, track: MediaStreamTrack) -> None:
        while True:
            frame = await track.recv()
            pcm = frame.to_ndarray().reshape(-1)
            if frame.layout.name == "stereo":
                pcm = pcm[::2]
            self.heard.pieces.append((time.monotonic(), pcm.copy()))

    def _message(self, text: str) -> None:
        self.messages.append(json.loads(text))
        self._told.set()
