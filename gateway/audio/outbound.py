"""HTTP requests to addresses that clients name, kept away from everything that is not public.

The guard sits where connections are made, so it cannot be walked around: a name is looked up once, each of
its addresses is judged, and the connection goes to an address that passed (a second lookup could answer
otherwise). Redirects come back as ordinary requests and are judged like them. TLS still proves the name.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias
from urllib.parse import urljoin, urlsplit

import httpcore

from gateway.audio.settings import FetchSettings
from gateway.errors import FetchFailed, FetchRefused, Unreachable

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LONGEST_URL = 4096
_MOST_ADDRESSES = 8


class Lookup(Protocol):
    """Addresses of a host's name, in the order in which they should be tried."""

    async def __call__(self, host: str, port: int) -> Sequence[str]: ...


async def system_lookup(host: str, port: int) -> Sequence[str]:
    """By the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class Guard:
    """Judges addresses."""

    def __init__(self, allow: Iterable[str]) -> None:
        self._allow: tuple[Network, ...] = tuple(ipaddress.ip_network(network) for network in allow)

    def allows(self, written: str) -> bool:
        """May a connection go there? Only to public unicast addresses, and to networks that are allowed."""
        address: Address = ipaddress.ip_address(written.partition("%")[0])
        inner = _inner(address)
        if any(address in network or inner in network for network in self._allow):
            return True
        return all(one.is_global and not one.is_multicast and not one.is_reserved for one in (address, inner))


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one leads to (RFC 4291 2.5.5, 6052, 3056, 4380), or itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if int(address) >> 32 == 0 and int(address) > 1:
        return ipaddress.IPv4Address(int(address))
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)


class _GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to judged addresses only."""

    def __init__(self, guard: Guard, lookup: Lookup, seconds: float) -> None:
        self._guard = guard
        self._lookup = lookup
        self._seconds = seconds
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (the library's signature)
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """To the first address of `host` that answers. Raises `FetchRefused` and `Unreachable`."""
        trouble: Exception | None = None
        for address in await self._addresses(host, port):
            try:
                return await self._network.connect_tcp(address, port, timeout=self._seconds)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                trouble = error
        raise Unreachable(f"no connection to {host}") from trouble

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 (the library's signature)
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise FetchRefused("sockets of this machine are never asked")

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        """All of them must pass: a name that also leads inside is not to be trusted."""
        try:
            async with asyncio.timeout(self._seconds):
                found = list(dict.fromkeys(await self._lookup(host, port)))[:_MOST_ADDRESSES]
        except TimeoutError:
            raise Unreachable(f"{host} was not found within {self._seconds:g} s") from None
        except (OSError, UnicodeError):
            raise Unreachable(f"there is no host called {host}") from None
        if not found or not all(self._guard.allows(address) for address in found):
            raise FetchRefused(
                f"{host} is not a public address; the operator may allow its network in audio.fetch.allow"
            )
        return found


class Answer:
    """A server's answer whose body has not been read yet."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response
        self.status = response.status
        pairs = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers)
        self.fields = tuple((name.lower(), value) for name, value in pairs)
        """Every header, also those that are there several times (Set-Cookie)."""
        self.headers = dict(self.fields)

    async def body(self) -> AsyncIterator[bytes]:
        """The body in pieces. Raises `FetchFailed` when it breaks off."""
        try:
            async for piece in self._response.aiter_stream():
                yield piece
        except _BROKEN as error:
            raise FetchFailed("the server broke off in the middle") from error


_BROKEN = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError)


class Outbound:
    """Sends the requests. Belongs to one event loop; every request has a connection of its own."""

    def __init__(self, settings: FetchSettings, lookup: Lookup = system_lookup) -> None:
        self._settings = settings
        self._guard = Guard(settings.allow)
        self._network = _GuardedNetwork(self._guard, lookup, settings.connect_seconds)
        self._places = asyncio.Semaphore(settings.at_once)
        self._tls = ssl.create_default_context()

    @contextlib.asynccontextmanager
    async def get(self, url: str) -> AsyncIterator[Answer]:
        """The answer to a GET, redirects followed. Raises `FetchRefused` and `FetchFailed`.

        The whole, reading the body included, must be done within `seconds`.
        """
        try:
            async with self._places, asyncio.timeout(self._settings.seconds):
                async with contextlib.AsyncExitStack() as stack:
                    for _ in range(self._settings.redirects + 1):
                        answer = await stack.enter_async_context(self.request("GET", url, {"Accept": "*/*"}))
                        if answer.status not in _REDIRECTS or "location" not in answer.headers:
                            break
                        url = urljoin(url, answer.headers["location"])
                        await stack.aclose()
                    else:
                        raise FetchFailed(f"more than {self._settings.redirects} redirects")
                    yield answer
        except TimeoutError:
            raise FetchFailed(f"not done within {self._settings.seconds:g} s") from None

    @contextlib.asynccontextmanager
    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> AsyncIterator[Answer]:
        """One request, no redirects followed, no time limit but those of each step."""
        _check(url)
        seconds = self._settings.connect_seconds
        timeouts = {name: seconds for name in ("connect", "pool")} | {"read": 30.0, "write": 30.0}
        pool = httpcore.AsyncConnectionPool(ssl_context=self._tls, network_backend=self._network)
        async with pool:
            try:
                response = await pool.handle_async_request(
                    httpcore.Request(
                        method,
                        url,
                        headers=_headers(url, headers, body),
                        content=body,
                        extensions={"timeout": timeouts},
                    )
                )
            except _BROKEN as error:
                raise FetchFailed("the server did not answer as a web server does") from error
            try:
                yield Answer(response)
            finally:
                await response.aclose()


def _headers(url: str, given: Mapping[str, str], body: bytes) -> list[tuple[str, str]]:
    headers = {"Host": urlsplit(url).netloc.rpartition("@")[2], "User-Agent": "Offhook", **given}
    if body:
        headers["Content-Length"] = str(len(body))
    return list(headers.items())


def _check(url: str) -> None:
    """Raises `FetchRefused` for what is no address of a web server."""
    if len(url) > _LONGEST_URL or any(ord(char) <= 32 or ord(char) == 127 for char in url):
        raise FetchRefused("not a web address: too long, or with spaces in it")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise FetchRefused("not a web address") from None
    if parts.scheme not in ("http", "https"):
        raise FetchRefused(
            f"only http and https addresses are asked, not {parts.scheme!r}; for a file in a bucket give a "
            "presigned https address"
        )
    if not host:
        raise FetchRefused("a web address without a host")
    if parts.username is not None:
        raise FetchRefused("a web address with a user name in it; give a presigned address instead")
