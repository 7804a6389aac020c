"""Keeps a call's record while it runs: stamps, turns, barge-ins. Only the session tells it."""

from __future__ import annotations

from dataclasses import dataclass

from engines.base import Transcript
from gateway.agents.base import UserTurn
from gateway.calls.record import CallRecord, TurnRecord
from gateway.calls.replies import Reply
from gateway.calls.timings import BargeInTimings, ListeningStamps, TurnTimings
from media.legs.base import EndReason
from media.segmenter import SegmentEvent, SpeechEnded, SpeechStarted

MOST_TURNS = 1000
"""Turns kept in the record; the longest calls lose their first ones, and count them."""


@dataclass(slots=True)
class _Voice:
    """The latest stretch of the caller's voice, as a barge-in would be measured."""

    onset: float = 0.0
    ducked: float = 0.0


class CallLedger:
    """One call's stamps and turns."""

    def __init__(self, record: CallRecord) -> None:
        self.record = record
        self._started = 0.0
        self._answered_at: float | None = None
        self._listening = ListeningStamps()
        self._early = ""
        self._pushed = 0.0
        self._voice = _Voice()

    def started(self, now: float) -> None:
        """The session begins to serve the call."""
        self._started = now
        self.record.began = now

    def answered(self, now: float, codec: str, sample_rate: int) -> None:
        """Audio flows both ways."""
        self._answered_at = now
        self.record.answered_after = now - self._started
        self.record.codec = codec
        self.record.sample_rate = sample_rate

    def finished(self, now: float, reason: EndReason) -> CallRecord:
        """The call is over; returns its record."""
        self.record.end_reason = reason
        self.record.duration = now - self._answered_at if self._answered_at is not None else 0.0
        return self.record

    # -------------------------------------------------------------------------------------- the caller

    def voice(self, event: SegmentEvent, now: float) -> None:
        """The segmenter made something known, and we heard of it at `now`."""
        match event:
            case SpeechStarted():
                self._voice.onset = event.onset_at
            case SpeechEnded():
                self._listening = ListeningStamps(event.speech_end_at, event.at, now, last_audio=self._pushed)
                self._early = ""

    def pushed(self, now: float) -> None:
        """Audio went to the recogniser."""
        self._pushed = now

    def committed(self, now: float) -> None:
        """The turn is over."""
        self._listening.committed = now

    def transcript(self, event: Transcript, now: float) -> None:
        """Words came. An early transcript that the final confirms is the one that counts."""
        if event.early:
            self._early = event.text
            self._listening.final = now
        elif event.is_final and (not self._listening.final or event.text != self._early):
            self._listening.final = now

    def ducked(self, now: float) -> None:
        """The reply was lowered."""
        self._voice.ducked = now

    def barged_in(self, now: float) -> BargeInTimings:
        """The caller silenced a reply."""
        onset = self._voice.onset
        ducked = self._voice.ducked if onset - 0.5 < self._voice.ducked <= now else now
        timings = BargeInTimings(onset, max(ducked, onset), now)
        self.record.barge_ins.append(timings)
        return timings

    # ---------------------------------------------------------------------------------------- replies

    def asked(self, turn: UserTurn) -> TurnRecord:
        """A turn is answered for good; asked again for a turn that was re-opened, its record is replaced."""
        turns = self.record.turns
        if turns and turns[-1].number == turn.number and turn.number:  # each conversation has its greeting
            turns.pop()
        if len(turns) >= MOST_TURNS:
            turns.pop(0)
            self.record.counts["turns_dropped"] = self.record.counts.get("turns_dropped", 0) + 1
        turns.append(TurnRecord(turn.number, turn.text, turn.dtmf))
        return turns[-1]

    def sounds(self, reply: Reply, at: float) -> TurnTimings | None:
        """The first packet of a reply was sent; returns the turn's timings when there was a turn to time."""
        if reply.turn is None or reply.first or reply.turn.number == 0 or reply.turn.dtmf:
            return None
        timings = TurnTimings(reply.turn.number, self._listening, reply.stamps, at, filled=not reply.voiced)
        if turn := self._find(reply.turn.number):
            turn.timings = timings
        return timings

    def closed(self, reply: Reply) -> None:
        """A reply is over: what was to be said, and what was heard."""
        if reply.turn is not None and (turn := self._find(reply.turn.number)):
            turn.reply = reply.script.text
            turn.heard = reply.heard
            turn.interrupted = not reply.complete
            if not turn.number and not turn.reply:
                self.record.turns.remove(turn)  # an agent that does not greet

    def _find(self, number: int) -> TurnRecord | None:
        return next((turn for turn in reversed(self.record.turns) if turn.number == number), None)
