"""What a stall of the Python process does to a call: nothing, or it is a fault.

The interpreter is stopped by a C call that keeps the GIL, as a long garbage collection or a careless
extension would; native threads run on. (SIGSTOP would stop those too, and so say nothing about the design.)
During playout the caller must receive every packet on time with the reply's samples unbroken; while the
caller speaks, every frame of theirs must still be heard.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.arguments import parser
from benchmarks.load import looped_speech
from benchmarks.nodes import EchoProcess, wall_offset_ns
from benchmarks.report import Report
from callers.capture import Capture
from callers.rtp import RtpStream
from callers.sipp import CallPlan, Sipp
from callers.speech import levels_dbfs, load_prompts

_GAP_LIMIT_MS = 40.0
"""Two packet times: the clock of a busy machine may slip one packet, a stall would be twenty-five."""
_REPLY_S = 4.0
_LOUD_DBFS = -30.0


@dataclass(frozen=True, slots=True)
class Playing:
    """The wire during a stall in the middle of a reply."""

    stalled_ms: float
    longest_gap_ms: float
    missing_packets: int
    broken_ms: float
    """Sound missing from the reply, in 5 ms steps."""


def during_playout(calls: int, stall_s: float, audio: Path) -> list[Playing]:
    """One reply on every call, stalled in its middle."""
    with EchoProcess(mode="say") as node, tempfile.TemporaryDirectory() as folder:
        sipp = Sipp(
            CallPlan(node.target, audio=audio, loop=True, calls=calls, rate=25, hold_s=calls / 25 + 9)
        )
        with sipp:
            time.sleep(calls / 25 + 1.5)
            with Capture(Path(folder) / "rtp.pcap", [sipp.media_port]) as capture:
                node.ask(f"say {_REPLY_S}")
                time.sleep(_REPLY_S / 3)
                began, ended = node.ask(f"stall {stall_s}")["stalled"]
                time.sleep(_REPLY_S)
                offset = wall_offset_ns()
            sipp.wait()
        streams = [s for s in capture.streams() if s.destination.port == sipp.media_port]
    return [_playing(stream, began + offset, ended + offset) for stream in streams]


def _playing(stream: RtpStream, began: int, ended: int) -> Playing:
    around = stream.between(began - 200_000_000, ended + 200_000_000)
    loud = np.flatnonzero(levels_dbfs(stream.sound.pcm, 40) > _LOUD_DBFS)
    silent = int(loud[-1] - loud[0] + 1 - len(loud)) if len(loud) else round(_REPLY_S * 200)
    gaps = around.gaps_ms()
    longest = float(gaps.max()) if len(gaps) else float("nan")
    return Playing((ended - began) / 1e6, longest, around.lost(), silent * 5.0)


def during_speech(calls: int, stall_s: float, audio: Path) -> dict[str, int]:
    """What was heard and what was lost on any way, with stalls while callers speak."""
    with EchoProcess(mode="echo") as node, tempfile.TemporaryDirectory():
        sipp = Sipp(
            CallPlan(node.target, audio=audio, loop=True, calls=calls, rate=25, hold_s=calls / 25 + 8)
        )
        with sipp:
            time.sleep(calls / 25 + 2.0)
            before = node.ask("stats")
            for _ in range(3):
                node.ask(f"stall {stall_s}")
                time.sleep(1.0)
            after = node.ask("stats")
            sipp.wait()
    names = ("heard", "lost", "skipped", "bus_dropped", "bus_jb_discarded", "bus_late")
    return {name: int(after[name] - before[name]) for name in names}


def run(options: argparse.Namespace) -> int:
    """Both stalls, at one call and at many."""
    report = Report("playout_stall", ("what", "calls", "stall ms", "longest gap ms", "packets missing",
                                      "reply broken ms", "frames lost", "concealed"))  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="stall-") as folder:
        audio = looped_speech(load_prompts(options.speech), Path(folder) / "speech.ulaw")
        for calls in (1, options.calls):
            playing = during_playout(calls, options.stall, audio)
            gap = max(part.longest_gap_ms for part in playing)
            missing = sum(part.missing_packets for part in playing)
            broken = max(part.broken_ms for part in playing)
            report.row("playout", calls, playing[0].stalled_ms, gap, missing, broken, "-", "-")
            report.bar(f"longest gap in a reply at {calls} calls", gap, _GAP_LIMIT_MS, "ms")
            report.bar(f"sound missing from a reply at {calls} calls", broken, 0, "ms")
            heard = during_speech(calls, options.stall, audio)
            lost = sum(value for name, value in heard.items() if name not in ("heard", "lost"))
            report.row("speech", calls, options.stall * 1000, "-", "-", "-", lost, heard["lost"])
            report.bar(f"caller frames lost at {calls} calls", lost, 0)
            report.details[f"speech {calls}"] = heard
    return report.finish()


def main() -> int:
    arguments = parser("playout_stall", __doc__ or "")
    arguments.add_argument("--calls", type=int, default=50, help="the larger number of calls")
    arguments.add_argument("--stall", type=float, default=0.5, help="seconds")
    return run(arguments.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
