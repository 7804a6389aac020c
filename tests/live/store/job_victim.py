"""A batch worker as a process of its own, made to be killed: its arguments are URL, NAME and SECONDS."""

from __future__ import annotations

import asyncio
import sys

from engines.redis_client import connect
from gateway.store.job_worker import JobWorker, Report
from gateway.store.jobs import Held, Jobs
from gateway.store.keys import Keys
from gateway.store.link import Link


async def main(url: str, name: str, seconds: float) -> None:
    async def work(held: Held, report: Report) -> bytes:
        sys.stdout.write(f"took {held.job_id}\n")
        sys.stdout.flush()
        await asyncio.sleep(seconds)
        return held.payload.upper() + b" by " + name.encode()

    link = Link(connect(url, seconds=1.0), 1.0)
    await link.start()
    worker = JobWorker(Jobs(link, Keys("live"), most=1000, keep=600), name, work, lease=1.0, attempts=5)
    worker.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
