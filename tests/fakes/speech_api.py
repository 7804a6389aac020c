"""The speech API over scripted engines, on no port at all."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from engines.base import Asr, Tts
from gateway.api.app import create_api
from gateway.api.core.door import Door
from gateway.api.core.readiness import Probe, Readiness
from gateway.api.core.speech_parts import SpeechLimits, SpeechParts
from gateway.api.parts import ApiParts, RecordFiles
from gateway.api.settings import ApiSettings
from gateway.audio.files import AudioFiles
from gateway.audio.settings import AudioSettings
from gateway.batch.recordings import Recordings
from gateway.keys.key import Scope, made
from gateway.keys.keyring import Keyring
from gateway.keys.limits import MemoryLimits
from tests.fakes.asr import ScriptedAsr
from tests.fakes.tts import ToneTts
from tests.fakes.voices import bench

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def speech_parts(
    *,
    asr: Asr | None = None,
    tts: Tts | None = None,
    keyring: Keyring | None = None,
    limits: SpeechLimits | None = None,
    probes: dict[str, Probe] | None = None,
    **more: Any,
) -> SpeechParts:
    """Parts with everything scripted but what is named. Needs a running loop only when used."""
    asr, voices, limits = asr or ScriptedAsr([]), bench(), limits or SpeechLimits()
    numbers = itertools.count(1)
    return SpeechParts(
        asr=asr,
        tts=tts or ToneTts(),
        recordings=Recordings(AudioFiles(AudioSettings(decoders=1))),
        door=Door(keyring, MemoryLimits(lambda: 0.0), lambda: NOW, places=limits.places),
        bench=voices,
        wall=lambda: NOW,
        new_id=lambda: f"00000000-0000-0000-0000-{next(numbers):012d}",
        limits=limits,
        readiness=Readiness(probes or {}, deadline=0.5),
        version="0.1.0",
        **more,
    )


def speech_api(parts: SpeechParts) -> FastAPI:
    """The whole port."""
    return create_api(
        ApiParts(
            readiness=parts.readiness,
            metrics=lambda accept: (b"", "text/plain"),
            calls=list,
            record=RecordFiles(Path("none")).record,
            version="0.1.0",
            door=parts.door,
            speech=parts,
        ),
        ApiSettings(allowed_hosts=("*",)),
    )


def key_of(keyring: Keyring, scopes: Sequence[Scope] = (Scope.LISTEN, Scope.SPEAK), **limits: Any) -> str:
    """A new key's text."""
    key, text = made("test", scopes, NOW, **limits)
    keyring.add(key)
    return text
