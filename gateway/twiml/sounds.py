"""Sound files that documents name: fetched as apps are asked, decoded apart, kept as long as the call."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

import numpy as np

from gateway.audio.decoder_wire import DecodeAsk
from gateway.audio.files import AudioFiles
from gateway.audio.spool import Spool
from gateway.errors import AppFailed, DecodersBusy, FetchFailed, RequestUnfit
from gateway.twiml.client import RETRIEVAL, AppClient, Ask, Visit, shown
from gateway.twiml.overrides import split
from media.frame import Pcm

LONGEST = 600.0
"""Seconds of one sound; Twilio's own limit is near it for telephone sound."""
_KEPT_SECONDS = 300.0
"""Sound of one call that is kept for the next time it is wanted: menus are played again and again."""
_UNFIT = 12300
_SECONDS = 15.0


class Sounds:
    """Those of one call."""

    def __init__(self, client: AppClient, files: AudioFiles, visit: Visit, *, most_octets: int) -> None:
        self._client = client
        self._files = files
        self._visit = visit
        self._most = most_octets
        self._kept: OrderedDict[tuple[str, int], Pcm] = OrderedDict()

    async def pcm(self, url: str, sample_rate: int) -> Pcm:
        """The whole sound, mixed to one channel. Raises `AppFailed`."""
        key = (url, sample_rate)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        try:
            async with self._files.spool() as spool:
                async with asyncio.timeout(_SECONDS):
                    await self._fetch(split(url, _SECONDS)[0], spool)
                pcm = await self._decode(spool, sample_rate)
        except TimeoutError:
            raise AppFailed(f"{shown(url)} was not there within {_SECONDS:g} s", code=RETRIEVAL) from None
        except FetchFailed as error:
            raise AppFailed(f"{shown(url)}: {error}", code=RETRIEVAL) from None
        except (RequestUnfit, DecodersBusy) as error:
            raise AppFailed(f"{shown(url)}: {error}", code=_UNFIT) from None
        self._keep(key, pcm)
        return pcm

    async def _fetch(self, url: str, spool: Spool) -> None:
        async with self._client.open(Ask(url, "GET"), self._visit, _SECONDS) as (answer, where):
            if answer.status != 200:
                raise AppFailed(f"{shown(where)} answered {answer.status}", code=RETRIEVAL)
            async for octets in answer.body():
                if spool.size + len(octets) > self._most:
                    raise AppFailed(f"{shown(where)} is larger than {self._most} octets", code=_UNFIT)
                await spool.write(octets)
        await spool.close()

    async def _decode(self, spool: Spool, sample_rate: int) -> Pcm:
        blocks: list[Pcm] = []
        left = int(LONGEST * sample_rate)
        async with self._files.decoded(spool.path, DecodeAsk(sample_rate)) as sound:
            async for block in sound:
                blocks.append(block[:left])
                left -= len(block)
                if left <= 0:
                    break
        return np.concatenate(blocks) if blocks else np.zeros(0, np.int16)

    def _keep(self, key: tuple[str, int], pcm: Pcm) -> None:
        self._kept[key] = pcm
        while sum(len(kept) / rate for (_, rate), kept in self._kept.items()) > _KEPT_SECONDS:
            self._kept.popitem(last=False)
