"""Many calls that all talk at once against one SIP address, and the wire in their steady phase."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.processes import Usage, core_share, thread_shares, usage
from callers.capture import Capture, CaptureCounts
from callers.rtp import RtpStream
from callers.sipp import CallCounts, CallPlan, Sipp, SippError
from callers.speech import Prompt, build_track

_RAMP_PER_S = 25.0
_SETTLE_S = 4.0
_TAIL_S = 3.0


@dataclass(frozen=True, slots=True)
class Load:
    """How many calls, and how long they are watched."""

    target: str
    called: str
    calls: int
    steady_s: float
    audio: Path
    """Raw µ-law that every caller plays in a loop."""


@dataclass(frozen=True, slots=True)
class Steady:
    """What the steady phase showed."""

    counts: CallCounts
    capture: CaptureCounts
    cpu_percent: float
    """Of one core, of the process under test alone."""
    rss_mib: float
    threads: dict[str, float] = field(compare=False)
    """Per cent of a core by thread name."""
    sent_packets: int
    """By the callers, in the captured stretch."""
    gaps_ms: npt.NDArray[np.float64]
    """Between packets of the same outgoing stream, all streams together."""
    caller_gaps_ms: npt.NDArray[np.float64]
    """The same of the callers: what the load generator's own clock is worth."""
    streams: int
    """Outgoing streams seen."""
    out_lost: int
    """Sequence numbers missing in outgoing streams."""
    caller_lost: int
    """Sequence numbers missing in the callers' streams."""
    generator_percent: float
    """Of one core, of SIPp."""


def looped_speech(prompts: list[Prompt], path: Path, seconds: float = 20.0) -> Path:
    """Prompts with pauses of their own length between them: a caller who talks about half the time."""
    spoken = [prompts[0]]
    while sum(len(prompt.pcm) for prompt in spoken) < seconds * 4000:
        spoken.append(prompts[len(spoken) % len(prompts)])
    return build_track(spoken, lead=0.5, gap=3.0, tail=2.5).write_ulaw(path)


def run_load(load: Load, pid: int, *, look: Callable[[], None] = lambda: None) -> Steady:
    """Ramp up, wait, watch, hang up. `look` is called as the steady phase begins and ends."""
    ramp = load.calls / _RAMP_PER_S
    hold = ramp + _SETTLE_S + load.steady_s + _TAIL_S
    plan = CallPlan(
        load.target,
        called=load.called,
        audio=load.audio,
        loop=True,
        calls=load.calls,
        rate=_RAMP_PER_S,
        hold_s=hold,
    )
    sipp = Sipp(plan)
    with tempfile.TemporaryDirectory(prefix="load-") as folder, sipp:
        prefer(sipp.pid)
        time.sleep(ramp + _SETTLE_S)
        capture = Capture(Path(folder) / "rtp.pcap", [sipp.media_port], headers_only=True)
        with capture:
            look()
            before, own = usage(pid), usage(sipp.pid)
            threads = thread_shares(pid, load.steady_s)
            after, own_after = usage(pid), usage(sipp.pid)
            look()
        counts = _ended(sipp)
        return _judge(
            capture,
            (before, after),
            counts,
            generator=core_share(own, own_after),
            port=sipp.media_port,
            threads=threads,
        )


def prefer(pid: int) -> None:
    """Let a load generator run first, where we may: callers are other machines and do not wait for ours."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, pid, -10)


def _ended(sipp: Sipp) -> CallCounts:
    """The counts, even when some call would not end: the steady phase is over by then."""
    try:
        return sipp.wait()
    except SippError:
        sipp.stop()
        return sipp.counts()


def _judge(
    capture: Capture,
    looks: tuple[Usage, Usage],
    counts: CallCounts,
    *,
    generator: float,
    port: int,
    threads: dict[str, float],
) -> Steady:
    streams = capture.streams()
    outgoing = [stream for stream in streams if stream.destination.port == port]
    callers = [stream for stream in streams if stream.source.port == port]
    return Steady(
        counts=counts,
        capture=capture.counts,
        cpu_percent=core_share(*looks),
        rss_mib=looks[1].rss_mib,
        threads=threads,
        sent_packets=sum(map(len, callers)),
        gaps_ms=all_gaps(outgoing),
        caller_gaps_ms=all_gaps(callers),
        streams=len(outgoing),
        out_lost=sum(stream.lost() for stream in outgoing),
        caller_lost=sum(stream.lost() for stream in callers),
        generator_percent=generator,
    )


def all_gaps(streams: list[RtpStream]) -> npt.NDArray[np.float64]:
    """The gaps of every stream, in one array."""
    gaps = [stream.gaps_ms() for stream in streams]
    return np.concatenate(gaps) if gaps else np.zeros(0)
