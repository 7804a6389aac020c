"""How tests read a stream's transcripts: until the one they want, and then no further."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import cast

from engines.base import AsrStream, EngineError, Transcript


async def next_of(stream: AsrStream, wanted: Callable[[Transcript], bool]) -> Transcript:
    """The next transcript like that; what comes before it is read over."""
    async with aclosing(cast("AsyncGenerator[Transcript, None]", stream.results())) as results:
        async for transcript in results:
            if wanted(transcript):
                return transcript
    raise AssertionError("the stream ended")


def final(transcript: Transcript) -> bool:
    return transcript.is_final


def early(transcript: Transcript) -> bool:
    return transcript.early


async def failure(stream: AsrStream) -> EngineError:
    """The error that costs a segment its final."""
    try:
        await next_of(stream, final)
    except EngineError as error:
        return error
    raise AssertionError("nothing failed")
