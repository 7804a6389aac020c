"""Recordings recognised later: `/v1/jobs`, and the callbacks of `/v1/listen` in each API's form."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import pytest
from fastapi import FastAPI

from gateway.api import jobs as job_routes
from gateway.api import listen_file
from gateway.api.core.door import Door
from gateway.api.core.speech_parts import SpeechParts
from gateway.api.smallest import listen_file as waves_file
from gateway.batch.callbacks import Callbacks
from gateway.batch.jobs import Jobs
from gateway.batch.queue import MemoryQueue
from gateway.batch.recordings import BatchEars
from gateway.batch.settings import BatchSettings, CallbackSettings
from gateway.keys.limits import MemoryLimits
from gateway.secret import Secret
from gateway.webhook_signature import secret_octets, signed
from tests.fakes.asr import ScriptedAsr
from tests.fakes.tts import ToneTts
from tests.fakes.voices import bench
from tests.gateway.api.openai.serving import SAYS, TALK, recordings, wall
from tests.gateway.batch.test_callbacks import SECRET

T = TypeVar("T")


@dataclass
class Site:
    """The API, and a receiver of callbacks that also serves a recording."""

    client: httpx.AsyncClient
    port: int
    taken: asyncio.Queue[tuple[dict[str, str], bytes]]
    statuses: list[int] = field(default_factory=list)

    @property
    def receiver(self) -> str:
        return f"http://127.0.0.1:{self.port}/done"

    async def job(self, job_id: str) -> dict[str, Any]:
        """The job once it is over, its callback too."""
        while True:
            answer = await self.client.get(f"/v1/jobs/{job_id}")
            found: dict[str, Any] = answer.json()
            if found["status"] in ("completed", "failed") and found.get("callback") != "pending":
                return found
            await asyncio.sleep(0.02)


def run(work: Callable[[Site], Awaitable[T]], secret: str = SECRET) -> T:
    async def main() -> T:
        taken: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()
        statuses: list[int] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
                headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
                if lines[0].startswith("GET"):
                    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(TALK)}\r\n\r\n"
                    writer.write(head.encode() + TALK)
                else:
                    taken.put_nowait((headers, await reader.readexactly(int(headers["content-length"]))))
                    status = statuses.pop(0) if statuses else 200
                    writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
            finally:
                writer.close()

        files, ears = recordings(), BatchEars(ScriptedAsr(SAYS, takes=0.01), bench())
        callback = CallbackSettings(secret=Secret(secret), first_wait=0.1)
        callbacks = Callbacks(callback, files.files.outbound, lambda: wall().timestamp())
        jobs = Jobs(ears, files, MemoryQueue(waiting=10, kept=10), callbacks, settings=BatchSettings())
        parts = SpeechParts(
            asr=ears.asr, tts=ToneTts(), bench=ears.bench, wall=wall, recordings=files, jobs=jobs,
            door=Door(None, MemoryLimits(asyncio.get_running_loop().time), wall, places=10),
            new_id=iter(f"req-{number}" for number in range(99)).__next__,
        )  # fmt: skip
        api = FastAPI()
        listen_file.add(api, parts)
        waves_file.add(api, parts)
        job_routes.add_routes(api, parts)
        jobs.start()
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        transport = httpx.ASGITransport(app=api)
        try:
            async with server, asyncio.timeout(30):
                async with httpx.AsyncClient(transport=transport, base_url="http://gw") as client:
                    return await work(Site(client, server.sockets[0].getsockname()[1], taken, statuses))
        finally:
            await jobs.aclose()
            await files.aclose()
            await parts.bench.aclose()

    return asyncio.run(main())


def proved(headers: dict[str, str], body: bytes) -> bool:
    wanted = signed(
        secret_octets(SECRET, "secret"), headers["webhook-id"], int(headers["webhook-timestamp"]), body
    )
    return wanted["webhook-signature"].lower() == headers["webhook-signature"]


def test_a_file_now_its_words_later() -> None:
    async def work(site: Site) -> None:
        answer = await site.client.post("/v1/jobs", files={"audio": ("a.wav", TALK)}, data={"language": "en"})
        assert answer.status_code == 202
        found = await site.job(answer.json()["job_id"])
        assert found["status"] == "completed"
        assert found["result"]["text"] == "Hello there. Stop & go."
        assert found["progress"] == {"heard_seconds": 5.0, "total_seconds": 5.0}
        assert [word["word"] for word in found["result"]["words"]][:2] == ["Hello", "there."]

    run(work)


def test_an_address_now_a_signed_callback_later() -> None:
    async def work(site: Site) -> None:
        site.statuses.append(503)
        asked = {"url": f"http://127.0.0.1:{site.port}/a.wav", "callback_url": site.receiver}
        answer = await site.client.post("/v1/jobs", json=asked)
        job_id = answer.json()["job_id"]
        first, again = await site.taken.get(), await site.taken.get()
        assert first[0]["webhook-id"] == again[0]["webhook-id"] == job_id
        assert first[1] == again[1] and proved(*first) and proved(*again)
        assert json.loads(again[1])["result"]["text"] == "Hello there. Stop & go."
        assert (await site.job(job_id))["callback"] == "delivered"

    run(work)


def test_a_file_that_is_none_is_told_by_callback() -> None:
    async def work(site: Site) -> None:
        data = {"callback_url": site.receiver}
        answer = await site.client.post("/v1/jobs", files={"audio": ("a.wav", b"no sound")}, data=data)
        _, body = await site.taken.get()
        told = json.loads(body)
        assert told["job_id"] == answer.json()["job_id"] and told["status"] == "failed"
        assert "wav, mp3" in told["error"]

    run(work)


def test_deepgram_s_callback() -> None:
    async def work(site: Site) -> None:
        query = {"callback": site.receiver, "punctuate": "true", "tag": "t"}
        answer = await site.client.post("/v1/listen", params=query, content=TALK)
        assert answer.status_code == 200 and list(answer.json()) == ["request_id"]
        headers, body = await site.taken.get()
        assert headers["webhook-id"] == answer.json()["request_id"] and proved(headers, body)
        told = json.loads(body)
        assert told["metadata"]["request_id"] == answer.json()["request_id"]
        assert told["results"]["channels"][0]["alternatives"][0]["transcript"] == "Hello there. Stop & go."

    run(work)


def test_smallest_s_callback() -> None:
    async def work(site: Site) -> None:
        data = {"callback_url": site.receiver, "timestamps": "true"}
        answer = await site.client.post("/v1/listen", files={"audio": ("a.wav", TALK)}, data=data)
        job_id = answer.json()["job_id"]
        assert answer.json() == {"job_id": job_id, "status": "processing"}
        headers, body = await site.taken.get()
        told = json.loads(body)
        assert (told["job_id"], told["status"]) == (job_id, "completed")
        assert told["result"]["text"] == "Hello there. Stop & go." and told["result"]["words"]

    run(work)


def test_waves_webhook() -> None:
    async def work(site: Site) -> None:
        query = {
            "model": "pulse-pro", "language": "en", "word_timestamps": "true", "webhook_url": site.receiver,
            "webhook_extra": "order:4711",
        }  # fmt: skip
        answer = await site.client.post("/waves/v1/stt/", params=query, content=TALK)
        named = answer.json()["request_id"]
        assert answer.status_code == 200 and answer.json() == {"status": "processing", "request_id": named}
        headers, body = await site.taken.get()
        told = json.loads(body)
        assert headers["webhook-id"] == named == told["request_id"] and proved(headers, body)
        assert told["status"] == "success" and told["transcription"] == "Hello there. Stop & go."
        assert told["words"] and told["webhook_extra"] == "order:4711"
        assert told["metadata"]["duration"] == 5.0 and told["metadata"]["fileSize"] == len(TALK)

    run(work)


def test_waves_webhook_of_a_file_that_is_none() -> None:
    async def work(site: Site) -> None:
        query = {"model": "pulse", "language": "en", "webhook_url": site.receiver}
        await site.client.post("/waves/v1/stt/", params=query, content=b"no sound")
        told = json.loads((await site.taken.get())[1])
        assert told["status"] == "error" and "wav, mp3" in told["message"] and "webhook_extra" not in told

    run(work)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"webhook_url": "http://a/", "webhook_method": "DELETE"}, "webhook_method"),
        ({"webhook_extra": "x"}, "webhook_url"),
        ({"webhook_url": "http://a/", "webhook_extra": "x" * 5000}, "webhook_extra"),
    ],
)
def test_webhooks_that_cannot_be(query: dict[str, str], named: str) -> None:
    async def work(site: Site) -> None:
        answer = await site.client.post("/waves/v1/stt/", params=query, content=TALK)
        assert answer.status_code == 400 and named in answer.json()["message"]

    run(work)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": 7}, "url"),
        ({"url": "http://a/", "diarize": "true"}, "diarize"),
        ({"url": "http://a/", "callback_url": "http://a/", "callback_method": "DELETE"}, "callback_method"),
        ({"url": "http://a/", "language": "../"}, "language"),
    ],
)
def test_mistakes(body: dict[str, Any], field: str) -> None:
    async def work(site: Site) -> None:
        answer = await site.client.post("/v1/jobs", json=body)
        assert answer.status_code == 400 and answer.json()["error"].startswith(field)

    run(work)


def test_private_addresses_are_refused_in_the_job() -> None:
    async def work(site: Site) -> None:
        answer = await site.client.post("/v1/jobs", json={"url": "http://169.254.169.254/latest/meta-data"})
        found = await site.job(answer.json()["job_id"])
        assert found["status"] == "failed" and "not a public address" in found["error"]

    run(work)


def test_callbacks_that_nobody_set_up() -> None:
    async def work(site: Site) -> None:
        answer = await site.client.post("/v1/jobs", json={"url": "http://a/", "callback_url": "http://a/"})
        assert answer.status_code == 400 and "batch.callback.secret" in answer.json()["error"]
        assert (await site.client.get("/v1/jobs/none")).status_code == 404

    run(work, secret="")
