"""`offhook asr` and `offhook tts`: serve one engine over Riva's gRPC, in a process of its own."""

from __future__ import annotations

from engines import registry as engine_registry
from engines.base import Asr, Tts
from engines.models.base import Report
from engines.worker import WorkerFailed, serve_asr, serve_tts
from gateway.config import Config, secrets_in
from gateway.errors import PartFailed
from gateway.logs import start_logs
from gateway.models import models_of


async def serve_recogniser(config: Config) -> None:
    """Serve the configured recogniser until SIGTERM or SIGINT. Raises `PartFailed`."""

    def make(report: Report) -> Asr:
        report("loading")
        return engine_registry.asr(config.asr.engine, config.asr.settings, models_of(config, report))

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
        return engine_registry.tts(config.tts.engine, config.tts.settings, models_of(config, report))

    output = start_logs(config.logs, secrets=secrets_in(config))
    try:
        await serve_tts(make, config.tts_worker)
    except WorkerFailed as error:
        raise PartFailed(str(error)) from error
    finally:
        output.close()
