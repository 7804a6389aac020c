"""The store against a real redis-server: killed, stopped, restarted, as a cluster and behind Sentinel."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from engines.fleet import AnnounceSettings
from engines.fleet_announce import Announcer, Load
from engines.fleet_redis import RedisFleet, RedisFleetSettings
from engines.redis_client import connect
from gateway.batch.job import Job
from gateway.batch.store_queue import StoreQueue
from gateway.errors import PartFailed, StoreLost
from gateway.store.jobs import Jobs, JobState
from gateway.store.keys import Keys
from gateway.store.limits import Limits
from gateway.store.link import Link
from gateway.store.settings import RedisSettings
from gateway.store.store import Store, open_store
from media.clock import now
from tests.engines.riva.fakes import run, until
from tests.gateway.store.parts import numbered, reported
from tests.live.store.redis_process import answers, free_port, redis_server

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[3]


def go(main: Coroutine[Any, Any, None]) -> None:
    run(main, 60.0)


async def used(store: Store) -> list[int]:
    """Every usage event there is, settled."""
    return sorted(await reported(store.usage))


async def all_handed_on(store: Store) -> None:
    """Redis surely has everything that was noted."""
    await until(lambda: store.link.up and not store.usage.stats()["spool_bytes"], 30.0)


def test_the_local_server_is_private_and_keeps_jobs_and_usage_over_kills(tmp_path: Path) -> None:
    async def main() -> None:
        store = await open_store(RedisSettings(prefix="live"), "node", tmp_path)
        assert store.mode == "server"
        server = store._server
        assert server is not None
        folder = Path(server.url.removeprefix("unix://")).parent
        assert folder.stat().st_mode & 0o77 == 0 and (tmp_path / "redis").stat().st_mode & 0o77 == 0
        store.sessions.put("call", "1", 0.0, {"route": "echo"})
        for number in range(3):
            assert await store.jobs.submit(f"job-{number}", b"x")
        for number in range(900):
            store.usage.note(numbered(number))
            if number in (200, 500):
                os.kill(server.pid, signal.SIGKILL)
                await until(lambda: not store.link.up)
                with pytest.raises(StoreLost):
                    await store.jobs.submit("never", b"")
            if number % 20 == 0:
                await asyncio.sleep(0.01)
            if number == 400:
                await until(lambda: store.link.up, 10.0)
        await all_handed_on(store)
        assert server.restarts == 2
        assert await store.jobs.waiting() == 3
        assert await used(store) == list(range(900))
        await until(lambda: not store.sessions._dirty)
        await asyncio.sleep(0.3)
        assert [s.session_id for s in await store.sessions.all("call")] == ["1"]
        pid = server.pid
        await store.aclose()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert not folder.exists()
        again = await open_store(RedisSettings(prefix="live"), "node", tmp_path)
        assert await again.jobs.waiting() == 3 and await used(again) == []
        await again.aclose()

    go(main())


def test_a_stopped_server_holds_nobody_up(tmp_path: Path) -> None:
    async def main() -> None:
        store = await open_store(RedisSettings(prefix="live", deadline_seconds=0.2), "node", tmp_path)
        server = store._server
        assert server is not None
        os.kill(server.pid, signal.SIGSTOP)
        try:
            begun = now()
            with pytest.raises(StoreLost):
                await store.jobs.view("x")
            first, begun = now() - begun, now()
            for _ in range(100):
                with pytest.raises(StoreLost):
                    await store.jobs.view("x")
                assert await store.limits.take("key", 6000) == 0.0
            assert first < 0.4 and now() - begun < 0.4
            store.sessions.put("call", "1", 0.0, {})
            store.usage.note(numbered(1))
            store.fleet.workers("asr")
            await until(lambda: store.stats().get("dropped_session_writes") == 1.0)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        await all_handed_on(store)
        assert await used(store) == [1]
        assert server.restarts == 0
        await store.aclose()

    go(main())


def test_a_worker_killed_in_the_middle_loses_no_job_and_no_result_comes_twice(tmp_path: Path) -> None:
    async def victim(url: str, name: str, seconds: float) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.live.store.job_victim", url, name, str(seconds),
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        return process

    async def main() -> None:
        port = free_port()
        async with redis_server(tmp_path, port):
            url = f"redis://127.0.0.1:{port}"
            link, keys = Link(connect(url, seconds=1.0), 1.0), Keys("live")
            await link.start()
            jobs = Jobs(link, keys, most=100, keep=600)
            queue = StoreQueue(jobs, "asking")
            for number in range(6):
                await queue.put(Job(f"job-{number}", "offhook", "en-US", url="https://a.example/"))
            doomed = await victim(url, "doomed", 60.0)
            stopped = await victim(url, "stopped", 1.5)
            assert doomed.stdout is not None and stopped.stdout is not None
            assert b"took" in await doomed.stdout.readline() and b"took" in await stopped.stdout.readline()
            doomed.kill()
            stopped.send_signal(
                signal.SIGSTOP
            )  # it will come back and finish a job that is another's by then
            healthy = await victim(url, "healthy", 0.1)
            await until_done(queue, 6)
            stopped.send_signal(signal.SIGCONT)
            await asyncio.sleep(2.0)
            found = [await queue.look(f"job-{number}", "") for number in range(6)]
            assert [progress.body for progress in found if progress] == [{"by": "healthy"}] * 6
            finished = await link.call(lambda client: client.xrange(keys.finished))
            ids = sorted(fields[b"id"].rpartition(b":")[2] for _, fields in finished)
            assert ids == [f"job-{number}".encode() for number in range(6)]
            assert await jobs.waiting() == 0
            for process in (doomed, stopped, healthy):
                if process.returncode is None:
                    process.kill()
                await process.communicate()
            await link.aclose()

    go(main())


async def until_done(queue: StoreQueue, count: int) -> None:
    async with asyncio.timeout(30.0):
        left = {f"job-{number}" for number in range(count)}
        for _ in range(600):
            found = {name: await queue.look(name, "") for name in left}
            left -= {name for name, progress in found.items() if progress and progress.over}
            if not left:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"never done: {left}")


def test_an_external_server_restarted_under_load_is_found_again(tmp_path: Path) -> None:
    async def main() -> None:
        port = free_port()
        options = ("--appendonly", "yes", "--appendfsync", "everysec", "--requirepass", "hush")
        url = f"redis://:hush@127.0.0.1:{port}"
        settings = RedisSettings(prefix="live", url=url)
        numbers = iter(range(10_000))
        count = 0
        async with redis_server_with_password(tmp_path, port, url, *options) as first:
            store = await open_store(settings, "node", tmp_path)
            for number in numbers:
                store.usage.note(numbered(number))
                await asyncio.sleep(0.001)
                if (count := number + 1) == 300:
                    first.kill()
                    await first.wait()
                    break
        for number in numbers:
            store.usage.note(numbered(number))
            await asyncio.sleep(0.001)
            if (count := number + 1) == 500:
                break
        await until(lambda: not store.link.up)
        async with redis_server_with_password(tmp_path, port, url, *options):
            await all_handed_on(store)
            await asyncio.sleep(0.3)
            assert await used(store) == list(range(count))
            await store.aclose()

    go(main())


def redis_server_with_password(folder: Path, port: int, url: str, *options: str) -> Any:
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def serving() -> Any:
        binary = "redis-server"
        process = await asyncio.create_subprocess_exec(
            binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", *options,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await answers(url)
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    return serving()


def test_two_nodes_do_not_share_a_local_server_folder(tmp_path: Path) -> None:
    async def main() -> None:
        first = await open_store(RedisSettings(), "one", tmp_path)
        second = await open_store(RedisSettings(), "two", tmp_path)
        assert (first.mode, second.mode) == ("server", "process")
        with pytest.raises(PartFailed, match="another node"):
            await open_store(RedisSettings(local="server"), "three", tmp_path)
        await first.aclose()
        await second.aclose()

    go(main())


def test_the_server_ends_with_a_node_that_is_killed(tmp_path: Path) -> None:
    script = f"""
import asyncio, pathlib, sys
from gateway.store.settings import RedisSettings
from gateway.store.store import open_store
async def main():
    store = await open_store(RedisSettings(), "node", pathlib.Path({str(tmp_path)!r}))
    print("pid", store._server.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""

    async def main() -> None:
        node = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert node.stdout is not None
        pid = 0
        while not pid:
            line = await node.stdout.readline()
            pid = int(line.split()[1]) if line.startswith(b"pid ") else 0
        node.kill()
        await node.wait()
        await until(lambda: not Path(f"/proc/{pid}/cmdline").exists() or ended(pid))

    go(main())


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_workers_are_seen_through_a_real_server_that_is_stopped_for_a_while(tmp_path: Path) -> None:
    async def main() -> None:
        port = free_port()
        url = f"redis://127.0.0.1:{port}"
        async with redis_server(tmp_path, port) as server:
            said = AnnounceSettings(redis=url, heartbeat_seconds=0.1, ttl_seconds=1.0)
            worker = Announcer(said, "tts", "10.0.0.1:8876", lambda: Load("hibari", 3, 8, True))
            client = connect(url, seconds=0.3)
            fleet = RedisFleet(client, settings=RedisFleetSettings(0.1, 60.0, 0.3))
            await fleet.start()
            worker.start()
            await until(lambda: len(fleet.workers("tts")) == 1)
            assert fleet.workers("tts")[0].running == 3
            server.send_signal(signal.SIGSTOP)
            await until(lambda: fleet.lost)
            begun = now()
            assert len(fleet.workers("tts")) == 1 and now() - begun < 0.01
            server.send_signal(signal.SIGCONT)
            await until(lambda: not fleet.lost)
            await worker.aclose()
            await until(lambda: fleet.workers("tts") == ())
            await fleet.aclose()
            await client.aclose()

    go(main())


def test_a_cluster_serves_every_part(tmp_path: Path) -> None:
    async def main() -> None:
        port = free_port()
        async with redis_server(
            tmp_path, port, "--cluster-enabled", "yes", "--cluster-port", str(free_port())
        ):
            plain = connect(f"redis://127.0.0.1:{port}", seconds=2.0)
            command: Any = plain.execute_command
            await command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
            for _ in range(200):
                if "cluster_state:ok" in str(await command("CLUSTER", "INFO")):
                    break
                await asyncio.sleep(0.05)
            await plain.aclose()
            settings = RedisSettings(
                prefix="live", url=f"redis+cluster://127.0.0.1:{port}", deadline_seconds=2
            )
            await all_parts_work(settings, tmp_path)

    go(main())


def test_sentinel_finds_the_master(tmp_path: Path) -> None:
    async def main() -> None:
        port, watch = free_port(), free_port()
        config = tmp_path / "sentinel.conf"
        config.write_text(f"sentinel monitor boss 127.0.0.1 {port} 1\n")
        async with redis_server(tmp_path, port), redis_server(tmp_path, watch, str(config), "--sentinel"):
            url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{watch}/boss"
            await all_parts_work(RedisSettings(prefix="live", url=url, deadline_seconds=2), tmp_path)

    go(main())


async def all_parts_work(settings: RedisSettings, folder: Path) -> None:
    store = await open_store(settings, "node", folder)
    assert store.mode == "external"
    await until(lambda: store.link.up)
    losses = store.link.losses  # a Sentinel that has just begun may not know its master yet
    assert await store.jobs.submit("one", b"x")
    held = await store.jobs.next("w", 5.0)
    assert held is not None and await store.jobs.renew(held, "w", 0.5)
    assert await store.jobs.finish(held, JobState.DONE, b"y")
    store.sessions.put("call", "1", 0.0, {})
    store.usage.note(numbered(7))
    await until(lambda: store.usage.counts["handed_on"] >= 1)
    assert await used(store) == [7]
    await asyncio.sleep(0.5)
    assert len(await store.sessions.all("call")) == 1
    limits = Limits(store.link, store.keys, lambda: 0.0)
    assert await limits.take("k", 60) == 0.0 and await limits.enter("k", "l", 1, 5)
    await limits.leave("k", "l")
    said = AnnounceSettings(redis=settings.url, prefix="live", heartbeat_seconds=0.1, ttl_seconds=1.0)
    worker = Announcer(said, "asr", "a:1", lambda: Load("x", 0, 1, True))
    worker.start()
    await until(lambda: len(store.fleet.workers("asr")) == 1)
    await worker.aclose()
    await until(lambda: store.fleet.workers("asr") == ())
    assert store.link.losses == losses and not store.link.dropped
    await store.aclose()
