"""The first call: SIPp dials an Offhook on free ports, speaks recorded prompts, and we show what happens."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
import wave
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from callers.sipp import CallCounts, CallPlan, Sipp, SippError, find_sipp
from callers.speech import Prompt, Track, build_track, load_prompts, read_wav
from engines.base import EngineError
from gateway.app import Offhook
from gateway.calls.record import CallRecord
from gateway.config import Config
from gateway.console import LiveConsole, ledger_table
from gateway.errors import GatewayError
from gateway.logs import LogSettings, start_logs
from gateway.observers import SilentObserver
from gateway.record_keeper import open_folder
from media.frame import Pcm
from media.legs.base import LegError
from media.legs.sip_settings import OFF, SipTransport

PROMPTS = Path(__file__).parent / "prompts"
_LEAD = 1.0
_REPLY_ROOM = 2.5
"""Silence after each prompt beyond its own length: the echo takes about as long as the prompt."""
_RECORD_WAIT = 5.0


class DemoFailed(Exception):
    """What failed, and the cure."""


class _LastRecord(SilentObserver):
    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.record: CallRecord | None = None

    def ended(self, record: CallRecord) -> None:
        self.record = record
        self.arrived.set()


async def run(prompts: Path | None, out: Path) -> int:
    """Place the call and show it; returns the exit code: 0 only when every prompt was answered."""
    console = Console(highlight=False)
    logs = start_logs(LogSettings(level="error"))
    try:
        record = await _call(console, prompts or PROMPTS, out)
        console.print()
        console.print(ledger_table(record))
        _where(console, out, record)
        code, verdict = judge(record, len(_load(prompts or PROMPTS)))
        console.print(verdict)
        return code
    except (DemoFailed, SippError, GatewayError, LegError, EngineError, OSError) as failure:
        console.print("[bold red]the demo failed:[/]", Text(str(failure)))
        return 1
    finally:
        logs.close()


async def _call(console: Console, folder: Path, out: Path) -> CallRecord:
    find_sipp()
    said = track(folder)
    try:
        open_folder(out)
    except OSError as error:
        raise DemoFailed(f"{out} cannot be written: {error.strerror}; choose a folder with --out") from None
    last = _LastRecord()
    node = Offhook(_config(out), observers=[LiveConsole(console), last])
    with _spinner(console) as progress:
        progress.add_task("loading the recogniser and the voice", total=None)
        await node.start()
    try:
        port = node.sip.ports[SipTransport.UDP]
        console.print(
            f"Offhook listens on sip:echo@127.0.0.1:{port}; SIPp speaks {len(said.spoken)} prompts.\n"
        )
        counts = await asyncio.to_thread(_dial, said, f"127.0.0.1:{port}")
        if counts.failed or not counts.answered:
            raise DemoFailed(why(counts))
        try:
            async with asyncio.timeout(_RECORD_WAIT):
                await last.arrived.wait()
        except TimeoutError:
            raise DemoFailed("the call left no record; run `offhook doctor`") from None
    finally:
        await node.aclose()
    assert last.record is not None
    return last.record


def why(counts: CallCounts) -> str:
    """Why SIPp's call did not go through, and the cure."""
    told = "\n".join(counts.errors)
    answer = re.search(r"SIP/2\.0 [3-6]\d\d [^\r\n]*", told)
    if answer is not None:
        cause = f"Offhook refused SIPp's call with {answer[0]!r}"
    else:
        cause = f"SIPp's call did not go through: {told or counts}"
    return f"{cause}; `offhook doctor` finds out whether RTP ports, engines or the network are to blame"


def _config(out: Path) -> Config:
    config = Config()
    return replace(
        config,
        sip=replace(config.sip, udp_port=0, tcp_port=OFF, tls_port=OFF),
        api=replace(config.api, port=0),
        node=replace(config.node, record_dir=out, recordings=True),
    )


def _load(folder: Path) -> list[Prompt]:
    if not (folder / "prompts.tsv").exists():
        return [Prompt(path.stem, "", _sound(path)) for path in sorted(folder.glob("*.wav"))]
    try:
        return load_prompts(folder)
    except (OSError, ValueError, EOFError, wave.Error) as error:
        raise DemoFailed(f"a prompt of {folder} cannot be played: {error or 'no WAV file'}") from None


def _sound(path: Path) -> Pcm:
    try:
        return read_wav(path)
    except (OSError, ValueError, EOFError, wave.Error) as error:
        what = str(error) or "it ends early"
        raise DemoFailed(f"{path} cannot be played: {what}; convert it to mono, 16 bit, 8 kHz") from None


def track(folder: Path) -> Track:
    """What the caller will play. Raises `DemoFailed`."""
    prompts = _load(folder)
    if not prompts:
        raise DemoFailed(f"{folder} holds no WAV files; give a folder with some, mono, 16 bit, 8 kHz")
    longest = max(len(prompt.pcm) for prompt in prompts) / 8000
    room = longest + _REPLY_ROOM
    return build_track(prompts, lead=_LEAD, gap=room, tail=room)


def _dial(track: Track, target: str) -> CallCounts:
    with tempfile.TemporaryDirectory(prefix="offhook-demo-") as folder:
        audio = track.write_ulaw(Path(folder) / "caller.ulaw")
        with Sipp(CallPlan(target, audio=audio, hold_s=track.seconds, caller="demo")) as sipp:
            return sipp.wait()


def _spinner(console: Console) -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)


def _where(console: Console, out: Path, record: CallRecord) -> None:
    wav, text = out / f"{record.call_id}.wav", out / f"{record.call_id}.json"
    for what, path in (("recording (left caller, right Offhook)", wav), ("record", text)):
        console.print(f"{what}: {path}", style="dim", soft_wrap=True)
        if not path.exists():
            raise DemoFailed(f"{path} was not written; is the disk full, or the folder read-only?")
    json.loads(text.read_text(encoding="utf-8"))


def judge(record: CallRecord, prompts: int) -> tuple[int, str]:
    """The exit code, and why."""
    answered = sum(1 for turn in record.turns if turn.number and turn.timings is not None)
    if answered < prompts:
        return 1, f"[bold red]only {answered} of {prompts} prompts were answered[/]; the record says why"
    return 0, f"[bold green]all {prompts} prompts were understood and answered[/]"
