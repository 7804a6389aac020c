"""`offhook asr` and `offhook tts`: serve one engine over Riva's gRPC, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from engines import registry as engine_registry
from engines.base import Asr, Tts
from engines.models.base import Models, Report
from engines.worker import WorkerFailed, serve_asr, serve_tts
from gateway.config import Config, secrets_in
from gateway.config.engine_sections import EngineEntry
from gateway.errors import PartFailed
from gateway.logs import start_logs
from gateway.models import models_of

T = TypeVar("T")


async def serve_recogniser(config: Config) -> None:
    """Serve the configured recogniser until SIGTERM or SIGINT. Raises `PartFailed`."""

    def make(report: Report) -> Asr:
        report("loading")
        return _first(engine_registry.asr, config.asr.entries(), models_of(config, report))

    output = start_logs(config.logs, secrets=secrets_in(config))
    try:
        await serve_asr(make, config.asr_worker)
    except WorkerFailed as error:
        raise PartFailed(str(error)) from error
    finally:
        output.close()


async def serve_voice(config: Config) -> None:
    """Serve the configured voice until SIGTERM or SIGINT. Raises `PartFailed`."""

    def make(report: Report) -> Tts:
        report("loading")
        return _first(engine_registry.tts, config.tts.entries(), models_of(config, report))

    output = start_logs(config.logs, secrets=secrets_in(config))
    try:
        await serve_tts(make, config.tts_worker)
    except WorkerFailed as error:
        raise PartFailed(str(error)) from error
    finally:
        output.close()


def _first(make: Callable[[str, object, Models], T], entries: Sequence[EngineEntry], models: Models) -> T:
    """The most wanted engine; those after it are for gateways to fall back on."""
    return make(entries[0].engine, entries[0].settings, models)
