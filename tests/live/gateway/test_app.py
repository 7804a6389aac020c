"""The composition root in this process: it starts in order, and leaves nothing behind when it stops."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from pathlib import Path

import pytest

from gateway.api.settings import ApiSettings
from gateway.app import Offhook
from gateway.config import Config
from gateway.config.engine_sections import AsrSection
from gateway.config.schema import NodeSettings
from gateway.errors import PartFailed, PortTaken
from media.legs.sip_settings import SipSettings, SipTransport

pytestmark = pytest.mark.live


def config(folder: Path, api_port: int = 0, engine: str = "moonshine") -> Config:
    return Config(
        node=NodeSettings(record_dir=folder / "records"),
        sip=SipSettings(udp_port=0),
        api=ApiSettings(port=api_port),
        asr=AsrSection(engine=engine),
    )


def ours() -> list[str]:
    """Threads that outlive a node; the loop's own pool is the loop's business."""
    return [
        thread.name
        for thread in threading.enumerate()
        if not thread.name.startswith(("MainThread", "asyncio"))
    ]


def tasks() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]


def test_a_node_starts_and_stops_again_and_again(tmp_path: Path) -> None:
    async def main() -> None:
        before = ours()
        for _ in range(2):
            node = Offhook(config(tmp_path))
            await node.start()
            assert node.sip.ports[SipTransport.UDP] > 0 and node.api.port > 0
            await node.prompter.done()
            assert await node.calls.drain(0.0) == 0
            await node.drain()
            await node.aclose()
            await node.aclose()
            await asyncio.sleep(0.1)
            # A thread of somebody else's may have ended meanwhile; none of ours is left.
            assert (tasks(), Counter(ours()) - Counter(before)) == ([], Counter())

    asyncio.run(main())


def test_what_was_started_is_stopped_when_a_later_part_fails(tmp_path: Path) -> None:
    async def main(port: int) -> None:
        before = ours()
        with pytest.raises(PortTaken, match="stop what uses it, or set api.host and api.port"):
            await Offhook(config(tmp_path, port)).start()
        await asyncio.sleep(0.1)
        assert (tasks(), ours()) == ([], before)

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen(1)
        asyncio.run(main(holder.getsockname()[1]))


def test_an_engine_that_nobody_knows_is_told_with_those_there_are(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(PartFailed, match="no recogniser called 'moonshin'; there are: .*moonshine"):
            await Offhook(config(tmp_path, engine="moonshin")).start()
        assert tasks() == []

    asyncio.run(main())
