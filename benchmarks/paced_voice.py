"""A worker whose voice speaks little faster than a person, as large voices on a busy GPU do.

The embedded voice has a reply ready long before it was heard; a fault would find nothing left to break. Run
as `python -m benchmarks.paced_voice GRPC_PORT HTTP_PORT PACE`: the embedded voice, given in short pieces at
`PACE` times the speed at which they are heard.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

from engines import registry
from engines.base import SpeechChunk, Tts, TtsOptions
from engines.riva.server import GrpcSettings
from engines.worker import serve_tts
from engines.worker_settings import HttpSettings, TtsWorkerSettings
from media.clock import now

_PIECE = 0.2
"""Seconds of one piece."""
_FIRST = 0.4
"""Seconds that come at once."""


class PacedTts:
    """A `Tts` in front of another one."""

    def __init__(self, tts: Tts, pace: float) -> None:
        self._tts, self._pace = tts, pace
        self.name, self.voices = tts.name, tts.voices

    async def speak(self, text: str, options: TtsOptions) -> AsyncIterator[SpeechChunk]:
        """The other one's speech in pieces; the first words at once, the rest at the pace."""
        began, given = now(), 0.0
        size = round(_PIECE * options.sample_rate)
        async for chunk in self._tts.speak(text, options):
            for place in range(0, len(chunk.pcm), size):
                await asyncio.sleep(began + max(0.0, given - _FIRST) / self._pace - now())
                piece = chunk.pcm[place : place + size]
                given += len(piece) / options.sample_rate
                yield SpeechChunk(piece, chunk.words if not place else ())

    async def warm_up(self) -> None:
        await self._tts.warm_up()

    async def aclose(self) -> None:
        await self._tts.aclose()


def main(grpc_port: int, http_port: int, pace: float) -> None:
    """Serve until SIGTERM."""
    settings = TtsWorkerSettings(grpc=GrpcSettings(port=grpc_port), http=HttpSettings(port=http_port))
    asyncio.run(serve_tts(lambda report: PacedTts(registry.tts("hibari"), pace), settings))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
