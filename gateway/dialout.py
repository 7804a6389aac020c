"""`offhook call`: dial out, play a file, print what the far end says, keep the sound of both."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from engines.base import Asr, AsrOptions, AsrStream, Residency
from gateway.config import Config, secrets_in
from gateway.engine_room import Watch, open_asr
from gateway.errors import FileUnfit
from gateway.logs import LogSettings, start_logs
from gateway.models import models_of
from media.frame import AudioFrame, Pcm, Voice
from media.legs.base import (
    DtmfReceived,
    EndReason,
    Leg,
    LegAnswered,
    LegClosed,
    LegEvent,
    PlayoutDrained,
)
from media.legs.recorded import RecordedLeg
from media.legs.sip_endpoint import SipEndpoint
from media.legs.sip_settings import SipSettings
from media.recorder import TapeDisk
from media.segmenter import SegmenterSettings, SpeechEnded, SpeechSegmenter, SpeechStarted
from media.vad import open_detector
from media.wav import read_mono

_LISTEN_ON = 4.0
"""Seconds of silence after the file was played and the far end last spoke, before we hang up."""
_LAST_WORDS = 2.0
_REPLY = 1
_ANY_RATE = 8000
"""For a first look at the file; it is read again at the rate of the call."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What was asked for on the command line."""

    uri: str
    play: Path | None
    record: Path | None
    seconds: float
    trunk: str
    caller: str


async def place(config: Config, order: Outgoing) -> int:
    """Place the call; returns 0 when it was answered, 1 when not.

    Raises `LegError`, `EngineError`, and `FileUnfit` for a file that cannot be played or written.
    """
    if order.play is not None:
        await asyncio.to_thread(_read, order.play, _ANY_RATE)
    if order.record is not None:
        await asyncio.to_thread(_writable, order.record)
    console = Console(highlight=False)
    logs = start_logs(LogSettings(level="warning"), secrets=secrets_in(config))
    try:
        async with AsyncExitStack() as closing:
            asr = await open_asr(config, models_of(config), closing, Watch())
            await asr.warm_up()
            away = _Away()
            # A registration of ours would take the calls that the node of this configuration waits for.
            endpoint = SipEndpoint(
                _ephemeral(config),
                away.take,
                open_detector(config.vad),
                asyncio.get_running_loop(),
                registers=False,
            )
            await endpoint.start()
            closing.push_async_callback(endpoint.aclose)
            leg: Leg = await endpoint.dial(order.uri, trunk=order.trunk, caller=order.caller)
            if order.record is not None:
                disk = TapeDisk()
                closing.push_async_callback(asyncio.to_thread, disk.close)
                leg = RecordedLeg(leg, order.record, disk)
            listener = _Ear(leg, asr, config, console, order.play)
            leg.attach(listener)
            answered = await _see_through(leg, listener, order.seconds)
            if answered and order.record is not None:
                console.print(f"recording (left far end, right us): {order.record}", style="dim")
            return 0 if answered else 1
    finally:
        logs.close()


def _ephemeral(config: Config) -> SipSettings:
    """Free ports: a node that runs on this machine keeps its own."""
    sip = config.sip
    udp, tcp, tls = (min(port, 0) for port in (sip.udp_port, sip.tcp_port, sip.tls_port))
    return replace(sip, udp_port=udp, tcp_port=tcp, tls_port=tls)


class _Away:
    """We only dial out; whoever calls us now is told so."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, leg: Leg) -> None:
        task = asyncio.get_running_loop().create_task(leg.reject(480), name="turn-away")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _see_through(leg: Leg, listener: _Ear, seconds: float) -> bool:
    """Let the call run; returns whether it was answered."""
    try:
        async with asyncio.timeout(seconds):
            await listener.done.wait()
    except TimeoutError:
        pass
    await leg.hangup(EndReason.CALLER_HUNG_UP)
    try:
        async with asyncio.timeout(_LAST_WORDS):
            await listener.over.wait()
            await listener.understood.wait()
    except TimeoutError:
        pass
    await listener.aclose()
    return listener.was_answered


class _Ear:
    """Plays the file once the far end answers, and prints what it hears."""

    def __init__(self, leg: Leg, asr: Asr, config: Config, console: Console, file: Path | None) -> None:
        self._leg = leg
        self._asr = asr
        self._limit = Residency(config.node.data)
        self._config = config
        self._console = console
        self._file = file
        self._stream: AsrStream | None = None
        self._segmenter: SpeechSegmenter | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._segment = 0
        self._pending = 0
        self._played = file is None
        self._quiet_since = 0.0
        self._end = 0.0
        self.was_answered = False
        self.done = asyncio.Event()
        self.over = asyncio.Event()
        self.understood = asyncio.Event()
        """Nothing that was heard waits for its words."""
        self.understood.set()

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        if self._segmenter is None or self._stream is None:
            return
        for event in self._segmenter.push(frame, voice):
            match event:
                case SpeechStarted():
                    self._segment += 1
                    self._pending += 1
                    self.understood.clear()
                    self._stream.start(self._segment)
                    for earlier in self._segmenter.preroll():
                        self._stream.push(earlier)
                case SpeechEnded():
                    self._stream.push(frame)
                    self._stream.end()
                    self._quiet_since = frame.arrived
        if self._segmenter.speaking:
            self._stream.push(frame)
        elif self._played and self._file and frame.arrived - max(self._quiet_since, self._end) > _LISTEN_ON:
            self.done.set()

    def notice(self, event: LegEvent) -> None:
        match event:
            case LegAnswered(sample_rate=rate, codec=codec) if not self.was_answered:
                self.was_answered = True
                self._console.print(f"answered, {codec} at {rate} Hz", style="dim")
                self._begin(rate)
            case PlayoutDrained(at=at):
                self._played, self._end = True, at
            case DtmfReceived(digit=digit):
                self._console.print(f"key {digit}", style="dim")
            case LegClosed(reason=reason, sip_code=code, detail=detail):
                self._console.print(
                    f"over: {reason}{f' ({code})' if code else ''} {detail}".rstrip(), style="dim"
                )
                if self._segmenter is not None and self._stream is not None and self._segmenter.speaking:
                    self._stream.end()
                self.over.set()
                self.done.set()

    async def aclose(self) -> None:
        """Stop listening."""
        if self._stream is not None:
            await self._stream.aclose()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, rate: int) -> None:
        self._segmenter = SpeechSegmenter(SegmenterSettings(hangover_ms=600), rate)
        self._stream = self._asr.stream(
            AsrOptions(self._config.session.language, rate, interim=False, data=self._limit)
        )
        loop = asyncio.get_running_loop()
        self._tasks.append(loop.create_task(self._print(), name="print-words"))
        if self._file is not None:
            self._tasks.append(loop.create_task(self._play(self._file, rate), name="play-file"))

    async def _print(self) -> None:
        assert self._stream is not None
        async for transcript in self._stream.results():
            if not transcript.is_final:
                continue
            if transcript.text:
                self._console.print(Text.assemble(("far end  ", "dim"), transcript.text))
            self._pending -= 1
            if not self._pending:
                self.understood.set()

    async def _play(self, file: Path, rate: int) -> None:
        pcm = await asyncio.to_thread(_read, file, rate)
        written = 0
        while written < len(pcm):
            written += self._leg.playout.write(pcm[written:], _REPLY)
            await asyncio.sleep(0.1 if written < len(pcm) else 0)
        self._leg.playout.finish()


def _read(file: Path, rate: int) -> Pcm:
    try:
        return read_mono(file, rate)
    except (OSError, ValueError) as error:
        raise FileUnfit(f"{file} cannot be played: {error}") from None


def _writable(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileUnfit(f"{file} cannot be written: {error.strerror}; choose another place") from None
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise FileUnfit(f"{file} cannot be written; choose another place")
