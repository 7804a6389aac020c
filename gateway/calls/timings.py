"""Where the time of a turn went: one stamp per event, one hop per difference.

Two answers are kept for each hop. Its *own* duration is how long the work took, whenever it was done. Its
*share* is what it added to the caller's wait: work that was done ahead (an early decode, a prepared reply)
adds nothing. Shares are cut from one line of time, so they add up to the turn:

    speech_end ─vad─ ended ─rx─ heard ─endpoint─ committed ─asr_final─ final ─agent─ text ─tts─ pcm ─tx─ sent

Each milestone is moved up to the one before it when it lies earlier (it was waited for by then), and none
lies after the first packet.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise


class Hop(StrEnum):
    """The parts of a turn, in the order in which they add up."""

    VAD = "vad"
    """True end of speech to the end of the hangover, on the wire's clock."""
    RX = "rx"
    """Arrival of the frame that ended the hangover to our hearing it: jitter buffer, tick, loop."""
    ENDPOINT = "endpoint"
    """... to the turn committed."""
    ASR_FINAL = "asr_final"
    """Own: last audio pushed to the final transcript, or to the early one that became it."""
    AGENT = "agent"
    """Own: agent asked to its first text."""
    TTS = "tts"
    """Own: first sentence handed over to its first samples."""
    TX = "tx"
    """Own: first samples queued to the first audible packet sent."""


@dataclass(slots=True)
class ListeningStamps:
    """When we knew what of the caller's turn. Seconds of the loop's clock; 0 for what did not happen."""

    speech_end: float = 0.0
    """True end of speech: arrival of the last voiced sample."""
    ended: float = 0.0
    """Arrival of the frame that ended the hangover."""
    ended_heard: float = 0.0
    """When we heard that frame."""
    committed: float = 0.0
    last_audio: float = 0.0
    """Last audio pushed to the recogniser before the transcript that counts was asked for."""
    final: float = 0.0
    """The transcript that counts: the final, or the early one that it confirmed."""


@dataclass(slots=True)
class ReplyStamps:
    """When what of a reply was ready, ahead of time perhaps. As above."""

    asked: float = 0.0
    """The agent was asked."""
    first_text: float = 0.0
    sentence: float = 0.0
    """The first sentence was handed to the voice."""
    first_pcm: float = 0.0
    queued: float = 0.0
    """The first samples were queued for the caller."""


@dataclass(frozen=True, slots=True)
class TurnTimings:
    """The stamps of one turn and of the reply to it."""

    turn: int
    listened: ListeningStamps
    replied: ReplyStamps
    first_packet: float
    """The first audible packet was sent; 0 when none was."""
    filled: bool = False
    """True when a filler sounded first: `first_packet` is the filler's."""

    @property
    def total(self) -> float:
        """The turn: true end of speech to the first audible packet. NaN when one of them is missing."""
        return _span(self.listened.speech_end, self.first_packet)

    def own(self) -> dict[Hop, float]:
        """How long each hop's work took, ahead of time or not; hops that did not happen are left out."""
        listened, replied = self.listened, self.replied
        spans = {
            Hop.VAD: _span(listened.speech_end, listened.ended),
            Hop.RX: _span(listened.ended, listened.ended_heard),
            Hop.ENDPOINT: _span(listened.ended_heard, listened.committed),
            Hop.ASR_FINAL: _span(listened.last_audio, listened.final),
            Hop.AGENT: _span(replied.asked, replied.first_text),
            Hop.TTS: _span(replied.sentence, replied.first_pcm),
            Hop.TX: _span(replied.queued, self.first_packet),
        }
        return {hop: max(0.0, span) for hop, span in spans.items() if not math.isnan(span)}

    def shares(self) -> dict[Hop, float]:
        """What each hop added to the caller's wait; they add up to `total`. Empty when that is unknown."""
        if math.isnan(self.total):
            return {}
        listened, replied = self.listened, self.replied
        line = [listened.speech_end]
        for stamp in (
            listened.ended, listened.ended_heard, listened.committed, listened.final,
            replied.first_text, replied.first_pcm,
        ):  # fmt: skip
            line.append(min(max(stamp, line[-1]), self.first_packet))
        line.append(self.first_packet)
        return {hop: later - earlier for hop, (earlier, later) in zip(Hop, pairwise(line), strict=True)}


@dataclass(frozen=True, slots=True)
class BargeInTimings:
    """How quickly we fell silent. Seconds of the loop's clock."""

    onset: float
    """The caller's first voiced sample arrived."""
    ducked: float
    """The reply was lowered; equals `stopped` when it was stopped straight away."""
    stopped: float
    """The reply was silenced: none of it is sent after the tick that was under way."""

    @property
    def duck(self) -> float:
        """First voiced sample to the lowered reply."""
        return self.ducked - self.onset

    @property
    def stop(self) -> float:
        """First voiced sample to silence: the hop `barge_in`."""
        return self.stopped - self.onset


@dataclass(frozen=True, slots=True)
class Percentiles:
    """A distribution, from all its samples."""

    p50: float
    p95: float
    p99: float
    worst: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Percentiles | None:
        """None for no values. Nearest rank: each figure is one of the values."""
        ranked = sorted(values)
        if not ranked:
            return None
        p50, p95, p99 = (ranked[math.ceil(p * len(ranked)) - 1] for p in (0.50, 0.95, 0.99))
        return cls(p50, p95, p99, ranked[-1])


def _span(start: float, end: float) -> float:
    return end - start if start and end else math.nan
