"""Builds what calls from web pages need: the media endpoint, call tokens, and what their API is given."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

from gateway.api.core.door import Door
from gateway.api.webrtc.channels import PageChannels
from gateway.api.webrtc.parts import WebRtcParts
from gateway.api.webrtc.tokens import AloneUse, CallTokens, TokenUse
from gateway.calls.orders import CallHandle, Order, OrderRefused
from gateway.calls.registry import CallRegistry
from gateway.config import Config
from gateway.dialplan.plan import Dialplan
from gateway.keys.limits import MemoryLimits
from gateway.metrics import Metrics
from gateway.store.store import Store
from gateway.store.token_use import SharedTokenUse
from gateway.webrtc_settings import LONGEST_TOKEN
from media.legs.base import Leg
from media.legs.webrtc_endpoint import WebRtcEndpoint
from media.vad import open_detector


class WebRoom:
    """Made before the calls are, since they tell its pages; `open` follows, where web calls are wanted."""

    def __init__(self, config: Config, calls: CallRegistry, closing: AsyncExitStack) -> None:
        self._config = config
        self._calls = calls
        self._closing = closing
        self._trying: set[asyncio.Task[None]] = set()
        self._endpoint: WebRtcEndpoint | None = None
        self.pages = PageChannels(asyncio.get_running_loop().time)

    async def open(self, take: Callable[[Leg], None], metrics: Metrics) -> None:
        """Listen for browsers, unless the configuration has them off. `take` gets each leg that rings."""
        config = self._config
        if not config.webrtc.enabled:
            return
        loop = asyncio.get_running_loop()
        endpoint = WebRtcEndpoint(config.webrtc_endpoint(), take, open_detector(config.vad), loop)
        await endpoint.start()
        self._closing.push_async_callback(endpoint.aclose)
        metrics.watch_gauges("webrtc", "Calls from web pages", endpoint.stats)
        told = "Offers turned away"
        metrics.watch_counters("webrtc_refusals", told, lambda: dict(endpoint.refusals))
        self._endpoint = endpoint

    def drain(self) -> None:
        """Take no new calls."""
        if self._endpoint is not None:
            self._endpoint.drain()

    def api(self, store: Store, door: Door, plan: Callable[[], Dialplan]) -> WebRtcParts | None:
        """What the API of web calls is given; None where there are none."""
        if self._endpoint is None:
            return None
        section = self._config.webrtc
        # Tokens are used once, on whichever node, where they share a Redis.
        use: TokenUse = AloneUse()
        if store.mode == "external":
            use = SharedTokenUse(store.limits, LONGEST_TOKEN)
        return WebRtcParts(
            settings=section,
            calls=self._endpoint,
            tokens=CallTokens(section.token_secret.reveal(), time.time, use),
            channels=self.pages,
            door=door,
            obey=self._obey,
            rates=MemoryLimits(asyncio.get_running_loop().time),
            wall=time.time,
            targets=lambda: list(plan().exact_numbers()),
        )

    def _obey(self, call_id: str, order: Order) -> None:
        call = self._calls.get(call_id)
        if call is not None:
            task = asyncio.get_running_loop().create_task(_tried(call, order))
            self._trying.add(task)
            task.add_done_callback(self._trying.discard)


async def _tried(call: CallHandle, order: Order) -> None:
    """Ask a call for something; that it refuses is told to nobody."""
    with contextlib.suppress(OrderRefused):
        await call.obey(order)
