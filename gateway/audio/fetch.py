"""Audio by its address: into a spool, within the same limits as what clients send."""

from __future__ import annotations

from gateway.audio.outbound import Outbound
from gateway.audio.settings import AudioSettings
from gateway.audio.spool import Spool, too_large
from gateway.errors import FetchFailed


async def fetch(outbound: Outbound, url: str, spool: Spool, settings: AudioSettings) -> None:
    """Download into the spool and close it. Raises `FetchRefused`, `FetchFailed`, `BodyTooLarge`."""
    async with outbound.get(url) as answer:
        if answer.status != 200:
            raise FetchFailed(f"the server answered {answer.status}")
        announced = answer.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > settings.max_octets:
            raise too_large(settings.max_octets)
        async for octets in answer.body():
            await spool.write(octets)
    await spool.close()
