"""A worker whose engine has to fetch its model: what `/health` tells meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from engines.models.base import Report, warming
from engines.models.progress import in_words
from engines.models.store import ModelStore
from engines.worker import State, Worker, WorkerFailed
from engines.worker_settings import WorkerSettings
from tests.engines.riva.fakes import TellingAsr, run, until
from tests.fakes.model_host import Fault, ModelHost

WEIGHTS = bytes(range(256)) * 1000
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()


class FetchedAsr(TellingAsr):
    """Loads while it warms up, as engines with a thread of their own do."""

    def __init__(self, models: ModelStore, source: str, go: asyncio.Event) -> None:
        super().__init__()
        self._models, self._source, self._go = models, source, go
        self.path = Path()

    async def warm_up(self) -> None:
        self.path = await asyncio.to_thread(self._models.path, self._source, DIGEST)
        await asyncio.to_thread(warming, self._models)
        await self._go.wait()


async def health(port: int) -> tuple[str, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /health HTTP/1.1\r\n\r\n")
    body = (await reader.read()).partition(b"\r\n\r\n")[2]
    writer.close()
    await writer.wait_closed()
    told = json.loads(body)
    return told["state"], told["detail"]


def test_health_counts_the_download_and_names_each_stage(
    host: ModelHost, store: Callable[..., ModelStore]
) -> None:
    host.files["/en.nemo.onnx"], host.etags["/en.nemo.onnx"] = WEIGHTS, '"one"'
    host.faults = [Fault(cut_after=len(WEIGHTS) // 100 * 43, hangs=True)]

    async def main() -> None:
        worker, go = Worker(WorkerSettings()), asyncio.Event()
        await worker.listen()
        port = worker.ports[1]

        def make(report: Report) -> FetchedAsr:
            return FetchedAsr(store(in_words(report), stall_seconds=5.0), host.url("/en.nemo.onnx"), go)

        loading = asyncio.ensure_future(worker.load(make))
        await until(lambda: worker.state is State.DOWNLOADING)
        for _ in range(100):
            if await health(port) == ("downloading", "downloading 43 %"):
                break
            await asyncio.sleep(0.02)
        else:
            raise AssertionError(await health(port))
        host.released.set()
        await until(lambda: worker.state is State.WARMING and host.released.is_set())
        go.set()
        assert (await loading).path.read_bytes() == WEIGHTS
        worker.ready()
        assert await health(port) == ("ready", "")
        await worker.aclose()

    run(main())


def test_a_model_that_cannot_be_had_fails_the_start_with_the_cure(
    host: ModelHost, store: Callable[..., ModelStore]
) -> None:
    async def main() -> None:
        worker = Worker(WorkerSettings())
        await worker.listen()

        def make(report: Report) -> FetchedAsr:
            return FetchedAsr(store(in_words(report)), host.url("/none.nemo"), asyncio.Event())

        try:
            await worker.load(make)
        except WorkerFailed as failed:
            assert "404" in str(failed) and "check the address" in str(failed)
        else:
            raise AssertionError("it loaded nothing")
        await worker.aclose()

    run(main())
