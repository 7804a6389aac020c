"""Spoken prompts that nodes share: what one has had spoken, another one need not pay for again."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence

import numpy as np
from pydantic_core import from_json

from engines.base import SpeechChunk, Word
from gateway.errors import StoreLost
from gateway.store.keys import Keys
from gateway.store.link import Link

_MOST_BYTES = 2_000_000
"""Of one prompt; a minute at 16 kHz."""
_HEAD = struct.Struct("<I")


class PromptShelf:
    """Serves `engines.speech_cache.Shelf`. Never raises: without Redis there is simply nothing."""

    def __init__(self, link: Link, keys: Keys, seconds: int, voice: str = "") -> None:
        """`seconds`: how long a prompt is kept after its last use; 0: not at all. `voice`: see `of`."""
        self._link, self._keys, self._seconds, self._voice = link, keys, seconds, voice

    def of(self, voice: str) -> PromptShelf:
        """The same shelf for the prompts of one voice, told by whatever tells it from others."""
        return PromptShelf(self._link, self._keys, self._seconds, voice)

    async def get(self, key: Sequence[object]) -> tuple[SpeechChunk, ...] | None:
        """The prompt, if somebody left it."""
        if not self._seconds:
            return None
        name = self._keys.prompt(digest((self._voice, *key)))
        try:
            octets = await self._link.call(lambda client: client.getex(name, ex=self._seconds))
        except StoreLost:
            return None
        return None if octets is None else unpacked(octets)

    async def put(self, key: Sequence[object], chunks: Sequence[SpeechChunk]) -> None:
        """Leave it for others."""
        octets = packed(chunks)
        if not self._seconds or len(octets) > _MOST_BYTES:
            return
        name = self._keys.prompt(digest((self._voice, *key)))
        try:
            await self._link.call(lambda client: client.set(name, octets, ex=self._seconds))
        except StoreLost:
            self._link.dropped["prompts"] += 1


def digest(key: Sequence[object]) -> str:
    """A name that tells nothing of the text."""
    return hashlib.sha256(json.dumps([str(part) for part in key]).encode()).hexdigest()


def packed(chunks: Sequence[SpeechChunk]) -> bytes:
    """Chunks as octets: a head of JSON with lengths and words, then the samples."""
    head = json.dumps([
        [len(chunk.pcm), [[w.text, w.start, w.end, w.confidence] for w in chunk.words], chunk.engine]
        for chunk in chunks
    ]).encode()  # fmt: skip
    sound = b"".join(chunk.pcm.astype("<i2", copy=False).tobytes() for chunk in chunks)
    return _HEAD.pack(len(head)) + head + sound


def unpacked(octets: bytes) -> tuple[SpeechChunk, ...] | None:
    """The chunks, or None for what `packed` did not make."""
    try:
        (length,) = _HEAD.unpack_from(octets)
        head = from_json(octets[_HEAD.size : _HEAD.size + length])
        sound = np.frombuffer(octets[_HEAD.size + length :], np.dtype("<i2")).astype(np.int16)
        chunks, at = [], 0
        for samples, words, engine in head:
            told = tuple(Word(str(text), float(s), float(e), float(c)) for text, s, e, c in words)
            chunks.append(SpeechChunk(sound[at : at + samples], told, str(engine)))
            at += samples
        return tuple(chunks) if at == len(sound) else None
    except (ValueError, TypeError, struct.error):
        return None
