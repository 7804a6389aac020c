"""What the live tests of browsers' calls share: one node, and pages that call it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import soxr

from callers.browser import RATE, Browser, Pcm
from tests.live.gateway.listening import Listener, prompt
from tests.live.gateway.node import Node, eventually

Scene = Callable[[Browser], Awaitable[None]]

_PLAN = """
routes:
  - name: echo
    match: {called: echo}
    actions: [answer, {agent: echo}]
  - name: busy
    match: {called: busy}
    actions: [{reject: {code: 503, retry_after: 7}}]
  - name: told
    match: {called: told}
    actions: [answer, {say: "Thank you for calling. Goodbye."}, hangup]
  - name: phones-only
    match: {called: "4711", trunk: local}
    actions: [answer, {agent: echo}]
"""


@pytest.fixture(scope="session")
def listener() -> Iterator[Listener]:
    """The recogniser, loaded once."""
    made = Listener()
    yield made
    made.close()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node with a few routes; browsers that vanish are missed after 5 s, that do not connect after 2."""
    media = {"vanish_seconds": 5.0, "connect_seconds": 2.0}
    web = {"media": media, "per_address": 10_000, "origins": ["https://shop.example"]}
    with Node(tmp_path_factory.mktemp("web"), {"webrtc": web}, _PLAN) as running:
        yield running


def voice(name: str) -> Pcm:
    """A prompt as a microphone would have it."""
    pcm = prompt(name).pcm.astype(np.float32)
    spoken: Pcm = np.clip(soxr.resample(pcm, 8_000, RATE), -32_768, 32_767).astype(np.int16)
    return spoken


def played(node: Node, *scenes: Scene) -> list[Browser]:
    """Each scene with a page of its own, all at once; the closed pages, with what they heard."""

    async def run() -> list[Browser]:
        async with httpx.AsyncClient(base_url=node.api, timeout=15.0) as http:
            pages = [Browser(http) for _ in scenes]
            try:
                async with asyncio.timeout(60):
                    await asyncio.gather(*(scene(page) for scene, page in zip(scenes, pages, strict=True)))
            finally:
                await asyncio.gather(*(page.close() for page in pages))
            return pages

    return asyncio.run(run())


def page_record(node: Node, page: Browser, seconds: float = 10.0) -> dict[str, Any]:
    """The record of a page's call, once it is written."""
    call_id = page.location.rsplit("/", 1)[1]

    def found() -> dict[str, Any]:
        records = [record for record in node.records("web") if record["call_id"] == call_id]
        assert records, f"no record of {call_id}"
        return records[0]

    return eventually(found, seconds)
