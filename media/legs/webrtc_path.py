"""One call's path through the network, which stays while the ICE sessions below it come and go.

`IcePath` is what DTLS sees in place of aiortc's ICE transport (RFC 8445 section 2.4: an ICE restart changes
the path and not the handshake). Sound does not pass through its queue: it is handed over where it arrives.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from aioice import Candidate

from media.legs.webrtc_ice import IceSession
from media.legs.webrtc_sdp import MOST_CANDIDATES, IceLogin
from media.legs.webrtc_settings import WebRtcSettings

_MOST_QUEUED = 64
"""Datagrams of a handshake or of data channels that wait to be read."""


class IcePath:
    """One call's path through the network: what aiortc's DTLS takes for its ICE transport."""

    role = "controlled"

    def __init__(self, settings: WebRtcSettings, sound: Callable[[bytes], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self.last_heard = self._loop.time()
        """When anything last came that only the browser can have sent."""
        self.dropped = 0
        """Datagrams thrown away because nobody read them."""
        self._settings = settings
        self._sound = sound
        self._queue: deque[bytes] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._closed = False
        self._session = self._new()
        self._old: IceSession | None = None
        self._remote: IceLogin | None = None
        self._taken = 0

    @property
    def login(self) -> IceLogin:
        """What the browser has to prove."""
        return IceLogin(self._session.local_username, self._session.local_password)

    @property
    def candidates(self) -> list[Candidate]:
        """Where the browser may try to reach us."""
        return self._session.told()

    @property
    def remote(self) -> str:
        """The browser's address in use, or ""."""
        pair = self._session.pair()
        return f"{pair[1][0]}:{pair[1][1]}" if pair else ""

    async def gather(self) -> None:
        """Bind sockets. Raises `OSError` when no configured address can be had."""
        await self._session.gather_candidates()
        if not self._session.local_candidates:
            raise OSError("no media socket can be bound; see webrtc.hosts, first_port and last_port")

    async def connect(self, remote: IceLogin, candidates: Iterable[Candidate]) -> None:
        """Find a way to the browser, for as long as it takes. Raises `ConnectionError` once closed.

        The library is never told that there are no more candidates: the browser's own checks may come from
        an address that it could not name, a moment later.
        """
        self._remote = remote
        session = self._session
        session.remote_username, session.remote_password = remote.ufrag, remote.pwd
        await self.add(candidates)
        await session.connect()

    async def add(self, candidates: Iterable[Candidate]) -> None:
        """Addresses that came later; those beyond the bound are ignored."""
        for candidate in candidates:
            if self._taken >= MOST_CANDIDATES:
                return
            self._taken += 1
            await self._session.add_remote_candidate(candidate)

    async def restart(self) -> None:
        """Begin a new ICE session; the old path is used until the new one stands. Raises `OSError`."""
        if self._old is not None:
            await self._old.close()
        self._old, self._session = self._session, self._new()
        self._taken = 0
        await self.gather()

    async def settled(self) -> None:
        """The new session stands: forget the old one."""
        old, self._old = self._old, None
        if old is not None:
            await old.close()

    def send_now(self, data: bytes) -> bool:
        """Send one datagram; False when there is no way yet."""
        pair = self._session.pair() or (self._old.pair() if self._old else None)
        if pair is None or self._closed:
            return False
        protocol, address = pair
        transport = protocol.transport
        if transport.is_closing():
            return False
        transport.sendto(data, address)
        return True

    async def close(self) -> None:
        """Close every socket. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._wake()
        await self._session.close()
        await self.settled()

    # --- what aiortc's DTLS transport asks of an ICE transport

    async def _recv(self) -> bytes:
        while not self._queue:
            if self._closed:
                raise ConnectionError("the path is closed")
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        return self._queue.popleft()

    async def _send(self, data: bytes) -> None:
        if not self.send_now(data):
            raise ConnectionError("there is no path")

    # ---

    def _new(self) -> IceSession:
        return IceSession(self._settings, self._sound, self._heard_other, self._alive)

    def _alive(self) -> None:
        self.last_heard = self._loop.time()

    def _heard_other(self, data: bytes) -> None:
        if len(self._queue) >= _MOST_QUEUED or self._closed:
            self.dropped += 1
            return
        self._queue.append(data)
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
