"""The receive buffer: packets in as the network brings them, out as the clock asks. Pure.

Each packet's transit is the difference between its arrival and its timestamp. The buffer plays so long after
the timestamps as nearly all of the last packets needed, and no longer: it grows by playing on late when a
packet came too late, and shrinks by letting its user hasten. What a sender leaves out (DTX) is where it finds
its delay again without anybody hearing it. Time is an argument.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from media.legs.webrtc_rtp import Unwrap

_WINDOW = 200
"""Packets whose transits are remembered: four seconds of speech."""
_LOOK_EACH = 8
"""Packets between two looks at them."""
_QUANTILE = 0.97
"""The share of packets that shall be in time."""
_LOSSY = 0.02
"""Share of lost packets from which the next packet is waited for: it holds what the lost one said."""
_GUARD = 0.005
"""Seconds beyond: our own clock's unrest."""
_MOST_PACKETS = 64
_LONGEST_HOLE = 0.2
"""Seconds of lost sound that are filled in one by one; a longer hole is silence."""
_NEW_STREAM = 2.0
"""A transit that differs so much is another stream's: the sender began anew."""


class Sound(NamedTuple):
    """The next packet."""

    payload: bytes
    arrived: float


class Lost(NamedTuple):
    """The next packet will not come; `following` is the one after it, where that is here."""

    following: bytes | None


class Quiet(NamedTuple):
    """Nothing is due: nothing was sent, or it is late."""


Pulled: TypeAlias = Sound | Lost | Quiet


@dataclass(slots=True)
class BufferCounts:
    """What happened to packets."""

    received: int = 0
    lost: int = 0
    """Never came, or not in time, and had to be made up."""
    late: int = 0
    """Came after their place had passed."""
    duplicate: int = 0
    overflowed: int = 0
    """Thrown away because too many waited."""


@dataclass(slots=True)
class _Waiting:
    time: int
    payload: bytes
    arrived: float


class ReceiveBuffer:
    """One stream's packets, in order and in time."""

    def __init__(self, clock: int, least_ms: int = 20, most_ms: int = 120) -> None:
        """`clock`: of the timestamps, ticks per second. The delay is held within `least_ms` and `most_ms`."""
        self.counts = BufferCounts()
        self._clock = clock
        self._least, self._most = least_ms / 1000, most_ms / 1000
        self._unit = clock // 50
        self._begin()

    def _begin(self) -> None:
        self._packets: dict[int, _Waiting] = {}
        self._number, self._stamp = Unwrap(16), Unwrap(32)
        self._next: int | None = None
        self._due_time = 0
        self._owed = self._filled = 0
        self._transits: deque[float] = deque(maxlen=_WINDOW)
        self._numbers: deque[int] = deque(maxlen=_WINDOW)
        self._until_look = 1
        self._wanted = 0.0
        self._median = 0.0
        self._schedule: float | None = None
        self._jitter = 0.0

    @property
    def jitter_ms(self) -> float:
        """Interarrival jitter as RFC 3550 section 6.4.1 reckons it."""
        return self._jitter * 1000

    @property
    def delay_ms(self) -> float:
        """How long an ordinary packet waits here now."""
        if self._schedule is None:
            return 0.0
        return max(0.0, (self._schedule - self._median) * 1000)

    @property
    def excess_ms(self) -> float:
        """How much later than needed the last packet was played."""
        return 0.0 if self._schedule is None else (self._schedule - self._wanted) * 1000

    def ready(self, now: float) -> bool:
        """Whether the first packet is due: the moment to begin to pull."""
        if not self._packets:
            return False
        head = self._packets[min(self._packets)]
        return now >= head.time / self._clock + self._wanted - 1e-6

    def played(self, ticks: int) -> None:
        """The user tells how much sound the last packet held, in ticks of the clock."""
        self._unit = ticks
        self._due_time += ticks

    def push(self, sequence: int, timestamp: int, payload: bytes, arrived: float) -> None:
        """A packet came at `arrived`, in seconds."""
        self.counts.received += 1
        number, time = self._number(sequence), self._stamp(timestamp)
        transit = arrived - time / self._clock
        if self._transits and abs(transit - self._median) > _NEW_STREAM:
            self._begin()
            number, time = self._number(sequence), self._stamp(timestamp)
            transit = arrived - time / self._clock
        self._note(number, transit)
        if number in self._packets:
            self.counts.duplicate += 1
        elif self._next is not None and number < self._next:
            self.counts.late += 1
        else:
            self._packets[number] = _Waiting(time, payload, arrived)
            if len(self._packets) > _MOST_PACKETS:
                self._skip_to(sorted(self._packets)[1])
                self.counts.overflowed += 1

    def pull(self, now: float) -> Pulled:
        """What is to be heard at `now`. Ask again until there are 20 ms of sound."""
        while self._packets:
            number = min(self._packets)
            head = self._packets[number]
            due = head.time / self._clock + self._wanted
            hole = self._hole(head)
            if hole is None or hole > _LONGEST_HOLE * self._clock or (hole > 0 and number == self._next):
                # A beginning, or a pause of the sender's: the place to have just the delay that is needed.
                return self._play(number, now) if now >= due - 1e-6 else self._quiet(now)
            missing = -(-hole // self._unit) - self._owed
            if missing > 0:
                if self._too_early(now):
                    return Quiet()
                self._owed += 1
                self._filled += 1
                self.counts.lost += 1
                return Lost(head.payload if missing == 1 else None)
            if (self._filled and number == self._next) or now - due > self._most:
                # Its place was filled already; or the far end would be heard later than anybody bears.
                self._drop(number)
                continue
            return self._play(number, now)
        return self._quiet(now)

    def _quiet(self, now: float) -> Pulled:
        if self._next is not None and not self._too_early(now):
            self._owed += 1
        return Quiet()

    def _too_early(self, now: float) -> bool:
        """Whether what comes next may still come: packets need longer of late, so play later from here on."""
        next_due = (self._due_time + self._owed * self._unit) / self._clock + self._wanted
        return now < next_due - self._unit / self._clock / 2

    def _hole(self, head: _Waiting) -> int | None:
        """Ticks between what was played last and this packet; None before the beginning."""
        return None if self._next is None else head.time - self._due_time

    def _play(self, number: int, now: float) -> Sound:
        packet = self._packets.pop(number)
        self._next, self._owed, self._filled = number + 1, 0, 0
        self._due_time = packet.time
        self._schedule = now - packet.time / self._clock
        return Sound(packet.payload, packet.arrived)

    def _drop(self, number: int) -> None:
        packet = self._packets.pop(number)
        self._next = number + 1
        self._due_time = packet.time + self._unit
        self._owed = max(self._owed - 1, 0)
        self._filled = max(self._filled - 1, 0)
        self.counts.late += 1

    def _skip_to(self, number: int) -> None:
        for old in [waiting for waiting in self._packets if waiting < number]:
            del self._packets[old]
        self._next, self._owed, self._filled = number, 0, 0
        self._due_time = self._packets[number].time

    def _note(self, number: int, transit: float) -> None:
        if self._transits:
            self._jitter += (abs(transit - self._transits[-1]) - self._jitter) / 16
        self._transits.append(transit)
        self._numbers.append(number)
        self._until_look -= 1
        if self._until_look > 0:
            return
        self._until_look = min(_LOOK_EACH, len(self._transits))
        ordered = sorted(self._transits)
        last = len(ordered) - 1
        self._median = ordered[last // 2]
        needed = ordered[int(last * _QUANTILE)] + _GUARD
        if self._lossy():
            needed = max(needed, self._median + self._unit / self._clock + _GUARD)
        self._wanted = min(max(needed, self._median + self._least / 2), self._median + self._most)

    def _lossy(self) -> bool:
        sent = max(self._numbers) - min(self._numbers) + 1
        return sent - len(set(self._numbers)) > _LOSSY * sent
