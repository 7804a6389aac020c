"""Sending the far end away, and being asked by it: the loop's side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from media.clock import now
from media.legs.base import LegError
from media.legs.sip_call import SipCall
from media.legs.sip_referral import ReferAnswered, ReferNotified
from media.legs.sip_referred import Referred, phrase
from media.legs.sip_transfer import Transfer
from tests.virtual_time import run_virtual


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    run_virtual(main())


async def sent() -> None:
    """The REFER has left."""


def later(seconds: float, do: Callable[..., object], *arguments: object) -> None:
    asyncio.get_running_loop().call_later(seconds, do, *arguments)


async def failure(transfer: Transfer, deadline: float = 5.0) -> int:
    try:
        await transfer.run(sent, deadline=deadline, progress=lambda code: None)
    except LegError as error:
        return error.sip_code
    return 0


def test_each_report_is_told_and_success_ends_it() -> None:
    async def main() -> None:
        transfer, told = Transfer(), list[int]()
        later(0.1, transfer.answered, ReferAnswered(202, 2))
        later(0.2, transfer.notified, ReferNotified(180, 2, False))
        later(0.9, transfer.notified, ReferNotified(200, 2, True))
        await transfer.run(sent, deadline=5.0, progress=told.append)
        assert told == [180, 200] and transfer.gone and now() == pytest.approx(0.9)
        assert await failure(transfer) == 481

    run(main)


def test_a_far_end_that_hangs_up_right_after_its_report_has_gone() -> None:
    """Both came in one step of the loop, before whoever transferred it could go on."""

    async def main() -> None:
        transfer, ends = Transfer(), list[bool]()

        def report_and_hang_up() -> None:
            transfer.notified(ReferNotified(200, 2, True))
            ends.append(transfer.closed(by_far_end=True, code=200))

        later(0.1, transfer.answered, ReferAnswered(202, 2))
        later(0.2, report_and_hang_up)
        assert await failure(transfer) == 0 and ends == [True]

    run(main)


def test_one_at_a_time_and_a_second_try_after_a_failure() -> None:
    async def main() -> None:
        transfer = Transfer()
        first = asyncio.ensure_future(failure(transfer, 2.0))
        await asyncio.sleep(0.1)
        assert await failure(transfer) == 491
        transfer.answered(ReferAnswered(202, 2))
        assert await first == 408
        later(0.1, transfer.notified, ReferNotified(200, 2, True))  # late, of the first
        later(0.2, transfer.answered, ReferAnswered(202, 3))
        later(0.3, transfer.notified, ReferNotified(486, 3, True))
        assert await failure(transfer) == 486

    run(main)


@pytest.mark.parametrize(("by_far_end", "gone", "code"), [(True, True, 0), (False, False, 503)])
def test_the_end_of_the_call_is_an_end(by_far_end: bool, gone: bool, code: int) -> None:
    async def main() -> None:
        transfer = Transfer()
        later(0.1, transfer.answered, ReferAnswered(202, 2))
        later(0.5, lambda: transfer.closed(by_far_end=by_far_end, code=503))
        assert await failure(transfer) == code and transfer.gone == gone

    run(main)


class Call:
    """What the leg asks of the SIP thread."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.referred = Referred(self.run, lambda do: do(cast(SipCall, self)))

    async def run(self, do: Callable[[SipCall], None]) -> None:
        do(cast(SipCall, self))

    def answer_refer(self, code: int) -> None:
        self.asked.append(("answer", code))

    def report_refer(self, code: int, phrase: str) -> None:
        self.asked.append(("report", code))


def test_a_request_is_accepted_and_reported_on_until_its_end() -> None:
    async def main() -> None:
        call = Call()
        call.referred.asked()
        await call.referred.accept()
        await call.referred.report(180)
        await call.referred.report(200)
        with pytest.raises(LegError):
            await call.referred.report(200)
        assert call.asked == [("answer", 202), ("report", 100), ("report", 180), ("report", 200)]

    run(main)


def test_a_request_is_refused_once_also_when_nobody_decides() -> None:
    async def main() -> None:
        call = Call()
        await call.referred.refuse(603)
        call.referred.asked()
        await call.referred.refuse(403)
        await call.referred.refuse(403)
        call.referred.asked()
        await asyncio.sleep(6.0)
        with pytest.raises(LegError):
            await call.referred.accept()
        assert call.asked == [("answer", 403), ("answer", 603)]

    run(main)


@pytest.mark.parametrize("code", [0, 99, 700])
def test_what_is_no_code_is_refused(code: int) -> None:
    async def main() -> None:
        call = Call()
        call.referred.asked()
        with pytest.raises(LegError):
            await call.referred.refuse(code)
        await call.referred.accept()
        with pytest.raises(LegError):
            await call.referred.report(code)
        call.referred.close()

    run(main)


def test_every_code_has_a_phrase() -> None:
    assert phrase(180) == "Ringing" and phrase(404) == "Not Found"
    assert all(phrase(code).isprintable() and phrase(code) for code in range(100, 700))
