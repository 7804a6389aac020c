"""What `/ready` and `/health` ask of a node's parts: each answers, or raises what is wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from engines.base import AsrOptions, Residency, Tts, TtsOptions
from engines.router.asr import RoutedAsr
from gateway.calls.registry import CallRegistry
from gateway.config import Config
from gateway.control.admission import Admission
from gateway.errors import PartFailed
from gateway.licensing import licence_ready
from gateway.route_run import USUAL_RATE
from gateway.store.store import Store
from license.client import LicenceView
from media.legs.sip_endpoint import SipEndpoint

Probe = Callable[[], Awaitable[None]]
"""Returns when a part works, raises when it does not."""


@dataclass(frozen=True, slots=True)
class NodeProbes:
    """The parts of one node that are asked."""

    config: Config
    sip: SipEndpoint
    asr: RoutedAsr
    tts: Tts
    """The voice itself, not the cache in front of it."""
    data: Residency
    licence: LicenceView
    store: Store
    calls: CallRegistry
    admission: Admission

    def ready(self) -> dict[str, Probe]:
        """What a call cannot do without, by the names that `/ready` tells."""
        probes: dict[str, Probe] = {
            "sip": self.sip.ping, "asr": self._asr, "tts": self._tts, "room": self._room,
        }  # fmt: skip
        if self.config.license.proxy:
            probes["license"] = lambda: licence_ready(self.licence)
        return probes

    def components(self) -> dict[str, Probe]:
        """What health is asked of by name: of what calls do without, too."""
        probes = {name: probe for name, probe in self.ready().items() if name in ("asr", "tts", "license")}
        if self.store.mode != "process":
            probes["redis"] = self._redis
        return probes

    async def _redis(self) -> None:
        if not self.store.link.up:
            raise PartFailed("Redis is lost; calls and streams go on without it")

    async def _asr(self) -> None:
        options = AsrOptions(self.config.session.language, USUAL_RATE, data=self.data)
        await self.asr.stream(options).aclose()

    async def _tts(self) -> None:
        session = self.config.session
        options = TtsOptions(USUAL_RATE, session.voice, session.language, data=self.data)
        async for _ in self.tts.speak("Ready.", options):
            return
        raise PartFailed("the voice gave no sound")

    async def _room(self) -> None:
        if self.calls.draining:
            raise PartFailed("the node is draining")
        if why := self.admission.state(len(self.calls)):
            raise PartFailed(f"the running calls leave no room: {why}")
        if len(self.calls) >= self.config.limits.max_calls:
            raise PartFailed(f"all {self.config.limits.max_calls} places are taken")
