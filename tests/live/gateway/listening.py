"""What a caller says and hears: recorded prompts as µ-law, and the words on a recording's channels."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import numpy as np

from callers.speech import Prompt, build_track, load_prompts
from engines import registry
from engines.base import Asr, AsrOptions
from media.frame import AudioFrame, Pcm
from media.wav import read_wav

SPEECH = Path(__file__).resolve().parents[2] / "data" / "speech"
_RATE, _FRAME = 8000, 160


def prompt(name: str) -> Prompt:
    """One of the recordings that come with the tests."""
    return next(prompt for prompt in load_prompts(SPEECH) if prompt.name == name)


def speech(folder: Path, *names: str, lead: float = 0.4, room: float = 4.0) -> Path:
    """A caller's µ-law file: these prompts, with silence before, between and after."""
    track = build_track([prompt(name) for name in names], lead=lead, gap=room, tail=room)
    return track.write_ulaw(folder / f"{'-'.join(names)}-{lead}-{room}.ulaw")


class Listener:
    """Reads recordings with the embedded recogniser."""

    def __init__(self) -> None:
        self._asr: Asr = registry.asr("moonshine")

    def heard_by_caller(self, recording: Path) -> str:
        """The words on the right channel: ours."""
        sound, rate = read_wav(recording)
        assert sound.shape[1] == 2 and rate == _RATE
        return self.heard_in(sound[:, 1])

    def heard_in(self, pcm: Pcm) -> str:
        """The words in samples at 8 kHz."""
        return asyncio.run(self._words(pcm))

    def words(self, pcm: Pcm) -> str:
        """The words of samples at 8 kHz."""
        return asyncio.run(self._words(pcm))

    async def _words(self, pcm: Pcm) -> str:
        stream = self._asr.stream(AsrOptions(sample_rate=_RATE, interim=False))
        try:
            stream.start(1)
            for pts in range(0, len(pcm) - _FRAME, _FRAME):
                stream.push(AudioFrame(np.ascontiguousarray(pcm[pts : pts + _FRAME]), _RATE, pts, 0.0))
            stream.end()
            async with asyncio.timeout(30):
                async for transcript in stream.results():
                    if transcript.is_final:
                        return transcript.text
        finally:
            await stream.aclose()
        return ""

    def close(self) -> None:
        asyncio.run(self._asr.aclose())


def same_words(left: str, right: str) -> float:
    """Share of the left text's words that are in the right one."""
    wanted = words(left)
    have = set(words(right))
    return sum(word in have for word in wanted) / max(1, len(wanted))


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())
