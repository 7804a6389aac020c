"""A `redis-server` of our own on a unix socket that only we can reach; started, watched, stopped by us."""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import IO

import structlog

from engines.redis_client import cancelled, connect

log = structlog.get_logger(__name__)

_START_SECONDS = 10.0
_STOP_SECONDS = 5.0
_AGAIN_SECONDS = 0.25
"""Before a server that died is started again; doubled each time that it does not last."""
_LONGEST_AGAIN = 30.0
_PR_SET_PDEATHSIG = 1
_USUAL = "/usr/bin:/usr/local/bin"


class ServerUnfit(Exception):
    """The server cannot be had; the text says why."""


def installed() -> str | None:
    """Path of `redis-server`, if there is one."""
    return shutil.which("redis-server") or shutil.which("redis-server", path=_USUAL)


class LocalServer:
    """One server process; it comes back when it dies, and goes when we do, whatever ends us."""

    def __init__(self, binary: str, folder: Path, memory_mb: int) -> None:
        """`folder`: for its data, ours alone."""
        self._binary, self._folder, self._memory = binary, folder, memory_mb
        self._lock: IO[bytes] | None = None
        self._socket_folder: str | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None
        self.restarts = 0

    @property
    def url(self) -> str:
        """How to reach it."""
        return f"unix://{self._socket_folder}/redis.sock"

    @property
    def pid(self) -> int:
        """Of the server now."""
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Until it answers. Raises `ServerUnfit`."""
        try:
            self._lock = await asyncio.to_thread(self._locked)
            # Not in the data's folder: a socket's path may hold 107 octets only.
            self._socket_folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="offhook-redis-")
            await self._spawn()
            async with asyncio.timeout(_START_SECONDS):
                await self._answers()
        except TimeoutError:
            await self.aclose()
            raise ServerUnfit(f"it did not answer within {_START_SECONDS:g} s") from None
        except OSError as error:
            await self.aclose()
            raise ServerUnfit(error.strerror or str(error)) from None
        except ServerUnfit:
            await self.aclose()
            raise
        self._watching = asyncio.get_running_loop().create_task(self._watch(), name="redis-server")

    async def aclose(self) -> None:
        """Stop it; what it holds is on disk. Idempotent."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        folder, self._socket_folder = self._socket_folder, None
        if folder is not None:
            await asyncio.to_thread(shutil.rmtree, folder, True)
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    def _locked(self) -> IO[bytes]:
        """Two servers on one folder would spoil each other's data."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = open(self._folder / "lock", "wb")  # noqa: SIM115  # held open until the end
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise ServerUnfit(f"another node of this machine uses {self._folder}") from None
        return lock

    async def _spawn(self) -> None:
        options = {
            "--port": "0",
            "--unixsocket": f"{self._socket_folder}/redis.sock",
            "--unixsocketperm": "700",
            "--dir": str(self._folder.resolve()),
            "--save": "",
            "--appendonly": "yes",
            # Usage and jobs survive a kill; the few writes of one node cost little.
            "--appendfsync": "always",
            "--maxmemory": f"{self._memory}mb",
            "--maxmemory-policy": "noeviction",
            "--loglevel": "warning",
            "--daemonize": "no",
        }
        self._process = await asyncio.create_subprocess_exec(
            self._binary,
            *(part for pair in options.items() for part in pair),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us; we stop it in our own time
            preexec_fn=_die_with_parent,
        )

    async def _answers(self) -> None:
        client = connect(self.url, seconds=1.0, connections=1)
        try:
            while True:
                if self._process is None or self._process.returncode is not None:
                    raise ServerUnfit("it ended at once; its data may be of a newer version, or damaged")
                try:
                    await client.ping()
                    return
                except Exception as error:
                    if isinstance(error, asyncio.CancelledError):
                        raise
                    await asyncio.sleep(0.02)
        finally:
            await client.aclose()

    async def _watch(self) -> None:
        loop, wait = asyncio.get_running_loop(), _AGAIN_SECONDS
        while not cancelled():
            assert self._process is not None
            begun = loop.time()
            code = await self._process.wait()
            self.restarts += 1
            wait = _AGAIN_SECONDS if loop.time() - begun > _LONGEST_AGAIN else min(2 * wait, _LONGEST_AGAIN)
            log.error("the local redis-server ended; it is started again", code=code, seconds=wait)
            await asyncio.sleep(wait)
            try:
                await self._spawn()
            except OSError as error:
                log.error("the local redis-server cannot be started", why=error.strerror)


def _die_with_parent() -> None:
    """Linux: the server ends when this process does, however that ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() == 1:
        os._exit(1)
