"""The speech API as a node serves it, over any recogniser, in a process of its own."""

from __future__ import annotations

import asyncio
import importlib
import uuid
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

from engines import registry
from engines.base import Asr
from gateway import collector
from gateway.api.app import create_api
from gateway.api.core.door import Door
from gateway.api.core.readiness import Readiness
from gateway.api.core.speech_parts import SpeechLimits, SpeechParts
from gateway.api.core.voice_bench import VoiceBench
from gateway.api.parts import ApiParts, RecordFiles
from gateway.api.server import ApiServer
from gateway.api.settings import ApiSettings
from gateway.keys.limits import MemoryLimits
from media.vad import VadSettings, open_detector


def work(pipe: Connection, engine: str) -> None:
    """Sends the port, then, whenever asked, the engine's `stats()`; ends when told so."""
    asyncio.run(_serve(pipe, engine))


async def _serve(pipe: Connection, engine: str) -> None:
    asr = _made(engine)
    await asr.warm_up()
    bench = VoiceBench(open_detector(VadSettings()))
    clock = asyncio.get_running_loop().time
    readiness = Readiness({}, deadline=2.0)
    parts = SpeechParts(
        asr=asr, tts=registry.tts("hibari"), bench=bench,
        wall=lambda: datetime.now(UTC), new_id=lambda: str(uuid.uuid4()),
        door=Door(None, MemoryLimits(clock), lambda: datetime.now(UTC), places=1000),
        limits=SpeechLimits(places=1000), readiness=readiness,
    )  # fmt: skip
    node = ApiParts(
        readiness=readiness, metrics=lambda accept: (b"", "text/plain"), calls=list,
        record=RecordFiles(Path("none")).record, door=parts.door, speech=parts,
    )  # fmt: skip
    settings = ApiSettings(port=0)
    server = ApiServer(create_api(node, settings), settings)
    await server.start()
    collector.settle()
    pipe.send(server.port)
    while await asyncio.to_thread(pipe.recv):
        pipe.send(asr.stats() if hasattr(asr, "stats") else None)
    await server.aclose()
    await bench.aclose()
    await asr.aclose()


def _made(engine: str) -> Asr:
    module, colon, name = engine.partition(":")
    if colon:
        made: Asr = getattr(importlib.import_module(module), name)()
        return made
    return registry.asr(engine)
