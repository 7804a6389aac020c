"""The thread on which all browsers live: an event loop, one clock, a bounded way to the calls' loop.

Encoding, decoding, encryption and the handshakes of many calls would hold up the loop that decides about
them; here they only compete for the interpreter, which libopus and OpenSSL give back while they work.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog
from aiortc import RTCCertificate

from media.legs.base import LegError
from media.legs.webrtc_ear import Heard
from media.legs.webrtc_facts import Fact
from media.legs.webrtc_frames import FrameQueue
from media.legs.webrtc_grid import Grid
from media.legs.webrtc_peer import PeerParts, WebRtcPeer
from media.legs.webrtc_playout import SharedPlayout
from media.legs.webrtc_sdp import Offer
from media.legs.webrtc_settings import WebRtcSettings

log = structlog.get_logger(__name__)

T = TypeVar("T")

_COMMAND_SECONDS = 8.0
"""Longest wait for the thread to do something; asking STUN and TURN servers takes 5 at most."""
_STOP_SECONDS = 3.0
_CERTIFICATE_SECONDS = 86_400.0
"""A certificate's use; it is good for 30 days."""


class WebRtcThread:
    """Owns the peers. Methods are for the calls' loop, but for those that say otherwise."""

    def __init__(self, settings: WebRtcSettings, loop: asyncio.AbstractEventLoop) -> None:
        self.frames = FrameQueue()
        self._settings = settings
        self._calls_loop = loop
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="offhook-webrtc", daemon=True)
        self._grid = Grid(self._loop, self._deliver)
        self._peers: dict[int, WebRtcPeer] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._certificate = RTCCertificate.generateCertificate()
        self._certified = loop.time()

    def start(self) -> None:
        """Begin."""
        self._thread.start()
        self._loop.call_soon_threadsafe(self._grid.start)

    async def aclose(self) -> None:
        """End every call's sockets, and the thread. Idempotent."""
        if not self._thread.is_alive():
            return
        try:
            await self.ask(self._close_all())
        except LegError as error:
            log.warning("webrtc does not stop in time", why=error.detail)
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join, _STOP_SECONDS)
        self.frames.close()

    async def ask(self, command: Coroutine[Any, Any, T]) -> T:
        """Run something on the thread. Raises what it raises, and `LegError` when it takes too long."""
        asked = asyncio.run_coroutine_threadsafe(command, self._loop)
        try:
            async with asyncio.timeout(_COMMAND_SECONDS):
                return await asyncio.wrap_future(asked)
        except TimeoutError:
            raise LegError("the WebRTC thread is too busy", sip_code=503) from None

    def post(self, command: Callable[..., object], *arguments: object) -> None:
        """Run something on the thread without waiting."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(command, *arguments)

    async def open(
        self, number: int, offer: Offer, playout: SharedPlayout, tell: Callable[[Fact], None]
    ) -> str:
        """Make a peer; returns the SDP answer. Raises `OSError` or `LegError`."""
        if self._calls_loop.time() - self._certified > _CERTIFICATE_SECONDS:
            self._certificate = await asyncio.to_thread(RTCCertificate.generateCertificate)
            self._certified = self._calls_loop.time()
        return await self.ask(self._open(number, offer, playout, tell))

    def connect(self, number: int) -> None:
        """Let the peer look for its browser."""
        self.post(self._with, number, WebRtcPeer.connect)

    def send_text(self, number: int, label: str, text: str) -> None:
        """Send a text on a data channel, if it is open."""
        self.post(self._with, number, lambda peer: peer.send_text(label, text))

    async def on_peer(self, number: int, command: Callable[[WebRtcPeer], Coroutine[Any, Any, T]]) -> T:
        """Run something of one peer. Raises `LegError` when it is gone."""

        async def run() -> T:
            peer = self._peers.get(number)
            if peer is None:
                raise LegError("the call is over", sip_code=481)
            return await command(peer)

        return await self.ask(run())

    def close(self, number: int, told: Callable[[dict[str, int | float | str]], None]) -> None:
        """End a peer; `told` gets its last counters, on the calls' loop."""
        self.post(self._close_one, number, told)

    def stats_of(self, number: int) -> dict[str, int | float | str]:
        """A peer's counters, read from outside its thread: each is whole, together they may be torn."""
        peer = self._peers.get(number)
        return peer.stats() if peer is not None else {}

    def stats(self) -> dict[str, float]:
        """Counters of the thread."""
        return {
            "frames_dropped": self.frames.dropped,
            "ticks_late": self._grid.late,
            "ticks_skipped": self._grid.skipped,
        }

    # --- on the thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(self._complain)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _complain(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, ConnectionError):
            return  # a timer of a data channel whose path is gone
        log.error("webrtc task failed", what=context.get("message"), error=repr(error))

    def _deliver(self, rows: list[tuple[int, int, Heard]]) -> None:
        if rows or self.frames.untold:
            self.frames.push(rows)

    async def _open(
        self, number: int, offer: Offer, playout: SharedPlayout, tell: Callable[[Fact], None]
    ) -> str:
        parts = PeerParts(self._settings, self._certificate, self._loop)

        def told(fact: Fact) -> None:
            self._calls_loop.call_soon_threadsafe(tell, fact)

        peer = WebRtcPeer(parts, offer, told, playout)
        try:
            answer = await peer.answer()
        except BaseException:
            await peer.close()
            raise
        self._peers[number] = peer
        self._grid.add(number, peer)
        return answer

    def _with(self, number: int, command: Callable[[WebRtcPeer], None]) -> None:
        peer = self._peers.get(number)
        if peer is not None:
            command(peer)

    def _close_one(self, number: int, told: Callable[[dict[str, int | float | str]], None]) -> None:
        peer = self._peers.pop(number, None)
        self._grid.remove(number)
        stats = peer.stats() if peer is not None else {}
        self._calls_loop.call_soon_threadsafe(told, stats)
        if peer is not None:
            task = self._loop.create_task(peer.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _close_all(self) -> None:
        self._grid.stop()
        peers, self._peers = list(self._peers.values()), {}
        await asyncio.gather(*(peer.close() for peer in peers), *self._closing, return_exceptions=True)
