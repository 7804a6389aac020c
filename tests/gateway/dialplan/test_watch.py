"""Hot reload: new files count from the next call on, broken ones change nothing."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.dialplan.match import Arrival
from gateway.dialplan.watch import DialplanSettings, DialplanWatcher
from gateway.errors import DialplanFileError
from media.legs.base import Parties

ONE = "routes:\n  - {name: one, match: {called: 1}, actions: [reject]}\n"
TWO = "routes:\n  - {name: two, match: {called: 1}, actions: [reject]}\n"


def watcher(path: Path, heard: list[bool], seconds: float = 0.1) -> DialplanWatcher:
    return DialplanWatcher(DialplanSettings((path,), seconds), {"echo"}, heard.append)


def test_a_change_is_taken_and_a_running_call_keeps_its_route(tmp_path: Path) -> None:
    path, heard = tmp_path / "plan.yaml", list[bool]()
    path.write_text(ONE)

    async def scene() -> None:
        watch = watcher(path, heard)
        running = watch.plan.route(Arrival(Parties("", "1"), datetime.now(UTC)))
        assert await watch.check() is False
        path.write_text(TWO)
        os.utime(path, ns=(1, 1))
        assert await watch.check() is True
        assert watch.plan.routes[0].name == "two"
        assert running.name == "one"

    asyncio.run(scene())
    assert heard == [True]


def test_a_broken_file_keeps_the_old_plan_and_is_counted(tmp_path: Path) -> None:
    path, heard = tmp_path / "plan.yaml", list[bool]()
    path.write_text(ONE)

    async def scene() -> None:
        watch = watcher(path, heard)
        before = watch.plan
        path.write_text("routes: [oops")
        await watch.check()
        assert watch.plan is before
        assert watch.error is not None
        assert "plan.yaml:1" in str(watch.error)
        path.unlink()
        await watch.check()
        assert watch.plan is before
        path.write_text(TWO)
        await watch.check()
        assert watch.error is None
        assert watch.plan.routes[0].name == "two"

    asyncio.run(scene())
    assert heard == [False, False, True]


def test_a_new_file_in_a_folder_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(ONE)

    async def scene() -> None:
        watch = watcher(tmp_path, [])
        (tmp_path / "b.yaml").write_text(TWO)
        assert await watch.check() is True
        assert [route.name for route in watch.plan.routes] == ["one", "two"]

    asyncio.run(scene())


def test_it_looks_by_itself_until_closed(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(ONE)

    async def scene() -> None:
        seen = asyncio.Event()
        watch = DialplanWatcher(DialplanSettings((path,), 0.1), set(), lambda ok: seen.set())
        watch.start()
        watch.start()
        path.write_text(TWO)
        os.utime(path, ns=(1, 1))
        await asyncio.wait_for(seen.wait(), 5)
        assert watch.plan.routes[0].name == "two"
        await watch.aclose()
        await watch.aclose()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scene())


def test_a_broken_file_at_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DialplanFileError):
        watcher(tmp_path / "none.yaml", [])


def test_zero_never_looks(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(ONE)

    async def scene() -> None:
        watch = watcher(path, [], seconds=0)
        watch.start()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scene())


def test_an_impossible_period_is_refused() -> None:
    with pytest.raises(ValueError, match="reload_seconds"):
        DialplanSettings(reload_seconds=0.01)
