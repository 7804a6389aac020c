"""What heavy guests of the speech API cost a node, and what its callers notice of them.

    python -m benchmarks.api_load [--sockets 10000] [--upload-mb 100] [--jobs 2] [--parts idle,upload,batch]

*idle*: that many sockets are opened and say nothing; then how much memory each holds, how soon `/health`
answers, whether a call's answers come later, and whether the memory comes back. *upload*: a recording of so
many megabytes, a tenth of it speech, sent as fast as it goes, and the most memory that the node and its
decoders held. *batch*: callers talk to the `echo` agent alone, then while recordings are recognised behind
them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import tempfile
import threading
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from benchmarks.arguments import parser
from benchmarks.conversations import exchanges, hold
from benchmarks.gateway import GatewayProcess
from benchmarks.processes import usage
from benchmarks.report import Report, quantiles
from benchmarks.turn_latency import tracks
from callers.speech import Prompt, load_prompts

_HEALTH_MS = 100.0
_UPLOAD_MIB = 200.0
_SLOWER = 1.25
"""So many times as long as without batch work a caller may wait, at the 99th percentile."""
_LIVE_CALLS = 4


def health(port: int, count: int) -> list[float]:
    """Seconds that `/health` takes, on a connection of its own each time."""
    waits = []
    for _ in range(count):
        asked = time.monotonic()
        httpx.get(f"http://127.0.0.1:{port}/health", timeout=30).raise_for_status()
        waits.append(time.monotonic() - asked)
    return waits


async def _opened(url: str, count: int) -> list[ClientConnection]:
    """Sockets that say nothing; their pings are off, so that nothing is said for them either."""
    sockets: list[ClientConnection] = []
    turn = asyncio.Semaphore(100)

    async def one() -> None:
        async with turn:
            with contextlib.suppress(OSError, WebSocketException, TimeoutError):
                sockets.append(await connect(url, ping_interval=None, compression=None, open_timeout=60))

    await asyncio.gather(*(one() for _ in range(count)))
    return sockets


class Idlers:
    """A thread with a loop whose sockets say nothing, from `open` to `close`."""

    def __init__(self, url: str, count: int) -> None:
        self._url, self._count = url, count
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._sockets: list[ClientConnection] = []

    def open(self) -> int:
        """How many were let in."""
        self._thread.start()
        opening = asyncio.run_coroutine_threadsafe(_opened(self._url, self._count), self._loop)
        self._sockets = opening.result(300)
        return len(self._sockets)

    def close(self) -> None:
        async def all_of_them() -> None:
            for socket in self._sockets:
                socket.transport.abort()

        asyncio.run_coroutine_threadsafe(all_of_them(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


def idle(gateway: GatewayProcess, options: argparse.Namespace, report: Report) -> None:
    """Sockets that say nothing."""
    prompts = load_prompts(options.speech)
    alone = answers(gateway, prompts, seed=1)
    quiet = usage(gateway.pid)
    # Speaking sockets may be kept for an hour; transcribing ones are closed after ten seconds of silence.
    url = f"ws://127.0.0.1:{gateway.api_port}/v1/speak?encoding=linear16&sample_rate=8000"
    idlers = Idlers(url, options.sockets)
    began = time.monotonic()
    count = idlers.open()
    took = time.monotonic() - began
    full = usage(gateway.pid)
    waits = health(gateway.api_port, 50)
    beside = answers(gateway, prompts, seed=1)
    idlers.close()
    time.sleep(5.0)
    after = usage(gateway.pid)
    each = 1024.0 * (full.rss_mib - quiet.rss_mib) / max(1, count)
    p50, p99 = (1000.0 * figure for figure in quantiles(waits, 0.5, 0.99))
    report.row("idle sockets", f"{count} open, {each:.1f} KiB each, {count / took:,.0f} a second")
    report.row("idle sockets", f"/health p50 {p50:.1f}, p99 {p99:.1f} ms beside them")
    report.row("idle sockets", _turns(alone, beside))
    report.row(
        "idle sockets",
        f"{quiet.rss_mib:.0f} MiB before, {full.rss_mib:.0f} with them, {after.rss_mib:.0f} after; "
        f"descriptors {quiet.descriptors}, {full.descriptors}, {after.descriptors}",
    )
    report.bar("sockets let in", count, options.sockets, at_least=True)
    report.bar("/health p99 beside them", p99, _HEALTH_MS, "ms")
    report.bar("descriptors left over", after.descriptors - quiet.descriptors, 16)
    report.bar("answers p99, with to without", _ratio(alone, beside), _SLOWER)


def upload(gateway: GatewayProcess, options: argparse.Namespace, report: Report) -> None:
    """A recording as large as may be."""
    with tempfile.TemporaryDirectory(prefix="upload-") as folder:
        path = Path(folder) / "long.wav"
        seconds = _recording(path, load_prompts(options.speech), options.upload_mb, speech=0.1)
        quiet = usage(gateway.pid)
        with _watched(gateway.pid) as most:
            began = time.monotonic()
            with path.open("rb") as body:
                url = f"http://127.0.0.1:{gateway.api_port}/v1/listen?punctuate=true"
                answer = httpx.post(url, content=body, timeout=600, headers={"Content-Type": "audio/wav"})
            took = time.monotonic() - began
    words = (
        len(answer.json()["results"]["channels"][0]["alternatives"][0]["words"]) if answer.is_success else 0
    )
    grown = most[0] - quiet.rss_mib
    size = options.upload_mb
    report.row(
        "upload", f"{size} MB, {seconds / 60:.0f} min: {answer.status_code}, {words:,} words in {took:.0f} s"
    )
    report.row(
        "upload", f"{seconds / took:.0f} times real time; {grown:.0f} MiB more at most, decoders included"
    )
    report.bar(f"memory for {size} MB", grown, _UPLOAD_MIB, "MiB")
    report.bar("words heard", words, 1, at_least=True)


def batch(gateway: GatewayProcess, options: argparse.Namespace, report: Report) -> None:
    """Callers with and without recordings behind them."""
    prompts = load_prompts(options.speech)
    alone = answers(gateway, prompts, seed=2)
    with tempfile.TemporaryDirectory(prefix="batch-") as folder:
        path = Path(folder) / "long.wav"
        _recording(path, prompts, 30)
        base = f"http://127.0.0.1:{gateway.api_port}"
        jobs = []
        for _ in range(options.jobs):
            with path.open("rb") as file:
                told = httpx.post(f"{base}/v1/jobs", files={"audio": file}, timeout=60).raise_for_status()
            jobs.append(told.json()["job_id"])
        time.sleep(3.0)
        heard = [_heard(base, job) for job in jobs]
        began = time.monotonic()
        beside = answers(gateway, prompts, seed=2)
        work = sum(_heard(base, job) - before for job, before in zip(jobs, heard, strict=True))
        speed = work / (time.monotonic() - began)
    report.row("batch", _turns(alone, beside))
    report.row("batch", f"meanwhile {options.jobs} recordings were heard {speed:.0f} times as fast as spoken")
    report.bar("answers p99, with batch work to without", _ratio(alone, beside), _SLOWER)
    report.bar("batch work that went on, times real time", speed, 1.0, at_least=True)


def answers(gateway: GatewayProcess, prompts: list[Prompt], seed: int) -> list[float]:
    """Milliseconds that callers waited for answers, some of them at once."""
    talks = hold(gateway, tracks(prompts, _LIVE_CALLS, 6, seed))
    found = [exchange.answer_ms for talk in talks for exchange in exchanges(talk)]
    return [wait for wait in found if not math.isnan(wait)]


def _turns(alone: list[float], beside: list[float]) -> str:
    one, two = (quantiles(waits, 0.5, 0.99) for waits in (alone, beside))
    return (
        f"{_LIVE_CALLS} callers' answers p50, p99: {one[0]:.0f}, {one[1]:.0f} ms without, "
        f"{two[0]:.0f}, {two[1]:.0f} ms with ({len(alone)}, {len(beside)} answers)"
    )


def _ratio(alone: list[float], beside: list[float]) -> float:
    return quantiles(beside, 0.99)[0] / quantiles(alone, 0.99)[0]


def _heard(base: str, job: str) -> float:
    told = httpx.get(f"{base}/v1/jobs/{job}", timeout=30).raise_for_status().json()
    if told["status"] == "failed":
        raise RuntimeError(json.dumps(told))
    return float(told["progress"]["heard_seconds"])


def _recording(path: Path, prompts: list[Prompt], megabytes: float, speech: float = 1.0) -> float:
    """All prompts again and again, then silence, as a WAV file of that size; returns its seconds.

    `speech`: share of it that is spoken, 0 to 1.
    """
    pieces = [np.concatenate([prompt.pcm, np.zeros(4000, np.int16)]) for prompt in prompts]
    talk = np.concatenate(pieces).astype("<i2")
    samples = int(megabytes * 1e6) // 2 - 22
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        for place in range(0, samples, len(talk)):
            part = talk if place < speech * samples else np.zeros_like(talk)
            file.writeframesraw(part[: samples - place].tobytes())
    return samples / 8000


@contextlib.contextmanager
def _watched(pid: int) -> Iterator[list[float]]:
    """The most memory, in MiB, of a process and its children, within the block."""
    most, over = [0.0], threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            with contextlib.suppress(OSError, ProcessLookupError):
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
                total = sum(usage(one).rss_mib for one in (pid, *map(int, children)))
                most[0] = max(most[0], total)

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield most
    finally:
        over.set()
        looking.join()


PARTS = {"idle": idle, "upload": upload, "batch": batch}


def run(options: argparse.Namespace) -> int:
    """The chosen parts, one node for all."""
    report = Report("api_load", ("what", "found"))
    places = options.sockets + 100
    settings = {"api": {"connections": places, "limits": {"places": places}}}
    with GatewayProcess(settings) as gateway:
        for part in options.parts.split(","):
            PARTS[part](gateway, options, report)
    return report.finish()


def main() -> int:
    arguments = parser("api_load", __doc__ or "")
    arguments.formatter_class = argparse.RawDescriptionHelpFormatter
    arguments.add_argument("--sockets", type=int, default=10_000, help="idle ones (10000)")
    arguments.add_argument("--upload-mb", type=int, default=100, help="size of the recording (100)")
    arguments.add_argument("--jobs", type=int, default=2, help="recordings behind the callers (2)")
    arguments.add_argument("--parts", default="idle,upload,batch", help="which (idle,upload,batch)")
    return run(arguments.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
