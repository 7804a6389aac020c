"""Chunks for one reader, and a reader who does not come."""

from __future__ import annotations

import asyncio
import threading

import pytest

from engines.base import EngineBusy, EngineFailed
from engines.coqui.mail import MOST, Mail


def test_chunks_come_in_order_from_another_thread() -> None:
    async def main() -> None:
        mail = Mail[int]()

        def work() -> None:
            for number in (*range(5), None):
                mail.put(number)

        thread = threading.Thread(target=work)
        thread.start()
        assert [await mail.get() for _ in range(6)] == [0, 1, 2, 3, 4, None]
        thread.join()
        mail.put(EngineBusy("full"))
        with pytest.raises(EngineBusy):
            await mail.get()

    asyncio.run(main())


def test_what_nobody_takes_is_bounded_counted_and_told() -> None:
    async def main() -> None:
        unread: list[str] = []
        mail = Mail[int](lambda: unread.append("one"))
        for number in range(MOST + 10):
            mail.put(number)
        mail.put(None)
        await asyncio.sleep(0)
        assert [await mail.get() for _ in range(MOST)] == list(range(MOST))
        with pytest.raises(EngineFailed, match="were not taken"):
            await mail.get()
        assert len(unread) == 11

    asyncio.run(main())
