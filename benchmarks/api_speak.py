"""How soon a client hears the first sound: WebSocket `/v1/speak`, embedded voice, sentences of twelve words.

    python -m benchmarks.api_speak [--sentences 60] [--streams 1,4]

From the moment at which Flush was sent to the first binary message. No sentence comes twice, so that the
cache of spoken prompts helps nobody. A second pass measures POST `/v1/speak`, to the first octet of the body.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

import httpx
from websockets.asyncio.client import connect

from benchmarks.arguments import numbers
from benchmarks.gateway import GatewayProcess
from benchmarks.processes import core_share, usage
from benchmarks.report import Report, quantiles

GOAL_MS = 150.0
_WORDS = (
    ("the", "a", "your", "our"),
    ("next", "first", "last", "other"),
    ("train", "invoice", "parcel", "meeting", "doctor", "ticket", "garden", "window"),
    ("leaves", "opens", "arrives", "begins", "changes", "closes"),
    ("at", "before", "after"),
    ("noon", "seven", "sunset", "nine", "midnight"),
    ("and", "but"),
    ("nobody", "everyone", "somebody"),
    ("should", "could", "would"),
    ("wait", "call", "write", "leave", "answer"),
    ("until", "before", "because"),
    ("then", "Monday", "tomorrow", "Friday"),
)


def sentence(number: int) -> str:
    """Twelve words; another sentence for each number."""
    words = []
    for choice in _WORDS:
        number, which = divmod(number, len(choice))
        words.append(choice[which])
        number += which
    return " ".join(words).capitalize() + "."


async def by_socket(port: int, sentences: list[str]) -> list[float]:
    """Seconds to the first sound of each sentence, one after the other on one socket."""
    waits: list[float] = []
    async with connect(f"ws://127.0.0.1:{port}/v1/speak?encoding=linear16&sample_rate=24000") as socket:
        await socket.recv()
        for text in sentences:
            await socket.send(json.dumps({"type": "Speak", "text": text}))
            asked = time.monotonic()
            await socket.send('{"type":"Flush"}')
            heard = False
            while isinstance(message := await asyncio.wait_for(socket.recv(), 30), bytes):
                if not heard:
                    waits.append(time.monotonic() - asked)
                    heard = True
            if json.loads(message)["type"] != "Flushed":
                raise RuntimeError(f"the gateway said {message!r}")
    return waits


async def by_post(port: int, sentences: list[str]) -> list[float]:
    """The same by requests."""
    waits: list[float] = []
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        for text in sentences:
            asked = time.monotonic()
            query = {"encoding": "linear16", "container": "none", "model": "aura"}
            async with client.stream("POST", "/v1/speak", params=query, json={"text": text}) as answer:
                answer.raise_for_status()
                heard = False
                async for piece in answer.aiter_bytes():
                    if piece and not heard:
                        waits.append(time.monotonic() - asked)
                        heard = True
    return waits


async def many(port: int, streams: int, each: int, first: int) -> list[float]:
    """That many sockets at once, each with sentences of its own."""
    lists = [[sentence(first + n * each + k) for k in range(each)] for n in range(streams)]
    return [
        wait for waits in await asyncio.gather(*(by_socket(port, one) for one in lists)) for wait in waits
    ]


def run(options: argparse.Namespace) -> int:
    """One stream first, then more, then requests."""
    report = Report(
        "api_speak", ("way", "streams", "sentences", "p50 ms", "p95 ms", "p99 ms", "gateway core %")
    )
    limits = {"api": {"limits": {"speak": {"flushes_per_minute": 0}}}}
    first = 0
    with GatewayProcess(limits) as gateway:
        asyncio.run(many(gateway.api_port, 1, 5, 100_000))  # the first of a process is not the thousandth
        for streams in options.streams:
            each = max(5, options.sentences // streams)
            before = usage(gateway.pid)
            waits = asyncio.run(many(gateway.api_port, streams, each, first))
            share = core_share(before, usage(gateway.pid))
            first += streams * each
            p50, p95, p99 = (1000.0 * figure for figure in quantiles(waits, 0.5, 0.95, 0.99))
            report.row("socket", streams, len(waits), p50, p95, p99, share)
            if streams == 1:
                report.bar("first sound p95, one stream, 12 words", p95, GOAL_MS, "ms")
        before = usage(gateway.pid)
        sentences = [sentence(first + number) for number in range(options.sentences // 2)]
        waits = asyncio.run(by_post(gateway.api_port, sentences))
        figures = (1000.0 * figure for figure in quantiles(waits, 0.5, 0.95, 0.99))
        report.row("POST", 1, len(waits), *figures, core_share(before, usage(gateway.pid)))
    return report.finish()


def main() -> int:
    arguments = argparse.ArgumentParser(
        prog="python -m benchmarks.api_speak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("--sentences", type=int, default=60, help="in each row (60)")
    arguments.add_argument("--streams", type=numbers, default=[1, 4], help="at once (1,4)")
    return run(arguments.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
