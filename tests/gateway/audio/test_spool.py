"""Files on disk while they are needed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.audio.settings import AudioSettings, FetchSettings
from gateway.audio.spool import Spool, fill, open_spool
from gateway.errors import BodyTooLarge, ClientSilent


async def pieces(*octets: bytes, then: float = 0.0) -> AsyncIterator[bytes]:
    for piece in octets:
        yield piece
    await asyncio.sleep(then)


def test_what_was_written_is_there_and_then_gone(tmp_path: Path) -> None:
    async def main() -> Path:
        settings = AudioSettings(spool_dir=str(tmp_path))
        async with open_spool(settings) as spool:
            await fill(spool, pieces(b"a" * 3_000_000, b"", b"bc"), settings)
            whole = await asyncio.to_thread(spool.path.read_bytes)
            assert whole == b"a" * 3_000_000 + b"bc"
            assert spool.size == len(whole)
            assert spool.sha256 == hashlib.sha256(whole).hexdigest()
            assert (await asyncio.to_thread(spool.path.stat)).st_mode & 0o777 == 0o600
            return spool.path

    assert not asyncio.run(main()).exists()
    assert list(tmp_path.iterdir()) == []


def test_too_much_is_refused_and_removed(tmp_path: Path) -> None:
    async def main() -> None:
        settings = AudioSettings(max_megabytes=1, spool_dir=str(tmp_path))
        taken: list[Spool] = []
        with pytest.raises(BodyTooLarge, match="1 MB") as caught:
            async with open_spool(settings) as spool:
                taken.append(spool)
                await fill(spool, pieces(*[b"x" * 65536] * 100), settings)
        assert caught.value.most_bytes == 1_000_000
        assert taken[0].size <= 1_000_000 + 65536

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == []


def test_a_client_that_stalls_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        settings = AudioSettings(spool_dir=str(tmp_path), upload_stall_seconds=0.1)
        with pytest.raises(ClientSilent):
            async with open_spool(settings) as spool:
                await fill(spool, pieces(b"x", then=5.0), settings)

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("field", ["max_megabytes", "decoders", "stall_seconds", "decoder_megabytes"])
def test_settings_name_the_field_that_is_wrong(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        wrong: dict[str, Any] = {field: 0}
        replace(AudioSettings(), **wrong)


def test_a_network_that_is_none() -> None:
    with pytest.raises(ValueError, match="allow"):
        FetchSettings(allow=("inside",))
