"""Usage of one service, on disk until it is reported."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from license import outbox as module
from license.journal import Journal
from license.outbox import DiskOutbox
from license.usage import Kind, UsageEvent
from tests.engines.riva.fakes import until


def event(number: int) -> UsageEvent:
    return UsageEvent(f"{number:032x}", Kind.LISTEN, 29_000_000)


@asynccontextmanager
async def opened(folder: Path, most: int = 1_000_000) -> AsyncIterator[DiskOutbox]:
    outbox = DiskOutbox(folder, most)
    await outbox.start()
    try:
        yield outbox
    finally:
        await outbox.aclose()


def test_events_are_on_disk_a_moment_later_and_outlive_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as outbox:
            outbox.note(event(1))
            await until(lambda: outbox.waiting_octets > 0)
            outbox.note(event(2))
        async with opened(tmp_path) as again:
            parcel = await again.take()
            assert parcel is not None and parcel.events == (event(1), event(2))
            await again.settled(parcel)
            assert await again.take() is None and again.waiting_octets == 0

    asyncio.run(main())


def test_two_nodes_never_share_a_folder(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "usage") as first, opened(tmp_path / "usage") as second:
            first.note(event(1))
            second.note(event(2))
            one, two = await first.take(), await second.take()
            assert one is not None and two is not None
            assert (one.events, two.events) == ((event(1),), (event(2),))

    asyncio.run(main())
    assert {path.name for path in tmp_path.iterdir()} == {"usage", "usage-2"}


def test_noting_never_waits_and_what_finds_no_room_is_counted(tmp_path: Path) -> None:
    async def main() -> None:
        never_started = DiskOutbox(tmp_path / "nowhere")
        for number in range(module._QUEUED + 5):
            never_started.note(event(number))
        assert never_started.dropped == 5 and await never_started.take() is None
        async with opened(tmp_path / "small", most=400) as outbox:
            for number in range(20):
                outbox.note(event(number))
                await outbox.take()
            kept = await outbox.take()
            assert kept is not None and len(kept.events) + outbox.dropped == 20

    asyncio.run(main())


def test_a_disk_that_refuses_is_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    class Refusing(Journal):
        def append(self, events: object) -> None:
            raise OSError(28, "No space left on device")

    async def main() -> None:
        outbox = DiskOutbox(tmp_path)
        outbox._journal = Refusing(tmp_path)
        outbox.note(event(1))
        assert await outbox.take() is None and outbox.dropped == 1

    asyncio.run(main())
