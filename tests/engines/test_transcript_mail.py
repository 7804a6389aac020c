from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import aclosing
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.base import EngineBusy, EngineFailed, Transcript
from engines.transcript_mail import UNREAD, TranscriptMail


def told(segment: int, text: str, *, final: bool = False, early: bool = False) -> Transcript:
    return Transcript(segment, text, is_final=final, early=early)


async def read(mail: TranscriptMail) -> list[str]:
    async with aclosing(mail.results()) as results:  # type: ignore[type-var]
        return [transcript.text async for transcript in results]


def texts(*posts: Transcript) -> list[str]:
    """What a reader finds who comes when all of it was posted."""

    async def main() -> list[str]:
        mail = TranscriptMail(Counter())
        for transcript in posts:
            mail.post(transcript)
        mail.close()
        return await read(mail)

    return asyncio.run(main())


def test_newer_words_take_the_place_of_older_ones_of_their_segment() -> None:
    assert texts(told(1, "a"), told(1, "a b"), told(1, "a b c", final=True)) == ["a b c"]
    assert texts(told(1, "a"), told(2, "b")) == ["a", "b"]
    assert texts(told(1, "a", final=True), told(1, "b")) == ["a", "b"]


def test_an_early_decode_gives_way_to_another_one_only() -> None:
    assert texts(told(1, "a", early=True), told(1, "b")) == ["a", "b"]
    assert texts(told(1, "a", early=True), told(1, "b", early=True)) == ["b"]


def test_an_error_comes_after_what_waits_and_once() -> None:
    async def main() -> None:
        mail = TranscriptMail(Counter())
        mail.post(told(1, "a", final=True))
        mail.fail(EngineFailed("first"))
        mail.fail(EngineBusy("second"))
        seen: list[str] = []
        with pytest.raises(EngineFailed, match="first"):
            async for transcript in mail.results():
                seen.append(transcript.text)
        mail.post(told(2, "b", final=True))
        mail.close()
        assert seen == ["a"] and await read(mail) == ["b"]

    asyncio.run(main())


def test_a_second_reader_is_told_so() -> None:
    async def main() -> None:
        mail = TranscriptMail(Counter())
        first = asyncio.create_task(read(mail))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="one reader"):
            await read(mail)
        mail.close()
        assert await first == []

    asyncio.run(main())


def test_what_is_forgotten_is_not_read() -> None:
    async def main() -> None:
        mail = TranscriptMail(Counter())
        mail.post(told(1, "a"))
        mail.post(told(2, "b"))
        mail.forget(1)
        mail.close()
        assert await read(mail) == ["b"]

    asyncio.run(main())


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 1.0))
def test_memory_is_bounded_and_finals_outlive_interims(seed: int, share: float) -> None:
    async def main() -> None:
        random, counts = Random(seed), Counter[str]()
        mail = TranscriptMail(counts)
        finals = 0
        for number in range(2 * UNREAD):
            final = random.random() < share
            finals += final
            mail.post(told(number, "final" if final else "interim", final=final))
            assert len(mail) <= UNREAD
        assert counts["unread_dropped"] == UNREAD
        mail.close()
        kept = (await read(mail)).count("final")
        assert kept == finals if finals < UNREAD else kept >= UNREAD - 1

    asyncio.run(main())
