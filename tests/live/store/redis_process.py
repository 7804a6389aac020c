"""Real `redis-server` processes for the live tests of the store."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from engines.redis_client import LOST, connect


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def redis_server(folder: Path, port: int, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """One process on a loopback port, ended at the end."""
    binary = shutil.which("redis-server")
    assert binary, "redis-server is not installed; deploy/apt-packages.txt names it"
    process = await asyncio.create_subprocess_exec(
        binary, *(options[:1] if options[:1] and not options[0].startswith("--") else ()),
        "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "",
        *(options[1:] if options[:1] and not options[0].startswith("--") else options),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await answers(f"redis://127.0.0.1:{port}")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def answers(url: str, seconds: float = 10.0) -> None:
    """Until the server is there."""
    client = connect(url, seconds=1.0, connections=1)
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    await client.ping()
                    return
                except LOST:
                    await asyncio.sleep(0.02)
    finally:
        await client.aclose()


@contextmanager
def redis_process(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The same for tests without a loop."""
    binary = shutil.which("redis-server")
    assert binary, "redis-server is not installed; deploy/apt-packages.txt names it"
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        asyncio.run(answers(f"redis://127.0.0.1:{port}"))
        yield process
    finally:
        process.kill()
        process.wait()
