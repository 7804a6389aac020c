"""Sounds for calls: files of this machine, decoded apart, at any rate."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from gateway.audio.files import AudioFiles
from gateway.audio.sounds import SoundFiles
from gateway.errors import FetchRefused, RequestUnfit
from media.frame import Pcm
from media.wav import read_mono

SPEECH = Path(__file__).resolve().parents[2] / "data" / "speech" / "vm-prev.wav"


def played(source: str, rate: int = 8000) -> Pcm:
    async def play() -> Pcm:
        files = AudioFiles()
        try:
            blocks = [block async for block in SoundFiles(files).sound(source, rate)]
        finally:
            await files.aclose()
        return np.concatenate(blocks)

    return asyncio.run(play())


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_file_of_this_machine_is_heard_whole(rate: int) -> None:
    assert len(played(str(SPEECH), rate)) == pytest.approx(len(read_mono(SPEECH, rate)), abs=rate // 50)


def test_what_is_no_sound_says_so(tmp_path: Path) -> None:
    (tmp_path / "words.wav").write_text("not a sound", encoding="utf-8")
    with pytest.raises(RequestUnfit):
        played(str(tmp_path / "words.wav"))


def test_what_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises((RequestUnfit, OSError)):
        played(str(tmp_path / "nobody.wav"))


def test_addresses_inside_are_not_asked() -> None:
    with pytest.raises(FetchRefused, match="not a public address"):
        played("http://127.0.0.1:9/beep.wav")
