"""Builds what the speech APIs are given: the calls' own engines, behind a door of their own."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from importlib.metadata import version

from gateway.api.core.door import Door
from gateway.api.core.readiness import Readiness
from gateway.api.core.residency import WithinAsr, WithinTts
from gateway.api.core.speech_parts import SpeechParts
from gateway.api.core.voice_bench import VoiceBench
from gateway.audio.files import AudioFiles
from gateway.batch.callbacks import Callbacks
from gateway.batch.jobs import Jobs
from gateway.batch.queue import JobQueue, MemoryQueue
from gateway.batch.recordings import BatchEars, Recordings
from gateway.batch.store_queue import StoreQueue
from gateway.calls.settings import Engines
from gateway.config import Config
from gateway.errors import PartFailed
from gateway.keys.keyring import Keyring
from gateway.keys.limits import KeyLimits, MemoryLimits
from gateway.metrics import Metrics
from gateway.store.key_limits import SharedKeyLimits
from gateway.store.store import Store
from gateway.store.stream_sessions import StreamSessions
from gateway.usage import ReportedWatch
from gateway.webhook_signature import BadSecret
from license.client import LicenceView
from media.vad import open_detector


class SpeechRoom:
    """Opened once; `closing` closes what it starts."""

    def __init__(
        self, config: Config, store: Store, metrics: Metrics, licence: LicenceView, closing: AsyncExitStack
    ) -> None:
        self._config = config
        self._store = store
        self._metrics = metrics
        self._licence = licence
        self._closing = closing

    def open(self, engines: Engines, files: AudioFiles, readiness: Readiness) -> SpeechParts:
        """Raises `PartFailed` when a secret of the configuration cannot be used."""
        config = self._config
        watch = ReportedWatch(self._metrics.api, self._licence, _seconds)
        bench = VoiceBench(open_detector(config.vad))
        self._closing.push_async_callback(bench.aclose)
        door = Door(
            Keyring(config.api.keys_file) if config.api.asks_keys else None,
            self._key_limits(),
            _wall,
            places=config.api.limits.places,
            counted=watch.turned_away,
            licence=self._licence,
        )
        recordings = Recordings(files, config.batch, config.api.limits.listen)
        self._closing.push_async_callback(recordings.aclose)
        self._metrics.watch_gauges("audio_files", "Audio files by how they ended, processes", files.stats)
        asr = WithinAsr(engines.asr, engines.data)
        return SpeechParts(
            asr=asr,
            tts=WithinTts(engines.tts, engines.data),
            recordings=recordings,
            jobs=self._open_jobs(BatchEars(asr, bench), recordings),
            door=door,
            bench=bench,
            wall=_wall,
            new_id=lambda: str(uuid.uuid4()),
            limits=config.api.limits,
            segmenter=config.session.segmenter,
            language=config.session.language,
            version=version("offhook"),
            watch=watch,
            streams=StreamSessions(self._store.sessions, time.time),
            readiness=readiness,
        )

    def _key_limits(self) -> KeyLimits:
        """Counted over all nodes where they share a Redis; a node alone needs no round trip for it."""
        if self._store.mode != "external":
            return MemoryLimits(asyncio.get_running_loop().time)
        shared = SharedKeyLimits(self._store.limits)
        shared.start()
        self._closing.push_async_callback(shared.aclose)
        return shared

    def _open_jobs(self, ears: BatchEars, recordings: Recordings) -> Jobs:
        """Recordings recognised later."""
        batch = self._config.batch
        try:
            callbacks = Callbacks(batch.callback, recordings.files.outbound, _seconds)
        except BadSecret as error:
            raise PartFailed(str(error)) from error
        jobs = Jobs(ears, recordings, self._job_queue(), callbacks, settings=batch)
        jobs.start()
        self._closing.push_async_callback(jobs.aclose)
        self._metrics.watch_gauges("callbacks", "Callbacks with results of recordings", callbacks.stats)
        return jobs

    def _job_queue(self) -> JobQueue:
        """Shared with other nodes where Redis is, and there after a restart; in memory they end with it."""
        config = self._config
        if self._store.mode != "process":
            node, redis = f"{config.node.name}-{uuid.uuid4().hex[:8]}", config.redis
            return StoreQueue(
                self._store.jobs, node, lease=redis.job_lease_seconds, attempts=redis.job_attempts
            )
        return MemoryQueue(waiting=config.batch.jobs_waiting, kept=config.batch.jobs_kept)


def _wall() -> datetime:
    return datetime.now(UTC)


def _seconds() -> float:
    return _wall().timestamp()
