"""ICE (RFC 8445) over aioice: on the configured addresses and ports, held to bounds."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import aioice.ice
from aioice import Candidate
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import StunProtocol

from media.legs.webrtc_sdp import MOST_CANDIDATES
from media.legs.webrtc_settings import WebRtcSettings

_BUFFER_OCTETS = 64 * 1024
_PORT_TRIES = 50


class _Socket(StunProtocol):
    """One UDP socket. Sound and its reports go straight on; only the rest may be STUN."""

    def __init__(self, session: IceSession) -> None:
        super().__init__(session)
        self._session = session

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        first = data[0] if data else 0
        if first < 20:  # type: ignore[operator]
            super().datagram_received(data, addr)  # STUN (RFC 7983)
        elif (addr[0], addr[1]) in self._session.proven:
            if 127 < first < 192:  # type: ignore[operator]
                self._session.sound(data)  # type: ignore[arg-type]
            else:
                self._session.data_received(data, 1)  # type: ignore[arg-type]


class IceSession(aioice.ice.Connection):
    """One ICE session on the configured addresses, with a bounded number of remote ones."""

    def __init__(
        self,
        settings: WebRtcSettings,
        sound: Callable[[bytes], None],
        other: Callable[[bytes], None],
        alive: Callable[[], None],
    ) -> None:
        """`alive` is told of every check that proves to come from the browser."""
        stun = settings.stun.partition(":")[2]
        relay = _relay(settings)
        super().__init__(
            ice_controlling=False,
            stun_server=_place(stun, 3478) if stun else None,
            **relay,
        )
        self.sound = sound
        self.proven: set[tuple[str, int]] = set()
        """Addresses from which the browser's password was shown; nobody else is listened to."""
        self._other = other
        self._alive = alive
        self._settings = settings

    async def gather_candidates(self) -> None:
        """Bind the sockets, and ask STUN and TURN servers where there are some."""
        if self._local_candidates_start:
            return
        self._local_candidates_start = True
        hosts: Sequence[str] = self._settings.hosts or ("127.0.0.1",)
        if "*" in hosts:
            hosts = aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=True)
        self._local_candidates += await self.get_component_candidates(1, list(hosts))
        self._local_candidates_end = True

    async def get_component_candidates(
        self,
        component: int,
        addresses: list[str],
        timeout: int = 5,  # noqa: ASYNC109 (the library's own signature)
    ) -> list[Candidate]:
        """Host candidates on our own sockets; the library's way for those that servers tell."""
        found = [await self._bind(address) for address in addresses]
        hosts = [protocol for protocol in found if protocol is not None]
        self._protocols += hosts
        candidates = [protocol.local_candidate for protocol in hosts]
        tasks: list[asyncio.Task[tuple[Candidate, StunProtocol | None]]] = []
        if self.stun_server:
            tasks += [
                asyncio.create_task(aioice.ice.server_reflexive_candidate(protocol, self.stun_server))
                for protocol in hosts
                if ":" not in protocol.local_candidate.host
            ]
        if self.turn_server:
            relayed = aioice.ice.relayed_candidate(
                component=component,
                hide_related_address=False,
                protocol_factory=lambda: _Socket(self),
                turn_server=self.turn_server,
                turn_username=self.turn_username,
                turn_password=self.turn_password,
                turn_ssl=self.turn_ssl,
                turn_transport=self.turn_transport,
            )
            tasks.append(asyncio.create_task(relayed))
        if tasks:
            done, late = await asyncio.wait(tasks, timeout=timeout)
            for task in late:
                task.cancel()
            for task in done:
                if task.exception() is None:
                    candidate, protocol = task.result()
                    candidates.append(candidate)
                    if protocol is not None:
                        self._protocols.append(protocol)
        return candidates

    def told(self) -> list[Candidate]:
        """Our candidates as the browser shall see them."""
        advertised = self._settings.advertised
        if not advertised:
            return self.local_candidates
        return [_moved(candidate, advertised) for candidate in self.local_candidates]

    def check_incoming(self, message: Any, addr: tuple[str, int], protocol: StunProtocol) -> None:
        """Learn where the browser is, unless it claims to be everywhere."""
        self._alive()
        if len(self.proven) < 2 * MOST_CANDIDATES:
            self.proven.add((addr[0], addr[1]))
        known = any(c._network_host == addr[0] and c.port == addr[1] for c in self._remote_candidates)
        if known or len(self._remote_candidates) < 2 * MOST_CANDIDATES:
            super().check_incoming(message, addr, protocol)

    def data_received(self, data: bytes, component: int) -> None:
        """What is neither STUN nor sound: DTLS."""
        self._other(data)

    def pair(self) -> tuple[StunProtocol, tuple[str, int]] | None:
        """The socket and the remote address in use."""
        pair = self._nominated.get(1)
        return (pair.protocol, pair.remote_addr) if pair is not None else None

    async def _bind(self, host: str) -> _Socket | None:
        loop = asyncio.get_running_loop()
        for port in _ports(self._settings):
            try:
                transport, protocol = await loop.create_datagram_endpoint(
                    lambda: _Socket(self), local_addr=(host, port)
                )
            except OSError:
                continue
            sock = transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_OCTETS)
            address = transport.get_extra_info("sockname")
            protocol.local_candidate = Candidate(
                foundation=candidate_foundation("host", "udp", address[0]),
                component=1,
                transport="udp",
                priority=candidate_priority(1, "host"),
                host=address[0],
                port=address[1],
                type="host",
            )
            return protocol
        return None


def _ports(settings: WebRtcSettings) -> Iterable[int]:
    """Ports to try, each call from a random one on, so that a freed port is not used at once."""
    first, last = settings.first_port, settings.last_port
    if not first:
        return [0]
    size = last - first + 1
    start = random.randrange(size)
    return [first + (start + i) % size for i in range(min(size, _PORT_TRIES))]


def _relay(settings: WebRtcSettings) -> dict[str, Any]:
    relay = settings.relay
    if not relay.url:
        return {}
    scheme, _, rest = relay.url.partition(":")
    place, _, query = rest.partition("?")
    secure = scheme == "turns"
    transport = query.partition("=")[2] or ("tcp" if secure else "udp")
    return {
        "turn_server": _place(place, 5349 if secure else 3478),
        "turn_ssl": secure,
        "turn_transport": transport,
        "turn_username": relay.user,
        "turn_password": relay.password,
    }


def _place(text: str, port: int) -> tuple[str, int]:
    host, _, given = text.rpartition(":") if text.count(":") == 1 or "]:" in text else (text, "", "")
    return host.strip("[]"), int(given) if given else port


def _moved(candidate: Candidate, address: str) -> Candidate:
    if candidate.type != "host":
        return candidate
    return Candidate(
        foundation=candidate.foundation,
        component=candidate.component,
        transport=candidate.transport,
        priority=candidate.priority,
        host=address,
        port=candidate.port,
        type="host",
    )
