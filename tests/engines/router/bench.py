"""A bench of faulty engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from engines.base import Asr, Residency, Switch, Tts
from engines.router import Bench, Member, RouterSettings
from engines.router.asr import probe_asr
from engines.router.tts import probe_tts
from tests.fakes.faulty import FaultyAsr, FaultyTts

SETTINGS = RouterSettings()


def asr_bench(
    engines: Sequence[FaultyAsr],
    told: list[Switch] | None = None,
    data: Sequence[Residency] = (),
    settings: RouterSettings = SETTINGS,
) -> Bench[Asr]:
    members = [
        Member[Asr](engine.name, engine, rank=rank, data=data[rank] if data else Residency.NODE)
        for rank, engine in enumerate(engines)
    ]
    settings = replace(settings)
    return Bench("asr", members, probe_asr, settings, (told if told is not None else []).append)


def tts_bench(
    engines: Sequence[FaultyTts],
    told: list[Switch] | None = None,
    data: Sequence[Residency] = (),
    settings: RouterSettings = SETTINGS,
) -> Bench[Tts]:
    members = [
        Member[Tts](engine.name, engine, rank=rank, data=data[rank] if data else Residency.NODE)
        for rank, engine in enumerate(engines)
    ]
    return Bench("tts", members, probe_tts, settings, (told if told is not None else []).append)
