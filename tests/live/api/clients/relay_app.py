"""A ConversationRelay app, written from the public protocol alone, on plain `websockets`.

Told: the account's auth token, and a story. Prints the port it listens on, then each message of each session
as JSON, with the session's kind and the number of its connection. The kind is the last part of its address.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import defaultdict
from typing import Any

from twilio.request_validator import RequestValidator
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

VALIDATOR = RequestValidator(sys.argv[1])
STORY = sys.argv[2]
connections: defaultdict[str, int] = defaultdict(int)


def tell(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Session:
    """One connection."""

    def __init__(self, socket: ServerConnection, kind: str, number: int) -> None:
        self.socket = socket
        self.kind = kind
        self.number = number
        self.keys = ""

    async def say(self, token: str, *, last: bool = True, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": "text", "token": token, "last": last, **fields}))

    async def stream(self, text: str) -> None:
        """As a language model writes: in pieces."""
        for place in range(0, len(text), 12):
            await self.say(text[place : place + 12], last=False)
            await asyncio.sleep(0.01)
        await self.say("")

    async def hear(self, message: dict[str, Any]) -> None:
        match message["type"], self.kind:
            case "prompt", _ if not message["last"]:
                return
            case "setup", "greeter":
                await self.say("Welcome to the greeter, please wait.")
            case "prompt", "story" if not self.keys:
                self.keys = "told"
                await self.stream(STORY)
            case "prompt", "killed" if self.number == 1:
                self.socket.transport.abort()
            case "prompt", "ender":
                await self.say("Thank you for calling. Goodbye.")
                await self.send({"type": "end", "handoffData": json.dumps({"reason": "done"})})
            case "prompt", _:
                await self.say("You said: " + message["voicePrompt"])
            case "dtmf", _:
                self.keys += message["digit"]
                if message["digit"] == "#":
                    await self.say("Your number is " + " ".join(self.keys[:-1]) + ".")

    async def send(self, message: dict[str, Any]) -> None:
        await self.socket.send(json.dumps(message))


async def serve_session(socket: ServerConnection) -> None:
    assert socket.request is not None
    path = socket.request.path
    kind = path.rsplit("/", 1)[-1]
    url = f"ws://{socket.request.headers['Host']}{path}"
    signed = VALIDATOR.validate(url, {}, socket.request.headers.get("X-Twilio-Signature", ""))
    if not signed:
        await socket.close(1008, "not signed")
        return
    connections[kind] += 1
    session = Session(socket, kind, connections[kind])
    try:
        async for frame in socket:
            message = json.loads(frame)
            tell({"kind": kind, "connection": session.number, **message})
            await session.hear(message)
    except ConnectionClosed:
        pass
    tell({"kind": kind, "connection": session.number, "type": "closed"})


async def main() -> None:
    async with serve(serve_session, "127.0.0.1", 0) as server:
        tell(server.sockets[0].getsockname()[1])
        await asyncio.Future()


asyncio.run(main())
