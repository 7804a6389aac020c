"""How long a reply's first sound takes from `write` to the wire, with 1 to 300 calls at once.

Each call is answered by `echo_node` and hears a short burst every second or two, at any phase of the media
clock. A burst carries its own number in its first samples, so the packet on the wire that begins it is known
beyond doubt; its kernel stamp minus the moment of the write is the time that is reported. All samples count.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.arguments import numbers, parser
from benchmarks.codes import read_code
from benchmarks.load import looped_speech
from benchmarks.nodes import EchoProcess, wall_offset_ns
from benchmarks.report import Report, quantiles
from callers.capture import Capture
from callers.rtp import RtpStream
from callers.sipp import CallPlan, Sipp
from callers.speech import load_prompts

_LIMIT_MS = 20.0
_RAMP_PER_S = 25.0
_SETTLE_S = 3.0


def measure(calls: int, seconds: float, audio: Path) -> tuple[list[float], int]:
    """Milliseconds from each write to its packet, and how many writes never came out."""
    ramp = calls / _RAMP_PER_S
    with EchoProcess(mode="bursts", max_calls=calls + 20) as node, tempfile.TemporaryDirectory() as folder:
        hold = ramp + _SETTLE_S + seconds + 4.0
        sipp = Sipp(CallPlan(node.target, audio=audio, loop=True, calls=calls, rate=_RAMP_PER_S, hold_s=hold))
        with sipp:
            time.sleep(ramp + _SETTLE_S)
            with Capture(Path(folder) / "rtp.pcap", [sipp.media_port]) as capture:
                began = time.monotonic_ns()
                time.sleep(seconds)
                ended = time.monotonic_ns()
                offset = wall_offset_ns()
            writes = {int(code): int(at) for code, at in node.ask("writes")}
            sipp.wait()
        seen = arrivals(
            [stream for stream in capture.streams() if stream.destination.port == sipp.media_port]
        )
    inside = {code: at for code, at in writes.items() if began <= at < ended}
    delays = [(seen[code] - offset - at) / 1e6 for code, at in inside.items() if code in seen]
    return delays, len(inside) - len(delays)


def arrivals(streams: list[RtpStream]) -> dict[int, int]:
    """When the packet that begins each numbered burst was on the wire."""
    return {
        code: int(at)
        for stream in streams
        for at, payload in zip(stream.arrived_ns, stream.payload, strict=True)
        if (code := read_code(payload)) is not None
    }


def run(options: argparse.Namespace) -> int:
    """Measure every number of calls."""
    report = Report("first_packet", ("calls", "writes", "missing", "p50 ms", "p95 ms", "p99 ms", "max ms"))
    with tempfile.TemporaryDirectory(prefix="first-") as folder:
        audio = looped_speech(load_prompts(options.speech), Path(folder) / "speech.ulaw")
        for calls in options.calls:
            # Few calls write seldom: watch them longer, so that p99 rests on some hundred writes.
            seconds = options.seconds * max(1.0, min(4.0, 20.0 / calls))
            delays, missing = measure(calls, seconds, audio)
            p50, p95, p99, most = quantiles(delays, 0.5, 0.95, 0.99, 1.0)
            report.row(calls, len(delays), missing, p50, p95, p99, most)
            report.bar(f"p99 from write to packet at {calls} calls", p99, _LIMIT_MS, "ms")
            report.bar(f"writes that never came out at {calls} calls", missing, 0)
    report.note("a packet leaves every 20 ms, so a write waits 0 to 20 ms for it, evenly: that is the floor")
    return report.finish()


def main() -> int:
    arguments = parser("first_packet", __doc__ or "")
    arguments.add_argument("--calls", type=numbers, default=[1, 50, 100, 200, 300])
    arguments.add_argument("--seconds", type=float, default=15.0, help="watched at each point")
    return run(arguments.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
