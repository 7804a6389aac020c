"""A node of the batch queue as a process of its own, made to be killed: its arguments: URL NAME SECONDS."""

from __future__ import annotations

import asyncio
import sys

from engines.redis_client import connect
from gateway.batch.job import JobState, Progress
from gateway.batch.store_queue import StoreQueue
from gateway.store.jobs import Jobs
from gateway.store.keys import Keys
from gateway.store.link import Link


async def main(url: str, name: str, seconds: float) -> None:
    link = Link(connect(url, seconds=1.0), 1.0)
    await link.start()
    jobs = Jobs(link, Keys("live"), most=1000, keep=600)
    queue = StoreQueue(jobs, name, lease=1.0, attempts=5)
    while True:
        job = await queue.take()
        sys.stdout.write(f"took {job.job_id}\n")
        sys.stdout.flush()
        await asyncio.sleep(seconds)
        await queue.tell(job.job_id, Progress(JobState.DONE, job.owner, body={"by": name}))
        await queue.settle(job.job_id)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
