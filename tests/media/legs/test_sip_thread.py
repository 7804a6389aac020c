"""The SIP thread: commands run in order and soon, a stuck or broken machine harms nobody else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from media.legs.base import LegError
from media.legs.sip_thread import SipThread, WakeUps


class ScriptedMachine:
    """Sleeps in `poll` until it is woken, like PJSIP does."""

    def __init__(self, *, fail_open: bool = False, fail_polls: int = 0) -> None:
        self.woken = threading.Event()
        self.closed = 0
        self.thread: int | None = None
        self._fail_open = fail_open
        self._fail_polls = fail_polls

    def open(self) -> None:
        self.thread = threading.get_ident()
        if self._fail_open:
            raise OSError("address already in use")

    def poll(self, milliseconds: int) -> None:
        if self._fail_polls:
            self._fail_polls -= 1
            raise ValueError("odd packet")
        self.woken.wait(milliseconds / 1000)
        self.woken.clear()

    def close(self) -> None:
        self.closed += 1


def with_thread(machine: ScriptedMachine, test: Callable[[SipThread], Awaitable[None]]) -> None:
    async def main() -> None:
        thread = SipThread(machine, machine.woken.set, asyncio.get_running_loop())
        await thread.start()
        try:
            await test(thread)
        finally:
            await thread.stop()

    asyncio.run(main())
    assert machine.closed == 1


def test_commands_run_on_the_one_thread_in_order() -> None:
    machine = ScriptedMachine()
    seen: list[int] = []

    async def test(thread: SipThread) -> None:
        for i in range(100):
            assert thread.post(lambda i=i: seen.append(i))  # type: ignore[misc]
        assert await thread.run(threading.get_ident) == machine.thread
        assert thread.wake_ups.quantile_ms(1.0) > 0

    with_thread(machine, test)
    assert seen == list(range(100))


def test_an_exception_of_a_command_comes_back_to_its_caller() -> None:
    async def test(thread: SipThread) -> None:
        with pytest.raises(ZeroDivisionError):
            await thread.run(lambda: 1 // 0)
        assert await thread.run(lambda: 7) == 7

    with_thread(ScriptedMachine(), test)


def test_a_failed_post_or_poll_is_counted_and_the_thread_goes_on() -> None:
    async def test(thread: SipThread) -> None:
        thread.post(lambda: [][0])
        assert await thread.run(lambda: 7) == 7
        for _ in range(100):
            await asyncio.sleep(0.002 if thread.failures < 3 else 0)
        assert thread.failures == 3

    with_thread(ScriptedMachine(fail_polls=2), test)


def test_commands_waiting_at_the_end_still_run() -> None:
    done: list[str] = []

    async def test(thread: SipThread) -> None:
        thread.post(lambda: done.append("bye"))

    with_thread(ScriptedMachine(), test)
    assert done == ["bye"]


def test_after_the_end_commands_are_refused() -> None:
    async def main() -> None:
        machine = ScriptedMachine()
        thread = SipThread(machine, machine.woken.set, asyncio.get_running_loop())
        await thread.start()
        await thread.stop()
        await thread.stop()
        assert not thread.post(lambda: None)
        with pytest.raises(LegError):
            await thread.run(lambda: 1)
        assert thread.overflows == 2

    asyncio.run(main())


def test_a_machine_that_cannot_open_says_why_and_leaves_no_thread() -> None:
    async def main() -> None:
        machine = ScriptedMachine(fail_open=True)
        thread = SipThread(machine, machine.woken.set, asyncio.get_running_loop())
        with pytest.raises(LegError, match="address already in use"):
            await thread.start()
        await thread.stop()
        assert machine.closed == 1

    asyncio.run(main())
    assert not any(thread.name == "offhook-sip" for thread in threading.enumerate())


def test_wake_ups_report_quantiles_by_bucket() -> None:
    wake_ups = WakeUps()
    assert wake_ups.quantile_ms(0.5) == 0.0
    for _ in range(98):
        wake_ups.add(0.00015)
    wake_ups.add(0.004)
    wake_ups.add(0.5)
    assert wake_ups.quantile_ms(0.5) == 0.2
    assert wake_ups.quantile_ms(0.99) == 5.0
    assert wake_ups.quantile_ms(1.0) == 500.0
