from __future__ import annotations

import asyncio

from gateway.idle_memory import IdleMemory, give_back
from tests.virtual_time import run_virtual


def test_memory_goes_back_once_after_calls_and_never_while_somebody_calls() -> None:
    async def main() -> None:
        calls, given = 1, [0.0]
        now = asyncio.get_running_loop().time

        async def note() -> None:
            given.append(now())

        memory = IdleMemory(lambda: calls, note)
        memory.start()
        await asyncio.sleep(60.0)
        assert len(given) == 1
        calls = 0
        await asyncio.sleep(60.0)
        assert len(given) == 2 and 65.0 <= given[-1] <= 75.0
        calls = 1
        await asyncio.sleep(20.0)
        calls = 0
        await asyncio.sleep(60.0)
        assert len(given) == 3
        await memory.aclose()

    run_virtual(main())


def test_the_c_library_takes_it() -> None:
    asyncio.run(give_back())
