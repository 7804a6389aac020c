"""Sounds that go round: kept while they are short, opened anew when they are long, over when empty."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import numpy as np
import pytest

from gateway.agents.base import PlaySound
from gateway.calls.sounds import looped
from media.frame import Pcm

RATE = 8000


class Source:
    """Blocks of a second, counted by their level; remembers how often it was opened and closed."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self.opened = self.closed = 0

    async def open(self, rate: int) -> AsyncGenerator[Pcm, None]:
        self.opened += 1
        try:
            for second in range(self.seconds):
                yield np.full(rate, second, np.int16)
        finally:
            self.closed += 1


def heard(source: Source, loops: int, most: int = 1000) -> list[int]:
    async def listen() -> list[int]:
        levels: list[int] = []
        async with aclosing(looped(PlaySound(source.open, loops), RATE)) as blocks:
            async for block in blocks:
                levels.append(int(block[0]))
                if len(levels) == most:
                    break
        return levels

    return asyncio.run(listen())


@pytest.mark.parametrize(("seconds", "opened"), [(2, 1), (30, 1), (31, 3)])
def test_as_often_as_it_is_wanted(seconds: int, opened: int) -> None:
    source = Source(seconds)
    assert heard(source, 3) == 3 * list(range(seconds))
    assert source.opened == source.closed == opened


def test_for_ever_until_nobody_listens() -> None:
    source = Source(2)
    assert heard(source, 0, most=101) == [*(50 * [0, 1]), 0]
    assert source.opened == source.closed == 1


def test_an_empty_sound_does_not_go_round_for_ever() -> None:
    source = Source(0)
    assert heard(source, 0) == []
    assert source.opened == 1
