"""Our own offers: one at a time, glare waited out, and nothing changed by a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.clock import now
from media.legs.base import LegError
from media.legs.sip_hold import Hold, glare_wait
from tests.virtual_time import run_virtual


class FarEnd:
    """Answers each offer by its script."""

    def __init__(self, *codes: int, busy: int = 0) -> None:
        self.codes = list(codes)
        self.busy = busy
        self.offers: list[tuple[bool, float]] = []
        self.hold = Hold(self.send, owns_call_id=True, chance=lambda: 0.5)

    async def send(self, on: bool) -> None:
        if self.busy:
            self.busy -= 1
            raise LegError("under way", sip_code=491)
        self.offers.append((on, now()))
        if self.codes:
            asyncio.get_running_loop().call_later(0.1, self.hold.answered, self.codes.pop(0))


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    run_virtual(main())


def test_hold_and_back_are_one_offer_each() -> None:
    async def main() -> None:
        far = FarEnd(200, 200)
        await far.hold.set(True)
        await far.hold.set(True)
        await asyncio.gather(far.hold.set(False), far.hold.set(False))
        assert [on for on, _ in far.offers] == [True, False] and not far.hold.on

    run(main)


def test_a_refusal_changes_nothing() -> None:
    async def main() -> None:
        far = FarEnd(488, 200)
        with pytest.raises(LegError) as refused:
            await far.hold.set(True)
        assert refused.value.sip_code == 488 and not far.hold.on
        await far.hold.set(True)
        assert far.hold.on

    run(main)


@pytest.mark.parametrize(("codes", "busy"), [((491, 491, 200), 0), ((200,), 2)])
def test_glare_is_waited_out(codes: tuple[int, ...], busy: int) -> None:
    async def main() -> None:
        far = FarEnd(*codes, busy=busy)
        await far.hold.set(True)
        assert far.hold.on and far.hold.glares == 2 and 6.0 < now() < 6.6

    run(main)


def test_glare_without_end_is_given_up() -> None:
    async def main() -> None:
        far = FarEnd(*[491] * 9)
        with pytest.raises(LegError) as given_up:
            await far.hold.set(True)
        assert given_up.value.sip_code == 491 and len(far.offers) == 4

    run(main)


def test_the_end_of_the_call_ends_the_wait() -> None:
    async def main() -> None:
        far = FarEnd()
        asyncio.get_running_loop().call_later(1.0, far.hold.close)
        with pytest.raises(LegError) as over:
            await far.hold.set(True)
        assert over.value.sip_code == 481 and now() == pytest.approx(1.0)
        with pytest.raises(LegError):
            await far.hold.set(True)

    run(main)


@given(st.booleans(), st.floats(0, 1))
def test_the_wait_after_glare_keeps_to_the_standard(owner: bool, chance: float) -> None:
    """RFC 3261 section 14.1: 2.1 to 4 s for the owner of the Call-ID, else 0 to 2 s, in units of 10 ms."""
    low, high = (2.1, 4.0) if owner else (0.0, 2.0)
    wait = glare_wait(owner, chance)
    assert low <= wait <= high and round(wait * 100) == pytest.approx(wait * 100)
