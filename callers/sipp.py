"""Calls placed by SIPp: writes the scenario of a run, starts it bounded in time, reads what came of it.

SIPp 3.6.1's ways, found by experiment, that this file builds on or works around:

* One process sends the RTP of all its calls from one port (`-mp`) and never reads that port.
* `rtp_stream` takes the payload type as its third part and would send type 8 (A-law) without it.
* With the default of 20 streams per thread packets leave in bursts, up to 36 ms apart; with one stream per
  thread (`-rtp_threadtasks 1`) every gap lies between 16 and 20.3 ms, at 300 calls too.
* The file is sent as it is, so it must hold bare µ-law codes; a stream that ended sends nothing more.
"""

from __future__ import annotations

import csv
import random
import re
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

SCENARIOS = Path(__file__).parent / "scenarios"

_TRANSACTION = re.compile(r' (start|response|ack)_txn="\w+"')
_MARGIN = 20.0
_KILL_AFTER = 5.0
_FOREVER = -1
_PORTS = (42_000, 60_000)
"""Above the range from which gateways take RTP ports by default."""
_given: set[int] = set()


class SippError(RuntimeError):
    """SIPp could not be run; the message says why and the cure."""


@dataclass(frozen=True, slots=True)
class CallPlan:
    """What a run of SIPp shall do."""

    target: str
    """`host:port` of the SIP server."""
    called: str = "echo"
    caller: str = "1001"
    scenario: str = "talk"
    """A file of `callers/scenarios` without its ending: talk, hold or churn."""
    audio: Path | None = None
    """Raw µ-law to stream from the answer on; None sends no RTP."""
    loop: bool = False
    """Play the audio again and again until the call ends."""
    calls: int = 1
    rate: float = 10.0
    """Calls begun per second, whether earlier ones were answered or not (open loop)."""
    hold_s: float = 5.0
    """Seconds from the answer to our BYE, if the far end does not hang up first."""
    cancel_share: float = 0.0
    """churn only: share of calls that give up before the answer, 0..1."""
    vanish_share: float = 0.0
    """churn only: share of answered calls that end without BYE, 0..1."""
    before_s: float = 0.0
    """hold only: seconds from the answer to the hold."""
    held_s: float = 0.0
    """hold only: seconds on hold."""
    local_host: str = "127.0.0.1"

    def __post_init__(self) -> None:
        if self.calls < 1 or self.rate <= 0 or self.hold_s <= 0:
            raise ValueError("calls, rate and hold_s must be positive")
        if not (0 <= self.cancel_share <= 1 and 0 <= self.vanish_share <= 1):
            raise ValueError("cancel_share and vanish_share are shares: give 0 to 1")

    @property
    def seconds(self) -> float:
        """How long the run takes when nothing waits."""
        return self.calls / self.rate + self.before_s + self.held_s + self.hold_s


@dataclass(frozen=True, slots=True)
class CallCounts:
    """What became of the calls of a run, as SIPp counted it."""

    begun: int = 0
    completed: int = 0
    """Went through the scenario as written, refusals included."""
    failed: int = 0
    """Something came that no standard allows there, or nothing came."""
    answered: int = 0
    busy: int = 0
    """Refused with 503."""
    refused: int = 0
    """Refused with another code."""
    cancelled: int = 0
    too_late: int = 0
    """Of the cancelled: answered before the CANCEL arrived."""
    vanished: int = 0
    hung_up_on: int = 0
    """Ended by a BYE of the far end."""
    errors: tuple[str, ...] = field(default=())
    """First lines of SIPp's error log."""


def find_sipp() -> str:
    """Path of the sipp program. Raises SippError when it is not installed."""
    path = shutil.which("sipp")
    if path is None:
        raise SippError("sipp is not installed; cure: apt-get install sip-tester")
    return path


def free_port(host: str = "127.0.0.1") -> int:
    """An even UDP port with the next three free as well; never the same twice in one process."""
    for _ in range(500):
        port = random.randrange(*_PORTS, 4)
        if port not in _given and all(_is_free(host, port + step) for step in range(4)):
            _given.add(port)
            return port
    raise SippError(f"no four neighbouring free UDP ports on {host}")


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def render(plan: CallPlan) -> str:
    """The scenario of a plan as XML."""
    text = (SCENARIOS / f"{plan.scenario}.xml").read_text(encoding="utf-8")
    text = re.sub(r"\{\{reinvite:(\w+) (\d+) (\w+)\}\}", _reinvite, text)
    while match := re.search(r"\{\{(part|plain):(\w+)\}\}", text):
        part = _part(match[2])
        text = text.replace(match[0], _TRANSACTION.sub("", part) if match[1] == "plain" else part)
    values = {
        "called": plan.called,
        "caller": plan.caller,
        "play": _play(plan),
        "hold_ms": str(round(plan.hold_s * 1000)),
        "before_ms": str(round(plan.before_s * 1000)),
        "held_ms": str(round(plan.held_s * 1000)),
        "cancel_share": str(plan.cancel_share),
        "vanish_share": str(plan.vanish_share),
    }
    for name, value in values.items():
        text = text.replace("{{" + name + "}}", value)
    if "{{" in text:
        raise SippError(f"scenario {plan.scenario}: a placeholder was left open")
    return text


def _part(name: str) -> str:
    return (SCENARIOS / "parts" / f"{name}.xml").read_text(encoding="utf-8")


def _reinvite(match: re.Match[str]) -> str:
    text = _part("reinvite")
    for name, value in zip(("txn", "cseq", "direction"), match.groups(), strict=True):
        text = text.replace("{{" + name + "}}", value)
    return text


def _play(plan: CallPlan) -> str:
    if plan.audio is None:
        return ""
    times = _FOREVER if plan.loop else 1
    return f'  <nop><action><exec rtp_stream="{plan.audio.resolve()},{times},0"/></action></nop>'


def rate_arguments(calls_per_second: float) -> list[str]:
    """SIPp counts whole calls per period, so the period is long."""
    return ["-r", str(max(1, round(calls_per_second * 100))), "-rp", "100s"]


class Sipp:
    """One running SIPp process; a context manager that never leaves it behind."""

    def __init__(self, plan: CallPlan, *, media_port: int = 0, trace_messages: Path | None = None) -> None:
        self.plan = plan
        self.sip_port = free_port(plan.local_host)
        self.media_port = media_port or free_port(plan.local_host)
        self._trace_messages = trace_messages
        self._folder: Path | None = None
        self._counts = CallCounts()
        self._process: subprocess.Popen[bytes] | None = None
        self._until = 0.0

    def __enter__(self) -> Sipp:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._counts = self.counts()
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None

    def start(self) -> None:
        """Begin to place calls. Raises SippError when SIPp is not there."""
        program = find_sipp()
        self._folder = folder = Path(tempfile.mkdtemp(prefix="sipp-"))
        scenario = folder / "scenario.xml"
        scenario.write_text(render(self.plan), encoding="utf-8")
        limit = round(self.plan.seconds + _MARGIN)
        self._until = time.monotonic() + limit + _KILL_AFTER
        with (folder / "screen").open("wb") as screen:
            self._process = subprocess.Popen(
                [program, *self._arguments(limit)],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=screen,
                stderr=subprocess.STDOUT,
            )

    def _arguments(self, limit: int) -> list[str]:
        plan = self.plan
        host = plan.local_host
        arguments = [plan.target, "-sf", "scenario.xml", "-nostdin", "-i", host, "-p", str(self.sip_port)]
        arguments += ["-mi", host, "-mp", str(self.media_port), "-rtp_threadtasks", "1"]
        arguments += ["-m", str(plan.calls), "-l", str(plan.calls), *rate_arguments(plan.rate)]
        arguments += ["-timeout", f"{limit}s", "-timeout_error", "-aa", "-cid_str", "%u-%p@%s"]
        arguments += ["-trace_stat", "-stf", "stat.csv", "-fd", "1", "-trace_err", "-error_file", "errors"]
        if self._trace_messages is not None:
            arguments += ["-trace_msg", "-message_file", str(self._trace_messages.resolve())]
        return arguments

    @property
    def pid(self) -> int:
        """Process number, 0 before the start."""
        return self._process.pid if self._process else 0

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait(self) -> CallCounts:
        """Let every call end (bounded), and count. Raises SippError when SIPp itself failed."""
        if self._process is None:
            raise SippError("not started")
        try:
            code = self._process.wait(max(0.0, self._until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.stop()
            raise SippError("sipp ran past its time limit and was killed") from None
        counts = self.counts()
        if code not in (0, 1) or not counts.begun:
            raise SippError(f"sipp exited with {code}: {self._last_words()}")
        return counts

    def stop(self) -> None:
        """End the process now, if it still runs; idempotent."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def counts(self) -> CallCounts:
        """What SIPp has counted so far."""
        if self._folder is None:
            return self._counts
        path = self._folder / "stat.csv"
        if not path.exists():
            return CallCounts(errors=self._errors())
        with path.open(newline="", encoding="latin-1") as file:
            rows = list(csv.reader(file, delimiter=";"))
        if len(rows) < 2:
            return CallCounts(errors=self._errors())
        last = dict(zip(rows[0], rows[-1], strict=False))
        return CallCounts(
            begun=_number(last, "TotalCallCreated"),
            completed=_number(last, "SuccessfulCall(C)"),
            failed=_number(last, "FailedCall(C)"),
            **{name: _number(last, f"{name}(C)") for name in _COUNTERS},
            errors=self._errors(),
        )

    def _errors(self) -> tuple[str, ...]:
        path = self._folder / "errors" if self._folder else None
        if path is None or not path.exists():
            return ()
        entries = re.split(r"\d{4}-\d\d-\d\d\t[\d:.]+\t[\d.]+: ", path.read_text(encoding="latin-1"))
        return tuple(entry.strip() for entry in entries[1:] if _HANG_UP not in entry)[:5]

    def _last_words(self) -> str:
        said: list[str] = []
        if self._folder is not None:
            said = (self._folder / "screen").read_text(encoding="latin-1").strip().splitlines()
        return " | ".join([*self._errors(), *said[-2:]])


_HANG_UP = "jumping to label"
"""SIPp logs every call that we end ourselves as a timeout of the wait for the far end's BYE."""
_COUNTERS = ("answered", "busy", "refused", "cancelled", "too_late", "vanished", "hung_up_on")


def _number(row: dict[str, str], column: str) -> int:
    value = row.get(column, "")
    return int(value) if value.isdigit() else 0
