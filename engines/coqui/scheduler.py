"""What the device does next, so that nobody who listens runs dry and whoever waits is heard soon.

Pure: the time comes in, work goes out, and what the work took comes back. A row is one stretch of text on
its way to speech: it waits, its prompt is read, then it gains one token per step together with all other
rows, and every so often its new tokens are made into samples, a chunk. A row's `due` is the time at which its
listener has heard everything that was made so far.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from engines.coqui.costs import Cost
from engines.coqui.growth import ChunkSizes, Pace


@dataclass(frozen=True, slots=True)
class Read:
    """Read the prompts of these rows, which gives them their first token."""

    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One more token for each of these rows."""

    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Voice:
    """Make samples of the tokens that these rows have gained since the last time."""

    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Refuse:
    """These rows have waited in vain: tell their callers, who may try elsewhere."""

    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do before `until`; None: before something new comes."""

    until: float | None


Work: TypeAlias = Read | Step | Voice | Refuse | Rest


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where the scheduler stops taking on more."""

    rows: int = 64
    """Rows that speak at once."""
    waiting: int = 64
    """Rows that wait to begin."""
    patience: float = 0.5
    """Seconds after its due time for which a new row may wait to begin."""
    load: float = 0.8
    """Share of the device's time that the rows may need together to keep up with speech."""
    reserve: float = 4.0
    """Seconds of speech ahead of its listener at which a row gives way to the others."""
    margin: float = 0.04
    """Seconds between a chunk's arrival and its need."""
    chunks: ChunkSizes = field(default_factory=ChunkSizes)


class Phase(Enum):
    """Where a row stands."""

    WAITING = "waiting"
    SPEAKING = "speaking"
    ENDED = "ended"
    """It has all its tokens, but not all of them are samples yet."""


@dataclass(slots=True, eq=False)
class Row:
    """One stretch of text on its way to speech."""

    id: int
    prompt: int
    due: float
    playing: bool
    """Its listener hears this passage already: being late is then a gap, not a wait."""
    follows: bool = False
    """Another stretch of the passage comes after it, and should begin in time."""
    phase: Phase = Phase.WAITING
    tokens: int = 0
    voiced: int = 0
    chunk: int = 0
    """Tokens that make the next chunk; 0: not decided."""

    @property
    def pending(self) -> int:
        return self.tokens - self.voiced

    @property
    def eager(self) -> bool:
        """Its samples are worth having before they are due."""
        return not self.playing or (self.follows and self.phase is Phase.ENDED)


_REMEMBERED = 2000
"""Tokens over which the price of everything beside the steps is averaged."""
_CUSHION = 0.1
"""Seconds that must be to spare after a row has begun."""
_COMFORT = 0.6
"""Seconds of reserve with which a row outlives a few openings of others."""
_SOON = 0.4
"""Seconds within which all rows should have that."""
_LONGEST_WORK = 0.05
"""Seconds of one piece of work to which more is added only for those who cannot wait."""
_LEAST_RESERVE = 0.25
"""Seconds of reserve below which no row gives way."""
_WORTH = 0.85
"""Share of a step's time to which giving way must bring it, to be worth it."""
_LOOK_AGAIN = 0.01
"""Seconds until a row that may not begin yet is looked at again."""


class Full(Exception):
    """No more rows may wait."""


class _Share:
    """Seconds per token, the last tokens counting most."""

    def __init__(self) -> None:
        self._seconds = self._tokens = 0.0

    def add(self, seconds: float, tokens: int) -> None:
        keep = math.exp(-tokens / _REMEMBERED)
        self._seconds = keep * self._seconds + seconds
        self._tokens = keep * self._tokens + tokens

    @property
    def each(self) -> float:
        return self._seconds / self._tokens if self._tokens >= _REMEMBERED / 4 else 0.0


class SpeechScheduler:
    """Orders the work of one device over all rows.

    `next` gives the work; when it is done, `was_read`, `stepped`, `voiced` or `forget` tells, and so on.
    """

    def __init__(self, token: float, held: float, bounds: Bounds | None = None) -> None:
        """`token`: seconds of speech in one; `held`: seconds at a chunk's end that come with the next one."""
        self._token = token
        self._held = held
        self._bounds = bounds or Bounds()
        self._rows: dict[int, Row] = {}
        self.reading = Cost()
        """By tokens of prompts."""
        self.stepping = Cost()
        """By rows."""
        self.voicing = Cost()
        """By tokens, those that are voiced again as context not counted."""
        self._beside = _Share()
        """Seconds of reading and voicing per token, as it came of late: small chunks make it dearer."""
        self.late = 0
        """Chunks that came after their listener had run dry."""
        self.chunks = 0

    def offer(
        self, row: int, prompt: int, due: float, *, playing: bool = False, follows: bool = False
    ) -> None:
        """A new row. Raises `Full`, unless it continues what somebody hears (`playing`)."""
        if not playing and self.waiting >= self._bounds.waiting:
            raise Full
        self._rows[row] = Row(row, prompt, due, playing, follows)

    def forget(self, row: int) -> None:
        """The row is cancelled, refused or broken. Unknown ones are ignored."""
        self._rows.pop(row, None)

    def forget_counts(self) -> None:
        """Begin to count anew, after a warm-up."""
        self.late = self.chunks = 0

    @property
    def waiting(self) -> int:
        """Rows that have not begun."""
        return sum(row.phase is Phase.WAITING for row in self._rows.values())

    @property
    def active(self) -> int:
        """Rows that have begun."""
        return len(self._rows) - self.waiting

    def next(self, now: float) -> Work:
        """The most urgent work."""
        rows = sorted(self._rows.values(), key=lambda row: (row.due, row.id))
        begun = [row for row in rows if row.phase is not Phase.WAITING]
        new = [row for row in rows if row.phase is Phase.WAITING]
        lost = tuple(row.id for row in new if not row.playing and now - row.due > self._bounds.patience)
        if lost:
            return Refuse(lost)
        ready = self._ready(begun, now)
        steppers = self._steppers(begun, now)
        starters = self._starters(new, begun, now)
        if ready and self._voice_first(ready, starters, steppers, now):
            return Voice(self._together(ready, begun, now))
        if starters:
            return Read(tuple(row.id for row in starters))
        if steppers:
            return Step(tuple(row.id for row in steppers))
        if ready:
            return Voice(self._together(ready, begun, now))
        return Rest(now + _LOOK_AGAIN if new else None)

    def was_read(self, rows: tuple[int, ...], took: float, ended: tuple[int, ...] = ()) -> None:
        """The work `Read` is done and took so many seconds; it gave each row its first token."""
        self.reading.learn(sum(row.prompt for row in self._find(rows)), took)
        self._beside.add(took, 0)
        for row in self._find(rows):
            row.tokens, row.phase = 1, Phase.ENDED if row.id in ended else Phase.SPEAKING

    def stepped(self, rows: tuple[int, ...], ended: tuple[int, ...], took: float) -> None:
        """The work `Step` is done; the rows in `ended` have all their tokens."""
        self.stepping.learn(len(rows), took)
        self._beside.add(0.0, len(rows))
        for row in self._find(rows):
            row.tokens += 1
            if row.id in ended:
                row.phase = Phase.ENDED

    def voiced(self, speech: dict[int, float], now: float, took: float) -> None:
        """The work `Voice` is done at the time `now`; `speech`: seconds that each row's listener got."""
        tokens = sum(row.pending for row in self._find(tuple(speech)))
        self.voicing.learn(tokens, took)
        self._beside.add(took, 0)
        for row in self._find(tuple(speech)):
            self.chunks += 1
            self.late += bool(speech[row.id] and row.playing and now > row.due)
            row.playing = row.playing or speech[row.id] > 0
            row.due = (max(row.due, now) if speech[row.id] else row.due) + speech[row.id]
            row.voiced, row.chunk, made = row.tokens, 0, row.chunk
            if row.phase is Phase.ENDED:
                del self._rows[row.id]
            elif row.playing:
                row.chunk = self._bounds.chunks.following(self._pace(), row.due - now, made)

    def due(self, row: int) -> float:
        """When the row's listener will have heard all of it."""
        return self._rows[row].due

    def load(self, more: int = 0) -> float:
        """Share of the device's time that the rows, and so many more of them, need to keep up with speech."""
        rows = self._speaking() + more
        longest = self._bounds.chunks.longest
        beside = max(self._beside.each, self.voicing(longest * rows) / (longest * rows)) if rows else 0.0
        return (self.stepping(rows) + rows * beside) / self._token

    def _speaking(self) -> int:
        """Rows that the device must keep up with: those that have begun, and those that continue others."""
        return sum(row.playing or row.phase is not Phase.WAITING for row in self._rows.values())

    def _urgent(self, row: Row, now: float) -> bool:
        return row.due - now < self._bounds.reserve

    def _ready(self, begun: list[Row], now: float) -> list[Row]:
        """Rows whose chunk is whole, or must go out as it is, because its listener is about to run dry."""
        step = self.stepping(max(1, self._speaking()))
        ready = []
        for row in begun:
            if not row.chunk:
                opening = self._bounds.chunks.opening
                row.chunk = opening(self._pace(), row.due - now)
            whole = row.phase is Phase.ENDED or row.pending >= row.chunk
            if whole or (
                row.playing and row.pending >= self._bounds.chunks.first and self._last_call(row, step, now)
            ):
                ready.append(row)
        return ready

    def _last_call(self, row: Row, step: float, now: float) -> bool:
        """Whether the row's tokens come in time now, but not after one more step. Once its listener has run
        dry there is nothing to save: a whole chunk helps more than scraps."""
        left = self._left(row, now)
        return -self._bounds.margin <= left < step

    def _left(self, row: Row, now: float) -> float:
        """Seconds that a row which is heard can wait before its tokens, as many as it has, are voiced."""
        return row.due - now - self.voicing(max(1, row.pending)) - self._bounds.margin

    def _least_spare(self, rows: Iterable[Row], step: float, now: float) -> float:
        """Seconds that the device may spend on others before one of the rows that are heard runs dry.

        The rows are served in the order of their dues, so each also waits for the samples of those before it.
        """
        least, tokens = math.inf, 0
        for row in sorted((row for row in rows if row.playing), key=lambda row: row.due):
            missing = max(0, row.chunk - row.pending) if row.phase is Phase.SPEAKING else 0
            tokens += row.pending + missing
            due = self._latest_start(row) if row.phase is Phase.WAITING else row.due - missing * step
            least = min(least, due - now - self.voicing(max(1, tokens)) - self._bounds.margin)
        return least

    def _voice_first(self, ready: list[Row], starters: list[Row], steppers: list[Row], now: float) -> bool:
        """Whether samples come before tokens: for who hears nothing yet if nobody runs dry for it, and else
        for whoever can wait least."""
        step = self.stepping(max(1, len(steppers)))
        stepping = [row for row in steppers if row not in ready]
        others = self._least_spare(stepping, step, now)
        mine = self._least_spare(ready, step, now)
        if any(row.eager for row in ready):
            return self._affords_eager(ready, stepping, step, now) or mine <= others
        work = self.reading(sum(row.prompt for row in starters)) if starters else step
        if starters or any(not row.playing for row in stepping):
            return mine <= work
        return mine <= max(work, others)

    def _affords_eager(self, ready: list[Row], others: list[Row], step: float, now: float) -> bool:
        """Whether those whose samples are worth having early can have them, and nobody runs dry for it."""
        patient = [row for row in (*ready, *others) if not row.eager]
        took = self.voicing(sum(row.pending for row in ready if row.eager))
        return took <= self._least_spare(patient, step, now)

    def _together(self, ready: list[Row], begun: list[Row], now: float) -> tuple[int, ...]:
        """As many of the ready rows as do not make somebody run dry: who is about to, who hears nothing yet,
        then the oldest due; then those that are half way, as one large piece of work is cheaper than two."""
        step = self.stepping(max(1, self._speaking()))
        half = [r for r in begun if r not in ready and r.playing and 0 < r.chunk <= 2 * r.pending]
        rest = [row for row in begun if row not in ready and row not in half]
        last = {row.id for row in ready if row.playing and self._left(row, now) < step}
        early = self._affords_eager(ready, rest, step, now)
        ready.sort(key=lambda row: (row.id not in last, not (early and row.eager), row.due, row.id))
        taken, tokens = ready[:1], ready[0].pending
        allowed = self._least_spare(rest, step, now)
        for row in (*ready[1:], *half):
            pressing = row.id in last
            took = self.voicing(tokens + row.pending)
            dues = [r.due for r in (*taken, row) if r.playing and r.due > now]
            if now + took + (0.0 if pressing else self._bounds.margin) > min(dues, default=math.inf):
                continue
            hurried = row.playing and self._left(row, now) <= allowed
            if not hurried and took > (allowed if row.eager else min(allowed, _LONGEST_WORK)):
                break
            taken, tokens = [*taken, row], tokens + row.pending
        return tuple(row.id for row in taken)

    def _starters(self, new: list[Row], begun: list[Row], now: float) -> list[Row]:
        """Rows that may begin now, the oldest due first: those that are heard already must not feel it."""
        starters: list[Row] = []
        closed = False
        for row in sorted(new, key=lambda row: (self._latest_start(row), row.id)):
            if len(begun) + len(starters) >= self._bounds.rows:
                break
            must = row.playing and self._latest_start(row) - now <= self._bounds.margin
            alone = not begun and not starters
            if closed and not row.playing or not (must or alone) and self._holds_up(starters, row, now):
                closed = True  # to whoever comes later as well, unless speech that is heard goes on with it
                continue
            starters.append(row)
        return starters

    def _latest_start(self, row: Row) -> float:
        """When the row must begin to be in time; a row that is not heard yet is late from its due time on."""
        if not row.playing:
            return row.due
        first = self._bounds.chunks.first
        makes = self.reading(row.prompt) + first * self.stepping(self._speaking()) + self.voicing(first)
        return row.due - makes

    def _holds_up(self, starters: list[Row], row: Row, now: float) -> bool:
        """Whether beginning this row as well overloads the device or makes somebody run dry."""
        starters = [*starters, row]
        unheard = sum(not r.playing for r in starters)
        if unheard and self._overloaded(starters, unheard, now):
            return True
        step = self.stepping(self._speaking() + unheard)
        work = self.reading(sum(r.prompt for r in starters))
        work += self.voicing(len(starters) * self._bounds.chunks.first)
        others = (r for r in self._rows.values() if r not in starters)
        return self._least_spare(others, step, now) < work + _CUSHION

    def _overloaded(self, starters: list[Row], unheard: int, now: float) -> bool:
        """Whether the device could not keep up with these rows as well, or could not soon give all who have
        little reserve a comfortable one."""
        load = self.load(unheard)
        if load > self._bounds.load:
            return True
        begun = (row for row in self._rows.values() if row.playing or row.phase is not Phase.WAITING)
        lacks = [
            _COMFORT - max(0.0, row.due - now) for row in {*begun, *starters} if row.phase is not Phase.ENDED
        ]
        tokens = [lack / self._token for lack in lacks if lack > 0]
        work = max(tokens) * self.stepping(len(tokens)) + self.voicing(sum(tokens))
        return work > (1 - load) * _SOON

    def _steppers(self, begun: list[Row], now: float) -> list[Row]:
        """Rows that get a token: who has a good reserve gives way to who has not, and does so the earlier the
        more it would help somebody who is about to run dry."""
        longest = self._bounds.chunks.longest
        speaking = [row for row in begun if row.phase is Phase.SPEAKING and row.pending < longest]
        reserve = self._bounds.reserve
        fed = [row for row in speaking if row.due - now < reserve] or speaking
        some = fed
        while reserve > _LEAST_RESERVE and self._starves(some, now):
            reserve /= 2
            some = [row for row in fed if row.due - now < reserve]
        helps = some and self.stepping(len(some)) < _WORTH * self.stepping(len(fed))
        return some if helps else fed

    def _starves(self, rows: list[Row], now: float) -> bool:
        """Whether one of the rows runs dry if all of them get their tokens together."""
        return bool(rows) and self._least_spare(rows, self.stepping(len(rows)), now) < 0

    def _pace(self) -> Pace:
        unheard = sum(not row.playing and row.phase is not Phase.WAITING for row in self._rows.values())
        return Pace(
            token=self._token,
            step=self.stepping(max(1, self._speaking())),
            voicing=self.voicing(0),
            each=(self.voicing(1) - self.voicing(0)) * max(1, unheard),
            held=self._held,
            margin=self._bounds.margin,
        )

    def _find(self, rows: tuple[int, ...]) -> list[Row]:
        return [self._rows[row] for row in rows if row in self._rows]
