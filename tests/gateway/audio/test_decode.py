"""The decoder processes: reuse, limits, hostile files, memory."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import TypeVar

import numpy as np
import pytest

from gateway.audio.decode import Decoders
from gateway.audio.decoder_wire import AudioInfo, DecodeAsk, Order, RawFormat
from gateway.audio.settings import AudioSettings
from gateway.errors import AudioBroken, AudioTooLong, AudioUnfit, DecodersBusy, RequestUnfit
from media.frame import Pcm
from tests.gateway.audio.files import KINDS, long_silence, made, tone, wav

T = TypeVar("T")


def run(work: Callable[[Decoders], Awaitable[T]], settings: AudioSettings | None = None) -> T:
    async def main() -> T:
        decoders = Decoders(settings or AudioSettings(decoders=1))
        try:
            async with asyncio.timeout(60):
                return await work(decoders)
        finally:
            await decoders.aclose()

    return asyncio.run(main())


async def decode(decoders: Decoders, path: Path, ask: DecodeAsk | None = None) -> tuple[AudioInfo, Pcm]:
    async with decoders.open(path, ask or DecodeAsk()) as audio:
        blocks = [block async for block in audio]
    return audio.info, np.concatenate(blocks)


def test_an_order_crosses_the_pipe_unchanged() -> None:
    order = Order("/tmp/ä b", DecodeAsk(8000, split=True, raw=RawFormat("mulaw", 8000, 2)), 60.0)
    assert Order.read(order.line()) == order
    assert order.line().count(b"\n") == 1


def test_one_process_serves_many_files(tmp_path: Path) -> None:
    async def work(decoders: Decoders) -> None:
        for number, kind in enumerate(KINDS):
            path = tmp_path / str(number)
            path.write_bytes(made(kind, tone(1.5, 16000), 16000))
            _, sound = await decode(decoders, path)
            assert len(sound) / 16000 == pytest.approx(1.5, abs=0.15)
        assert decoders.stats()["started"] == 1
        assert decoders.stats()["decoded"] == len(KINDS)

    run(work)


def test_a_refused_file_costs_no_process(tmp_path: Path) -> None:
    async def work(decoders: Decoders) -> None:
        for octets, refusal in (
            (b"text" * 99, AudioUnfit),
            (b"", AudioBroken),
            (b"RIFF" + bytes(99), AudioBroken),
        ):
            (tmp_path / "file").write_bytes(octets)
            with pytest.raises(refusal):
                await decode(decoders, tmp_path / "file")
        long_silence(tmp_path / "long", 7300)
        with pytest.raises(AudioTooLong):
            await decode(decoders, tmp_path / "long")
        assert decoders.stats()["started"] == 1

    run(work)


def test_a_crash_is_that_file_s_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(wav(tone(30.0, 16000), 16000))

    async def work(decoders: Decoders) -> None:
        with pytest.raises(AudioBroken, match="broke over it"):
            async with decoders.open(tmp_path / "file", DecodeAsk()) as audio:
                (running,) = decoders._all
                running._process.kill()
                async for _ in audio:
                    pass
        _, sound = await decode(decoders, tmp_path / "file")
        assert len(sound) == 30 * 16000
        assert decoders.stats()["crashed"] == 1

    run(work)


def test_a_decoder_that_hangs_is_ended(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(wav(tone(30.0, 16000), 16000))

    async def work(decoders: Decoders) -> None:
        with pytest.raises(AudioBroken, match="no sound for"):
            async with decoders.open(tmp_path / "file", DecodeAsk()) as audio:
                (running,) = decoders._all
                running._process.send_signal(signal.SIGSTOP)
                async for _ in audio:
                    pass
        assert decoders.stats()["stalled"] == 1
        assert decoders.stats()["processes"] == 0

    run(work, AudioSettings(decoders=1, stall_seconds=0.8))


def test_who_leaves_early_ends_the_decoding(tmp_path: Path) -> None:
    long_silence(tmp_path / "file", 3600)

    async def work(decoders: Decoders) -> None:
        async with decoders.open(tmp_path / "file", DecodeAsk()) as audio:
            async for _ in audio:
                break
        assert decoders.stats()["processes"] == 0

    run(work)


def test_more_files_than_may_wait_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(wav(tone(1.0, 16000), 16000))

    async def work(decoders: Decoders) -> None:
        async with decoders.open(tmp_path / "file", DecodeAsk()):
            waiting = asyncio.ensure_future(decode(decoders, tmp_path / "file"))
            await asyncio.sleep(0)
            with pytest.raises(DecodersBusy) as caught:
                await decode(decoders, tmp_path / "file")
            assert caught.value.retry_after > 0
        _, sound = await waiting
        assert len(sound) == 16000

    run(work, AudioSettings(decoders=1, waiting=1))


def test_nothing_of_ours_is_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFHOOK_SECRET", "hush")
    (tmp_path / "file").write_bytes(wav(tone(1.0, 16000), 16000))

    async def work(decoders: Decoders) -> None:
        async with decoders.open(tmp_path / "file", DecodeAsk()):
            (running,) = decoders._all
            pid = running._process.pid
            assert b"hush" not in (await asyncio.to_thread(Path(f"/proc/{pid}/environ").read_bytes))
            limits = await asyncio.to_thread(Path(f"/proc/{pid}/limits").read_text)
            assert "Max file size             0" in limits

    run(work)


def test_two_hours_in_little_memory(tmp_path: Path) -> None:
    """Neither this process nor the decoder's grows with the length of the file."""
    long_silence(tmp_path / "file", 7200)

    async def work(decoders: Decoders) -> tuple[int, int, int]:
        before, most, taken = resident("self"), 0, 0
        async with decoders.open(tmp_path / "file", DecodeAsk()) as audio:
            (running,) = decoders._all
            async for block in audio:
                taken += len(block)
                if taken % (60 * 16000) == 0:
                    most = max(most, resident("self") - before)
                    child = resident(str(running._process.pid))
        return taken, most, child

    taken, grown, child = run(work)
    assert taken == 7200 * 16000
    assert grown < 16e6
    assert child < 150e6


def resident(process: str) -> int:
    """Octets of memory that a process holds now."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_damaged_files_never_do_more_than_fail(tmp_path: Path) -> None:
    """Random damage to every kind of file: sound or a refusal, and a decoder that still works after it."""
    dice = Random(7)
    originals = [made(kind, tone(1.0, 16000), 16000) for kind in KINDS]

    async def work(decoders: Decoders) -> int:
        refused = 0
        for number in range(120):
            octets = bytearray(originals[number % len(originals)])
            for _ in range(dice.choice((1, 4, 40))):
                place = dice.randrange(min(len(octets), dice.choice((64, 100_000))))
                octets[place] = dice.randrange(256)
            if dice.random() < 0.3:
                del octets[dice.randrange(len(octets)) :]
            (tmp_path / "file").write_bytes(octets)
            try:
                await decode(decoders, tmp_path / "file")
            except RequestUnfit:
                refused += 1
        (tmp_path / "file").write_bytes(originals[0])
        await decode(decoders, tmp_path / "file")
        return refused

    assert run(work) > 10
