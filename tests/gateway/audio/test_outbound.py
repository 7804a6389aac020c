"""The guard on addresses that clients name, and downloads within their limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audio.fetch import fetch
from gateway.audio.outbound import Guard, Outbound, system_lookup
from gateway.audio.settings import AudioSettings, FetchSettings
from gateway.audio.spool import open_spool
from gateway.errors import BodyTooLarge, FetchFailed, FetchRefused

Names: TypeAlias = dict[str, list[Sequence[str]]]
"""What a resolver answers for a name, the first time, the second time, and so on."""

INSIDE = [
    "127.0.0.1", "127.8.9.10", "0.0.0.0", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254",
    "100.64.0.1",
    "224.0.0.1", "239.255.255.250", "255.255.255.255", "240.0.0.1", "192.0.0.1", "198.18.0.1", "203.0.113.7",
    "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:10.1.2.3", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1",
    "2002:7f00:1::", "2002:a9fe:a9fe::", "2001:0:53aa:64c:0:0:80ff:fffe", "2001:db8::1",
]  # fmt: skip
"""Private, loopback, link-local, shared, multicast, reserved, documentation; also one inside the other."""


@pytest.mark.parametrize("address", INSIDE)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert not Guard(()).allows(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "2001:4860:4860::8888"])
def test_what_is_public_is_allowed(address: str) -> None:
    assert Guard(()).allows(address)


def test_networks_that_the_operator_allows() -> None:
    guard = Guard(("10.1.0.0/16", "::1/128"))
    assert guard.allows("10.1.2.3") and guard.allows("::1") and guard.allows("::ffff:10.1.2.3")
    assert not guard.allows("10.2.0.1") and not guard.allows("127.0.0.1")


@given(st.ip_addresses(network="10.0.0.0/8"))
def test_no_dress_makes_a_private_address_public(inner: object) -> None:
    guard = Guard(())
    number = int(inner)  # type: ignore[call-overload]
    high, low = divmod(number, 1 << 16)
    for dressed in (
        f"::ffff:{inner}",
        f"64:ff9b::{high:x}:{low:x}",
        f"2002:{high:x}:{low:x}::1",
        f"::{inner}",
    ):
        assert not guard.allows(dressed)


class Web:
    """A web server on loopback that answers by path, and a resolver with a script."""

    def __init__(self, answers: dict[str, bytes], names: Names) -> None:
        self.answers, self.names = answers, names
        self.asked: list[str] = []
        self.looked_up: list[str] = []
        self.port = 0

    async def lookup(self, host: str, port: int) -> Sequence[str]:
        self.looked_up.append(host)
        if host not in self.names:
            return [host]
        answers = self.names[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            path = (await reader.readuntil(b"\r\n\r\n")).decode().split()[1]
            self.asked.append(path)
            answer = self.answers.get(path, b"")
            if answer == b"hang":
                await reader.read()
            writer.write(answer.replace(b"PORT", str(self.port).encode()))
            await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def web(answers: dict[str, bytes], names: Names) -> AsyncIterator[Web]:
    made = Web(answers, names)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


def found(body: bytes, extra: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


def moved(to: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()


LOCAL = FetchSettings(allow=("127.0.0.1/32",), seconds=2, connect_seconds=1)


def run(
    answers: dict[str, bytes],
    url: str,
    names: Names | None = None,
    settings: FetchSettings = LOCAL,
    limit: int = 1,
) -> tuple[bytes, Web]:
    async def main() -> tuple[bytes, Web]:
        audio = replace(AudioSettings(max_megabytes=limit), fetch=settings)
        async with web(answers, names or {}) as site, open_spool(audio) as spool:
            outbound = Outbound(settings, site.lookup)
            where.append(site)
            await fetch(outbound, url.replace("PORT", str(site.port)), spool, audio)
            return await asyncio.to_thread(spool.path.read_bytes), site

    where: list[Web] = []
    seen.clear()
    try:
        return asyncio.run(main())
    finally:
        seen.extend(where)


seen: list[Web] = []
"""The server of the last run, also when the run was refused."""


def test_a_download() -> None:
    octets, site = run({"/a.wav?x=1": found(b"sound")}, "http://127.0.0.1:PORT/a.wav?x=1")
    assert octets == b"sound" and site.asked == ["/a.wav?x=1"]


def test_a_name_is_looked_up_once_and_the_answer_is_used() -> None:
    """Rebinding: the second answer would lead elsewhere, and is never asked for."""
    names: Names = {"files.example": [["127.0.0.1"], ["10.0.0.1"]]}
    octets, site = run({"/a": found(b"sound")}, "http://files.example:PORT/a", names)
    assert octets == b"sound" and site.looked_up == ["files.example"]


def test_a_name_that_also_leads_inside_is_refused() -> None:
    names: Names = {"evil.example": [["127.0.0.1", "192.168.0.1"]]}
    with pytest.raises(FetchRefused, match="not a public address"):
        run({"/a": found(b"sound")}, "http://evil.example:PORT/a", names)
    assert seen[0].asked == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:PORT/a", "http://[::ffff:127.0.0.1]:PORT/a", "http://localhost:PORT/a", "http://0:PORT/a",
        "http://2130706433:PORT/a", "http://0x7f.1:PORT/a", "http://127.1:PORT/a",
    ],
)  # fmt: skip
def test_this_machine_is_refused_however_it_is_written(url: str) -> None:
    async def main() -> None:
        async with web({"/a": found(b"sound")}, {}) as site:
            outbound = Outbound(FetchSettings(connect_seconds=1), system_lookup)
            with pytest.raises((FetchRefused, FetchFailed)):
                async with outbound.get(url.replace("PORT", str(site.port))):
                    pass
            assert site.asked == []

    asyncio.run(main())


def test_redirects_are_followed_and_judged() -> None:
    answers = {"/a": moved("/b"), "/b": moved("http://files.example:PORT/c"), "/c": found(b"sound")}
    octets, site = run(answers, "http://127.0.0.1:PORT/a", {"files.example": [["127.0.0.1"]]})
    assert octets == b"sound" and site.asked == ["/a", "/b", "/c"]
    for inside in ("http://169.254.169.254/latest/meta-data", "http://[::1]:PORT/b", "file:///etc/passwd"):
        with pytest.raises(FetchRefused):
            run({"/a": moved(inside)}, "http://127.0.0.1:PORT/a")


def test_redirects_without_end() -> None:
    with pytest.raises(FetchFailed, match="5 redirects"):
        run({"/a": moved("/a")}, "http://127.0.0.1:PORT/a")
    assert len(seen[0].asked) == 6


@pytest.mark.parametrize(
    "url",
    [
        "ftp://files.example/a", "file:///etc/passwd", "s3://bucket/key", "gopher://127.0.0.1/", "//host/a",
        "a.wav", "", "http://", "http:///a", "http://user:pw@127.0.0.1/a", "http://127.0.0.1/a b",
        "http://127.0.0.1/a\r\nX: y",
        "http://127.0.0.1:99999/", "http://[::1/", "http://127.0.0.1/" + "a" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_web_address(url: str) -> None:
    with pytest.raises(FetchRefused):
        run({}, url)


def test_the_limit_holds_announced_or_not() -> None:
    big = bytes(1_000_001)
    with pytest.raises(BodyTooLarge, match="1 MB"):
        run({"/a": found(big)}, "http://127.0.0.1:PORT/a")
    piece = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + piece * 20
    with pytest.raises(BodyTooLarge):
        run({"/a": chunked + b"0\r\n\r\n"}, "http://127.0.0.1:PORT/a")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answered 404"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not answer as a web server"),
        (b"", "not answer as a web server"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "broke off"),
        (b"hang", "2 s"),
    ],
)
def test_servers_that_give_nothing(answer: bytes, told: str) -> None:
    with pytest.raises(FetchFailed, match=told):
        run({"/a": answer}, "http://127.0.0.1:PORT/a")


def test_nobody_there() -> None:
    with pytest.raises(FetchFailed, match="no connection"):
        run({}, "http://127.0.0.1:1/a")
