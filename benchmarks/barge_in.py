"""How quickly a reply yields to a caller who speaks over it, and how often to one who does not.

The gateway greets with a long text; the caller speaks a prompt over it. A call in which nobody speaks gives
the greeting's exact samples, so the level of every 5 ms of an interrupted one is known against it: when it
was lowered, and which packet was the last to carry any of it. Times count from the caller's first voiced
sample as spoken, and are those of packets on the wire. Then the same greeting is heard under noises that
are no speech.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.arguments import parser
from benchmarks.conversations import Conversation, hold
from benchmarks.gateway import GatewayProcess
from benchmarks.noises import NOISES
from benchmarks.report import Report, quantiles
from callers.g711 import Pcm
from callers.speech import RATE, Prompt, Spoken, Track, build_track, load_prompts, silence, voiced_span

_GREETING = (
    "Thank you for calling. This is a rather long announcement that goes on for quite a while. "
    "Our office is open from Monday to Friday between nine in the morning and five in the afternoon. "
    "You can reach the billing department, the warehouse, the repair shop and the front desk. "
    "If you have ordered something in the last days, please have your order number at hand. "
    "Deliveries to the islands take two more days, and larger parcels are brought by a carrier. "
    "Returned goods are checked within a week, and the money is sent back to you right after that. "
    "The repair shop answers questions about guarantees, spare parts and the age of your machine. "
    "We will be closed on the first day of the month, when everything in the store is counted. "
    "Visitors find a place to park behind the building, next to the large green door. "
    "That was all for now, and we are glad that you listened to the very end."
)
_PIECE = RATE // 200
_DUCKED = 0.6
"""Level of the reply, of 1, below which it counts as lowered."""
_GONE = 0.02
_GONE_PIECES = 30
"""So many pieces in a row (0.15 s) without a trace of the greeting mean that it was stopped."""
_KNOWN_DBFS = -40.0
"""Pieces of the greeting below this say nothing about the level."""
_SOUNDING_S = 0.35
"""The greeting sounds for so long around the caller's first voiced sample ..."""
_BEFORE_S = 0.06
"""... of which so much lies before it: calls differ in when their greeting begins by two packets or so."""
_PAUSE_PIECES = 3
"""The longest pause within that time."""
_BARS = {"ducked": (70.0, 100.0), "stopped": (120.0, 160.0)}
_STOPS_PER_HOUR = 2.0


@dataclass(frozen=True, slots=True)
class Yielding:
    """One interruption, in ms from the caller's first voiced sample; NaN for what did not happen."""

    prompt: str
    ducked: float
    stopped: float


def levels(heard: Pcm, greeting: Pcm) -> npt.NDArray[np.float64]:
    """Level of each 5 ms of `heard` against the greeting, 0 to 1; NaN where the greeting is silent."""
    length = min(len(heard), len(greeting)) // _PIECE * _PIECE
    mine = heard[:length].astype(np.float64).reshape(-1, _PIECE)
    whole = greeting[:length].astype(np.float64).reshape(-1, _PIECE)
    power = np.sum(whole * whole, axis=1)
    floor = _PIECE * (32768 * 10 ** (_KNOWN_DBFS / 20)) ** 2
    gain = np.sum(mine * whole, axis=1) / np.maximum(power, 1.0)
    return np.where(power > floor, gain, np.nan)


def greeting_start(conversation: Conversation) -> int:
    """Index of the first audible sample that the gateway sent."""
    start, _ = voiced_span(conversation.reply.sound.pcm)
    return start


def yielding(conversation: Conversation, greeting: Pcm) -> Yielding:
    """What the wire shows of one interruption."""
    sound = conversation.reply.sound
    spoken = conversation.track.spoken[0]
    onset = conversation.start_ns(spoken)
    begin = _aligned(sound.pcm, greeting)
    gains = levels(sound.pcm[begin:], greeting)
    at = np.array([sound.packet_ns(begin + piece * _PIECE) for piece in range(len(gains))])
    before = gains[(at < onset) & ~np.isnan(gains)]
    if not len(before) or np.abs(np.median(before) - 1) > 0.05:
        return Yielding(spoken.prompt.name, float("nan"), float("nan"))
    low = np.flatnonzero((at >= onset) & (gains < _DUCKED))
    last = _last_piece(gains, int(np.searchsorted(at, onset)))
    ducked = (int(at[low[0]]) - onset) / 1e6 if len(low) else float("nan")
    stopped = (int(at[last]) - onset) / 1e6 if last is not None else float("nan")
    # What is silent is lowered, too.
    return Yielding(spoken.prompt.name, float(np.fmin(ducked, stopped)), stopped)


def _last_piece(gains: npt.NDArray[np.float64], begin: int) -> int | None:
    """The last piece with sound of the greeting before it stays away; what comes later is another reply."""
    known = np.flatnonzero(~np.isnan(gains))
    known = known[known >= begin]
    gone = np.abs(gains[known]) < _GONE
    for place in range(1, len(known) - _GONE_PIECES):
        if gone[place : place + _GONE_PIECES].all():
            return int(known[place - 1])
    return None


def _aligned(heard: Pcm, greeting: Pcm) -> int:
    """Where the greeting begins in what was heard: its first audible 100 ms, bit by bit."""
    pattern = greeting[: RATE // 10].astype("<i2").tobytes()
    at = heard.astype("<i2").tobytes().find(pattern)
    return max(0, at // 2)


def sounding(greeting: Pcm, begins: float, *, after: float, until: float) -> list[float]:
    """Moments of a call, in s from the caller's first packet, around which the greeting does not pause.

    `begins` is when the greeting does, on the same clock; `after` and `until` bound the moments.
    """
    known = ~np.isnan(levels(greeting, greeting))
    length = round(_SOUNDING_S * RATE / _PIECE)
    found = [
        begins + _BEFORE_S + place * _PIECE / RATE
        for place in range(len(known) - length)
        if _longest_pause(known[place : place + length]) <= _PAUSE_PIECES
    ]
    return [moment for moment in found if after <= moment < until]


def _longest_pause(known: npt.NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.concatenate(([True], known, [True])))
    return int(np.diff(edges).max()) - 1


def interruptions(prompts: Sequence[Prompt], calls: int, moments: Sequence[float]) -> list[Track]:
    """One prompt per call; its first voiced sample falls on one of the moments, spread over all of them."""
    tracks: list[Track] = []
    for number in range(calls):
        prompt = prompts[number % len(prompts)]
        moment = moments[int(number * 0.618034 * len(moments)) % len(moments)]
        lead = moment - voiced_span(prompt.pcm)[0] / RATE
        tracks.append(build_track([prompt], lead=lead, gap=0.0, tail=1.5))
    return tracks


def noise_track(name: str, seconds: float, seed: int) -> Track:
    """A caller who only makes this noise."""
    pcm = NOISES[name](seconds, np.random.default_rng(seed))
    whole = np.concatenate([silence(1.0), pcm, silence(0.3)])
    return Track(whole, (Spoken(Prompt(name, "", pcm), RATE, len(whole) - 1),))


def false_stops(conversation: Conversation) -> tuple[int, float]:
    """How often the greeting was stopped, and how many seconds of it were heard."""
    audible = conversation.reply.arrived_ns[conversation.reply.audible_packets()]
    seconds = (int(audible[-1]) - int(audible[0])) / 1e9 if len(audible) else 0.0
    return len(conversation.record["barge_ins_ms"]), seconds


def run(options: argparse.Namespace) -> int:
    """Interruptions first, then noises."""
    report = Report("barge_in", ("what", "calls", "seen", "p50 ms", "p95 ms", "max ms"))
    prompts = load_prompts(options.speech)
    settings = {"agents": {"echo": {"kind": "echo", "greeting": _GREETING}}}
    with GatewayProcess(settings) as gateway:
        quiet = Track(silence(options.greeting_s), ())
        (reference,) = hold(gateway, [quiet])
        start = greeting_start(reference)
        greeting = reference.reply.sound.pcm[start:]
        begins = (reference.reply.sound.packet_ns(start) - reference.caller.sound.spoken_ns(0)) / 1e9
        moments = sounding(greeting, begins, after=3.0, until=12.0)
        if not moments:
            raise SystemExit("the greeting pauses all the time: no moment to interrupt it")
        tracks = interruptions(prompts, options.calls, moments)
        found: list[Yielding] = []
        for at in range(0, options.calls, options.at_once):
            found += [yielding(one, greeting) for one in hold(gateway, tracks[at : at + options.at_once])]
        judge(report, found)
        judge_noises(report, gateway, options)
    report.details["interruptions"] = [(y.prompt, y.ducked, y.stopped) for y in found]
    return report.finish()


def judge(report: Report, found: Sequence[Yielding]) -> None:
    """Rows and bars of the interruptions."""
    for what, (p50_limit, p95_limit) in _BARS.items():
        values = [value for one in found if not np.isnan(value := getattr(one, what))]
        p50, p95, most = quantiles(values, 0.5, 0.95, 1.0)
        report.row(what, len(found), len(values), p50, p95, most)
        report.bar(f"{what} p50", p50, p50_limit, "ms")
        report.bar(f"{what} p95", p95, p95_limit, "ms")
    missed = sum(bool(np.isnan(one.stopped)) for one in found)
    report.bar("interruptions that stopped nothing", missed, 0)


def judge_noises(report: Report, gateway: GatewayProcess, options: argparse.Namespace) -> None:
    """Rows and the bar of the noises."""
    stops, seconds = 0, 0.0
    for name in NOISES:
        tracks = [noise_track(name, options.greeting_s - 2, seed) for seed in range(options.noise_calls)]
        outcomes = [
            false_stops(one)
            for at in range(0, len(tracks), options.noise_at_once)
            for one in hold(gateway, tracks[at : at + options.noise_at_once], stagger=0.1)
        ]
        mine, heard = sum(count for count, _ in outcomes), sum(length for _, length in outcomes)
        report.note(f"{name}: {mine} stops in {heard:.0f} s of reply")
        report.details[name] = {"stops": mine, "seconds": heard}
        stops, seconds = stops + mine, seconds + heard
    report.bar("false stops per hour of reply under noise", 3600 * stops / max(seconds, 1.0), _STOPS_PER_HOUR)


def main() -> int:
    arguments = parser("barge_in", __doc__ or "")
    arguments.add_argument("--calls", type=int, default=60, help="interruptions")
    arguments.add_argument("--at-once", type=int, default=6, help="calls at the same time")
    arguments.add_argument("--noise-calls", type=int, default=20, help="calls per kind of noise")
    arguments.add_argument("--noise-at-once", type=int, default=20, help="of those, at the same time")
    arguments.add_argument(
        "--greeting-s", type=float, default=48.0, help="seconds that the greeting may take"
    )
    return run(arguments.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
