"""From the configuration's lists to engines that work, and what is told when none may be used."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from engines.base import Residency
from engines.models.local import LocalModels
from engines.router import RoutedAsr
from gateway.config import Config
from gateway.config.engine_sections import AsrSection, EngineEntry, settings_of
from gateway.engine_room import Watch, open_asr, open_tts
from gateway.errors import PartFailed


def riva(address: str, **more: Any) -> EngineEntry:
    return EngineEntry("riva", settings_of("asr", "riva")(address=address), **more)


def config(*entries: EngineEntry, data: Any = "site") -> Config:
    plain = Config()
    return replace(plain, asr=AsrSection(engines=entries), node=replace(plain.node, data=data))


async def opened(chosen: Config) -> list[tuple[str, Residency, int]]:
    async with AsyncExitStack() as closing:
        asr: RoutedAsr = await open_asr(chosen, LocalModels(), closing, Watch())
        return [(m.name, m.data, m.rank) for m in asr.bench.members]


def test_engines_that_may_not_be_used_are_not_even_connected() -> None:
    entries = (riva("10.0.0.1:2233"), riva("grpc.example.com:443"), EngineEntry("moonshine"))
    found = asyncio.run(opened(config(*entries)))
    assert found == [("riva", Residency.SITE, 1), ("moonshine", Residency.NODE, 3)]
    assert [name for name, _, _ in asyncio.run(opened(config(*entries, data="node")))] == ["moonshine"]
    assert len(asyncio.run(opened(config(*entries, data="cloud")))) == 3


def test_what_the_operator_says_of_an_engine_counts() -> None:
    found = asyncio.run(opened(config(riva("speech.example.com:443", data="site", rank=7))))
    assert found == [("riva", Residency.SITE, 7)]


def test_when_none_may_be_used_the_cure_is_told() -> None:
    with pytest.raises(PartFailed, match="node.data is site .riva counts as cloud.*say where the engine is"):
        asyncio.run(opened(config(riva("grpc.example.com:443"))))


def test_workers_become_engines_as_they_are_seen() -> None:
    from engines.fleet_static import StaticWorker

    workers = (StaticWorker("127.0.0.1:9", name="a"), StaticWorker("127.0.0.1:11", name="b"))
    found = asyncio.run(opened(config(EngineEntry("riva", workers=workers))))
    assert found == [("riva/a", Residency.NODE, 1), ("riva/b", Residency.NODE, 1)]


def test_the_defaults_are_the_embedded_engines() -> None:
    async def main() -> tuple[str, str]:
        async with AsyncExitStack() as closing:
            asr = await open_asr(Config(), LocalModels(), closing, Watch())
            tts = await open_tts(Config(), LocalModels(), closing, Watch())
            return asr.name, tts.name

    assert asyncio.run(main()) == ("moonshine", "hibari")
