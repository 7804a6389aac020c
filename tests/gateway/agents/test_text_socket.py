from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from gateway.agents.base import AgentError
from gateway.agents.text_socket import DialFailed, Outbox, SocketLost, WebSocketDial, check_url
from tests.virtual_time import run_virtual


@pytest.mark.parametrize(
    "url", ["wss://bot.example.com/ws", "wss://bot.example.com:8443/ws?x=1", "ws://127.0.0.1:8765/ws",
            "ws://localhost/ws", "ws://[::1]:80/", "ws://bot.internal/ws"],
)  # fmt: skip
def test_addresses_that_may_be_dialled(url: str) -> None:
    check_url(url, ("bot.internal",))


@pytest.mark.parametrize(
    "url", ["ws://bot.example.com/ws", "https://bot.example.com", "wss://", "wss://me:secret@host/", "bot",
            "wss://host/a b", "wss://host:70000/", "wss://host/#x", "ws://127.0.0.1.example.com/"],
)  # fmt: skip
def test_addresses_that_may_not(url: str) -> None:
    with pytest.raises(ValueError):
        check_url(url, ("bot.internal",))


class Socket:
    def __init__(self, delay: float = 0.0) -> None:
        self.sent: list[str] = []
        self.delay = delay

    async def send(self, text: str) -> None:
        await asyncio.sleep(self.delay)
        self.sent.append(text)

    async def receive(self) -> str:
        raise SocketLost(1000)

    async def close(self) -> None: ...


def test_a_full_outbox_loses_the_oldest_sound_and_nothing_else() -> None:
    async def main() -> None:
        outbox, socket = Outbox(most_sound=3), Socket()
        outbox.put("start")
        for number in range(5):
            outbox.sound(f"sound {number}")
        outbox.put("key")
        sending = asyncio.create_task(outbox.run(socket, 1.0))
        await asyncio.sleep(1)
        outbox.sound("later")
        await asyncio.sleep(1)
        sending.cancel()
        assert socket.sent == ["start", "sound 2", "sound 3", "sound 4", "key", "later"]
        assert outbox.dropped == 2

    run_virtual(main())


def test_a_far_end_that_does_not_read_is_given_up() -> None:
    async def main() -> None:
        outbox = Outbox(most_sound=3, most_other=2)
        outbox.put("a")
        with pytest.raises(AgentError, match="did not read for 5 s"):
            await outbox.run(Socket(delay=60), 5.0)
        outbox.put("b")
        outbox.put("c")
        outbox.put("d")
        with pytest.raises(AgentError, match="does not read"):
            await outbox.run(Socket(), 5.0)
        await outbox.flush(Socket(delay=60), 1.0)

    run_virtual(main())


def dialled(
    handler: Callable[[ServerConnection], Awaitable[None]],
    status: int = 101,
    *,
    seconds: float = 5.0,
    most_bytes: int = 1000,
) -> str:
    """What the first message was, or how there was none."""

    async def main() -> str:
        def gate(connection: ServerConnection, request: Request) -> Response | None:
            assert request.headers["X-Proof"] == "yes" and request.headers["User-Agent"] == "Offhook"
            return None if status == 101 else connection.respond(HTTPStatus(status), "no")

        async with serve(handler, "127.0.0.1", 0, process_request=gate) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            dial = WebSocketDial(most_bytes)
            try:
                socket = await dial(f"ws://127.0.0.1:{port}/", {"X-Proof": "yes"}, seconds)
            except DialFailed as failed:
                return f"{failed.status} {failed.retryable} {failed.timed_out}"
            try:
                await socket.send("hello")
                return str(await socket.receive())
            except SocketLost as lost:
                return f"{lost.code} {lost.orderly}"
            finally:
                await socket.close()
                await socket.close()

    return asyncio.run(main())


async def repeat(connection: ServerConnection) -> None:
    await connection.send(f"{await connection.recv()!r} back")


def test_a_real_socket() -> None:
    assert dialled(repeat) == "'hello' back"
    assert dialled(repeat, 401) == "401 False False"
    assert dialled(repeat, 503) == "503 True False"


def test_how_a_far_end_may_go() -> None:
    async def done(connection: ServerConnection) -> None:
        await connection.recv()

    async def broken(connection: ServerConnection) -> None:
        await connection.recv()
        connection.transport.abort()

    async def huge(connection: ServerConnection) -> None:
        await connection.send("x" * 2000)
        await connection.wait_closed()

    assert dialled(done) == "1000 True"
    assert dialled(broken) == "1006 False"
    assert dialled(huge) == "1009 False"


def test_nobody_there_and_nobody_answering() -> None:
    async def main() -> None:
        writers: list[asyncio.StreamWriter] = []
        dial = WebSocketDial(1000)
        with pytest.raises(DialFailed) as refused:
            await dial("ws://127.0.0.1:1/", {}, 2.0)
        assert (refused.value.status, refused.value.retryable) == (0, True)
        silent = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
        async with silent:
            port = silent.sockets[0].getsockname()[1]
            with pytest.raises(DialFailed) as late:
                await dial(f"ws://127.0.0.1:{port}/", {}, 0.2)
        assert late.value.timed_out
        for writer in writers:
            writer.close()

    asyncio.run(main())
