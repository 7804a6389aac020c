"""From the configuration to the node's view of its licence, with the usage that waits to be reported."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import structlog

from gateway.config import Config
from gateway.errors import PartFailed
from gateway.store.store import Store
from license.client import ClientSettings, FreeLicence, LicenceClient, LicenceView
from license.keeper import Clocks
from license.outbox import DiskOutbox, Outbox
from license.standing import Step

log = structlog.get_logger(__name__)


async def open_licence(config: Config, store: Store, closing: AsyncExitStack) -> LicenceView:
    """The proxy's word, kept in memory; without a proxy everything is allowed. Raises `PartFailed`."""
    chosen = config.license
    if not chosen.proxy:
        log.info("no licence is configured: free use, nothing is reported")
        return FreeLicence()
    folder = Path(chosen.folder) if chosen.folder else config.node.record_dir / "license"
    asked = ClientSettings(chosen.proxy, chosen.key.reveal(), chosen.vendor_key, folder, chosen.ask_seconds)
    # In a Redis of this process's memory a kill would lose what is not reported: the disk is better.
    outbox: Outbox[Any] = store.usage
    if store.mode == "process":
        outbox = await _open_outbox(folder / "usage", closing)
    clocks = Clocks(time.time, asyncio.get_running_loop().time)
    client = await asyncio.to_thread(LicenceClient, asked, clocks, outbox)
    await client.start()
    closing.push_async_callback(client.aclose)
    return client


async def licence_ready(licence: LicenceView) -> None:
    """A probe: raises `PartFailed` when no new work is taken."""
    if isinstance(licence, LicenceClient) and (standing := licence.standing()).step is Step.NONE:
        raise PartFailed(standing.reason)


async def _open_outbox(folder: Path, closing: AsyncExitStack) -> DiskOutbox:
    outbox = DiskOutbox(folder)
    try:
        await outbox.start()
    except OSError as error:
        cure = "set license.folder, or give this user the right to write there"
        raise PartFailed(f"usage cannot be written to disk: {error.strerror}; {cure}") from None
    closing.push_async_callback(outbox.aclose)
    return outbox
