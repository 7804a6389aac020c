"""One user turn's audio on its way to one final: interims, an early decode in a pause, cuts when long.

Lives on the event loop. A long segment is a row of pieces: all but the last are cut, decoded and settled
while the caller still speaks, so that neither cost nor latency grows with the length of the turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto

import structlog

from engines.base import EngineError, EngineFailed, Transcript
from engines.embedded.decode_pool import Outcome, Pool, Priority, Ticket
from engines.embedded.moonshine_audio import SegmentAudio
from engines.embedded.moonshine_ear import Heard, Listener, Stretch
from engines.embedded.moonshine_guard import Doubt
from engines.embedded.moonshine_interim import Captions, InterimSettings
from engines.embedded.moonshine_tokens import HotWords
from media.frame import AudioFrame

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PieceSettings:
    """Where a long turn is cut into pieces."""

    longest: float = 12.0
    """Seconds after which the open piece is cut, 6 to 20; a decode's cost grows faster than its length."""
    shortest: float = 6.0
    """Seconds that a piece keeps at least: the cut is looked for after them. 2 to `longest` - 2."""

    def __post_init__(self) -> None:
        if not 6.0 <= self.longest <= 20.0:
            raise ValueError("longest: give seconds from 6 to 20")
        if not 2.0 <= self.shortest <= self.longest - 2.0:
            raise ValueError("shortest: give seconds from 2 to 2 below `longest`")


@dataclass(frozen=True, slots=True)
class Workshop:
    """What the segments of one stream share with all others."""

    pool: Pool
    ear: Listener
    counts: Counter[str]
    interims: InterimSettings
    pieces: PieceSettings


class Phase(Enum):
    """What the segment waits for."""

    OPEN = auto()
    PAUSED = auto()
    ENDED = auto()
    SETTLED = auto()


class _Piece:
    """A decode that is owed: its audio is complete."""

    def __init__(self, settled: Callable[[], None], failed: Callable[[EngineError], None]) -> None:
        self.ticket: Ticket | None = None
        self.heard: Heard | None = None
        self._settled = settled
        self._failed = failed

    def report(self, outcome: Outcome[Heard]) -> None:
        self.ticket = None
        self.heard = outcome.value
        if self.heard is None:
            self._failed(EngineFailed(f"a decode broke: {outcome.error}"))
        else:
            self._settled()


@dataclass(slots=True)
class _Early:
    """A decode started in a pause."""

    mark: int
    """Samples of the piece that it hears."""
    ticket: Ticket | None = None
    heard: Heard | None = None


class Segment:
    """Collects the audio of one segment and puts its transcripts into `outbox`."""

    def __init__(
        self,
        number: int,
        shop: Workshop,
        *,
        sample_rate: int,
        hot_words: HotWords | None,
        interim: bool,
        background: Callable[[], bool] = lambda: False,
        changed: Callable[[], None],
    ) -> None:
        """`background`: whether nobody waits live. `changed`: outbox, `phase` or `error` may have."""
        self.number = number
        self.phase = Phase.OPEN
        self.outbox: list[Transcript] = []
        self.error: EngineError | None = None
        self._shop = shop
        self._audio = SegmentAudio(sample_rate)
        self._hot_words = hot_words
        self._changed = changed
        self._interim = interim
        self._background = background
        self._pieces: list[_Piece] = []
        self._early: _Early | None = None
        self._glimpse: Ticket | None = None
        self._next_glimpse = shop.interims.first
        self._captions = Captions(shop.interims)
        self._draft: tuple[int, ...] = ()

    def push(self, frame: AudioFrame) -> None:
        """Take the frame, and listen or cut when it is time."""
        if self.phase not in (Phase.OPEN, Phase.PAUSED):
            return
        self._audio.append(frame.pcm)
        length = self._audio.seconds
        # In a pause, only a silence without end is cut, to keep the buffer bounded.
        if length >= self._shop.pieces.longest * (2 if self.phase is Phase.PAUSED else 1):
            self._cut()
        elif self._interim and self.phase is Phase.OPEN and length >= self._next_glimpse:
            self._next_glimpse = self._shop.interims.next_pass(length)
            self._look()

    def pause(self) -> None:
        """Decode what is there now: it may be all."""
        if self.phase is not Phase.OPEN:
            return
        self.phase = Phase.PAUSED
        self._stop_looking()
        if self._background():  # the final is soon enough
            return
        early = _Early(len(self._audio))
        early.ticket = self._submit(Priority.EARLY, lambda outcome: self._early_done(early, outcome))
        self._early = early if early.ticket else None

    def resume(self) -> None:
        """Forget the early decode; its tokens stay as a draft."""
        if self.phase is not Phase.PAUSED:
            return
        self.phase = Phase.OPEN
        self._drop_early("early_thrown_away")

    def end(self) -> None:
        """Settle with the early decode if nothing but silence came after it, else decode all."""
        if self.phase not in (Phase.OPEN, Phase.PAUSED):
            return
        self.phase = Phase.ENDED
        self._stop_looking()
        self._shop.counts["interim_revisions"] += self._captions.next_piece()
        early = self._early
        if early and self._audio.quiet_since(early.mark):
            self._shop.counts["early_claimed"] += 1
            if early.ticket:
                early.ticket.promote()
        else:
            self._drop_early("early_stale")
            self._owe()
        self._settle()

    def cancel(self) -> None:
        """Free everything; nothing more will come."""
        self._stop_looking()
        self._drop_early("early_cancelled")
        for piece in self._pieces:
            if piece.ticket:
                piece.ticket.cancel()
        self.outbox.clear()
        self.phase = Phase.SETTLED

    def _look(self) -> None:
        if self._glimpse:
            self._shop.counts["interim_skipped"] += 1
            return
        self._glimpse = self._submit(Priority.INTERIM, self._glimpse_done)

    def _glimpse_done(self, outcome: Outcome[Heard]) -> None:
        self._glimpse = None
        heard = outcome.value
        if heard is None:
            if outcome.error:
                log.warning("interim decode failed", error=str(outcome.error))
            return
        if heard.doubt:
            self._shop.counts[f"interim_doubt_{heard.doubt}"] += 1
        if heard.doubt is not Doubt.LOOP:
            self._draft = heard.tokens
        if heard.text and self._captions.offer(heard.words, heard.confidence):
            self._show(heard.confidence)

    def _show(self, confidence: float) -> None:
        """Put the words on which passes agree into the outbox, unless a cut piece is still being decoded."""
        settled = [piece.heard.text for piece in self._pieces if piece.heard]
        if len(settled) < len(self._pieces):
            return
        if composed := self._captions.compose(" ".join(settled).split()):
            text, stable = composed
            self._put(Transcript(self.number, text, False, confidence, stable))

    def _stop_looking(self) -> None:
        if self._glimpse:
            self._glimpse.cancel()
            self._glimpse = None

    def _drop_early(self, count: str) -> None:
        if self._early:
            self._shop.counts[count] += 1
            if self._early.ticket:
                self._early.ticket.cancel()
            self._early = None

    def _early_done(self, early: _Early, outcome: Outcome[Heard]) -> None:
        early.ticket = None
        early.heard = outcome.value
        if early.heard:
            self._draft = early.heard.tokens
        elif self._early is early:
            # Shed or broken; if it was claimed already, the final must be decoded after all.
            self._early = None
            if self.phase is Phase.ENDED:
                self._owe()
        self._settle()

    def _cut(self) -> None:
        self._stop_looking()
        self._drop_early("early_stale")
        prefix, rest = self._audio.split(self._shop.pieces.shortest)
        stretch = replace(self._stretch(), pcm=prefix)
        self._owe(stretch)
        self._shop.counts["pieces_cut"] += 1
        self._audio = rest
        self._shop.counts["interim_revisions"] += self._captions.next_piece()
        self._draft = ()
        self._next_glimpse = max(self._shop.interims.first, rest.seconds)

    def _owe(self, stretch: Stretch | None = None) -> None:
        """Decode a stretch whose words belong into the final: all of the open piece unless told otherwise."""
        piece = _Piece(self._settle, self._fail)
        self._pieces.append(piece)
        owed = Priority.BACKGROUND if self._background() else Priority.FINAL
        piece.ticket = self._submit(owed, piece.report, stretch)

    def _settle(self) -> None:
        """Announce the early decode or the final once every piece before it is decoded."""
        texts = [piece.heard for piece in self._pieces if piece.heard]
        if len(texts) == len(self._pieces) and self.phase in (Phase.PAUSED, Phase.ENDED):
            ended = self.phase is Phase.ENDED
            if self._early and self._early.heard:
                self._put(self._summary([*texts, self._early.heard], is_final=ended))
            elif ended and not self._early:
                self._put(self._summary(texts, is_final=True))
            if self.outbox and self.outbox[-1].is_final:
                self.phase = Phase.SETTLED
        self._changed()

    def _summary(self, texts: list[Heard], *, is_final: bool) -> Transcript:
        said = [heard for heard in texts if heard.text]
        if is_final:
            self._shop.counts["finals"] += 1
            self._shop.counts.update(f"final_doubt_{heard.doubt}" for heard in texts if heard.doubt)
        text = " ".join(heard.text for heard in said)
        weight = sum(len(heard.text) for heard in said)
        confidence = sum(heard.confidence * len(heard.text) for heard in said) / weight if said else 0.0
        stable = len(text) if is_final else 0
        return Transcript(self.number, text, is_final, confidence, stable, early=not is_final)

    def _put(self, transcript: Transcript) -> None:
        """The newest interim replaces one that nobody has read yet."""
        if self.outbox and not self.outbox[-1].is_final and self.outbox[-1].early == transcript.early:
            self.outbox.pop()
        self.outbox.append(transcript)
        if not transcript.is_final:
            self._changed()

    def _fail(self, error: EngineError) -> None:
        self.cancel()
        self._shop.counts["finals_failed"] += 1
        self.error = error
        self._changed()

    def _stretch(self) -> Stretch:
        return Stretch(self._audio.view(), self._audio.sample_rate, self._draft, self._hot_words)

    def _submit(
        self, priority: Priority, done: Callable[[Outcome[Heard]], None], stretch: Stretch | None = None
    ) -> Ticket | None:
        stretch = stretch or self._stretch()
        ear = self._shop.ear
        listen = ear.glimpse if priority is Priority.INTERIM else ear.hear
        try:
            return self._shop.pool.submit(priority, lambda aborted: listen(stretch, aborted), done)
        except EngineError as error:
            if priority in (Priority.FINAL, Priority.BACKGROUND):
                self._fail(error)
            return None
