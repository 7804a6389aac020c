"""The turns of a call whose backend hears and speaks by itself, as far as they can be told from outside.

A turn of the caller begins with his voice (or a key) after the backend was heard; it is answered by the first
sound that comes after it. Words are known where the backend tells them. Turn 0 is the greeting.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.agents.base import UserTurn
from gateway.calls.alignment import Loudness, words_before
from gateway.calls.ledger import CallLedger
from gateway.calls.record import TurnRecord
from gateway.calls.sound_out import Heard
from gateway.calls.timings import ListeningStamps, ReplyStamps, TurnTimings
from media.frame import Pcm
from media.segmenter import SpeechEnded

_KEPT = 8
"""Stretches of sound of which the loudness is kept, until it is clear how far they were heard."""
MOST_TEXT = 20_000
"""Characters kept of one side's words in one turn."""


@dataclass(slots=True)
class _Turn:
    number: int
    record: TurnRecord | None = None
    """None until there is something to tell of it."""
    listened: ListeningStamps = field(default_factory=ListeningStamps)
    replied: ReplyStamps = field(default_factory=ReplyStamps)
    answered: bool = False
    """The backend made a sound after it."""
    spoken: dict[str, str] = field(default_factory=dict)
    """Words of the reply, by the tag of their sound."""
    cut: bool = False
    heard: str = ""
    """What was heard of a reply that was cut."""


class SoundTurns:
    """Follows one stage's turns and writes them into the call's record."""

    def __init__(self, ledger: CallLedger, sample_rate: int, before: int) -> None:
        """`before`: turns of the call's earlier stages."""
        self._ledger = ledger
        self._rate = sample_rate
        self._turns = [_Turn(0)]
        self._loudness: dict[str, Loudness] = {}
        self.turns = before
        """Turns of the caller so far."""

    @property
    def newest(self) -> int:
        """The newest turn's number; 0 before the caller's first."""
        return self._turns[-1].number

    def caller_began(self) -> None:
        """He speaks, or keys: a new turn, if the last one was answered."""
        if self._turns[-1].answered or not self._turns[-1].number:
            self.turns += 1
            self._turns.append(_Turn(self.turns))

    def caller_ended(self, event: SpeechEnded, now: float) -> None:
        """He fell silent; a turn may hold several stretches, the last one counts."""
        turn = self._turns[-1]
        turn.listened = ListeningStamps(event.speech_end_at, event.at, now, committed=now)
        turn.replied = ReplyStamps()

    def key(self, digit: str) -> None:
        """He pressed a key."""
        self.caller_began()
        record = self._record(self._turns[-1])
        record.dtmf = (record.dtmf + digit)[:MOST_TEXT]

    def queued(self, now: float) -> None:
        """The first sound of a stretch of the backend's is queued."""
        turn = self._turns[-1]
        if not turn.replied.queued:
            turn.replied = ReplyStamps(
                asked=turn.listened.ended_heard, first_text=now, first_pcm=now, queued=now
            )

    def sounds(self, at: float) -> TurnTimings | None:
        """A stretch of the backend's sound begins to be heard; the timings, where it answers a turn."""
        turn = self._turns[-1]
        first, turn.answered = not turn.answered, True
        record = self._record(turn)
        if not first or not turn.listened.speech_end or not turn.replied.queued:
            return None
        record.timings = TurnTimings(turn.number, turn.listened, turn.replied, at)
        return record.timings

    def said(self, number: int, text: str) -> str:
        """Words of the caller in that turn; returns all of them."""
        turn = self._find(number)
        record = self._record(turn)
        record.said = _joined(record.said, text)
        return record.said

    def sound(self, tag: str, pcm: Pcm) -> None:
        """More of this tag's sound was queued."""
        if tag:
            self._loudness.setdefault(tag, Loudness(self._rate)).add(pcm)
            if len(self._loudness) > _KEPT:
                self._loudness.pop(next(iter(self._loudness)))

    def spoke(self, tag: str, text: str) -> None:
        """Words of the backend; they belong to the turn in which their sound began."""
        turn = next((turn for turn in reversed(self._turns) if tag in turn.spoken), self._turns[-1])
        turn.spoken[tag] = (turn.spoken.get(tag, "") + text)[:MOST_TEXT]

    def cut(self, heard: Callable[[str], Heard]) -> None:
        """The backend was silenced before it was heard out."""
        for turn in reversed(self._turns):
            if turn.answered:
                turn.cut, turn.heard = True, self._heard_of(turn, heard)
                break

    def close(self, heard: Callable[[str], Heard]) -> None:
        """The stage is over: what was said, and what of it was heard."""
        for turn in self._turns:
            if turn.spoken or turn.cut:
                record = self._record(turn)
                texts = [text.strip() for text in turn.spoken.values()]
                record.reply = " ".join(text for text in texts if text)
                record.heard = turn.heard if turn.cut else self._heard_of(turn, heard)
                record.interrupted = turn.cut

    def _heard_of(self, turn: _Turn, heard: Callable[[str], Heard]) -> str:
        reached = [self._heard(text, tag, heard(tag)) for tag, text in turn.spoken.items()]
        return " ".join(text for text in reached if text)

    def _heard(self, text: str, tag: str, sound: Heard) -> str:
        """The words that were heard; what the backend gave of the sound holds the text to its end."""
        words = text.split()
        if sound.whole and sound.given:
            return " ".join(words)
        loudness = self._loudness.get(tag, Loudness(self._rate))
        return " ".join(words[: words_before(text, loudness, sound.sent / self._rate)])

    def _find(self, number: int) -> _Turn:
        return next((turn for turn in reversed(self._turns) if turn.number == number), self._turns[-1])

    def _record(self, turn: _Turn) -> TurnRecord:
        if turn.record is None:
            turn.record = self._ledger.asked(UserTurn(turn.number, ""))
        return turn.record


def _joined(before: str, text: str) -> str:
    return " ".join(part for part in (before, text.strip()) if part)[:MOST_TEXT]
