"""Sounds that are played by order: a file of the operator's folder, or one from the web."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

import numpy as np

from gateway.audio.decoder_wire import DecodeAsk
from gateway.audio.files import AudioFiles
from gateway.errors import RequestUnfit
from media.frame import Pcm
from media.wav import write_wav

_LONGEST = 600.0
"""Seconds of a sound from the web."""
_RATE = 16000


async def named(folder: Path, name: str) -> Path:
    """The file of that name. Raises `RequestUnfit`, also for whatever would lead out of the folder."""
    return await asyncio.to_thread(_named, folder, name)


def _named(folder: Path, name: str) -> Path:
    parts = Path(name).parts
    if not parts or any(part in ("..", "/") or part.startswith(".") for part in parts) or "\0" in name:
        raise RequestUnfit("give the name of a file in control.sounds", field="file")
    try:
        home = folder.resolve(strict=True)
        path = (home / name).resolve(strict=True)
    except OSError:
        path = home = folder
    if home not in path.parents or path.suffix.lower() != ".wav" or not path.is_file():
        raise RequestUnfit("there is no such WAV file in control.sounds", field="file")
    return path


async def fetched(files: AudioFiles, url: str) -> Path:
    """A sound from the web as a WAV file of our own, which whoever plays it removes with `dropped`.

    Raises `RequestUnfit` for what cannot be had or is no sound, and `DecodersBusy`.
    """
    try:
        pcm = await _sound(files, url)
    except RequestUnfit as unfit:
        raise RequestUnfit(str(unfit), field="url") from unfit
    return await asyncio.to_thread(_written, pcm)


async def _sound(files: AudioFiles, url: str) -> Pcm:
    blocks: list[Pcm] = []
    left = int(_LONGEST * _RATE)
    async with files.spool() as spool:
        await files.take_url(url, spool)
        async with files.decoded(spool.path, DecodeAsk(_RATE)) as sound:
            async for block in sound:
                blocks.append(block[:left])
                left -= len(block)
                if left <= 0:
                    break
    return np.concatenate(blocks) if blocks else np.zeros(0, np.int16)


def _written(pcm: Pcm) -> Path:
    handle, name = tempfile.mkstemp(prefix="offhook-", suffix=".wav")
    os.close(handle)
    write_wav(Path(name), pcm, _RATE)
    return Path(name)


def dropped(path: Path) -> None:
    """The file is not needed any more."""
    path.unlink(missing_ok=True)
