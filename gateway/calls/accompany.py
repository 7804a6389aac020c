"""What a session tells an agent that follows the call as it happens, and what such an agent may ask of it.

Without one, all of this does nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.agents.base import Agent, CallInfo
from gateway.agents.companion import (
    AgentSpeaks,
    CallerSpeaks,
    CallNews,
    Companion,
    Interrupted,
    KeyTold,
    Overheard,
    WordsPlayed,
    WordsSoFar,
    companion_of,
)
from gateway.calls.call import Call
from gateway.calls.call_events import AgentFault
from gateway.calls.settings import SessionSettings
from gateway.calls.turn_events import AgentLost, TalkOffered, TurnEvent
from media.clock import now
from media.legs.base import Direction
from media.segmenter import SegmentEvent, SpeechEnded, SpeechStarted


@dataclass(frozen=True, slots=True)
class SessionLine:
    """Serves `agents.companion.Line`."""

    call: Call
    agent: str
    """Its name."""
    feed: Callable[[TurnEvent], None]
    listen: Callable[[str], None]
    """Hear another language from the caller's next words on."""

    @property
    def info(self) -> CallInfo:
        """Who calls whom."""
        parties = self.call.leg.parties
        outbound = self.call.leg.direction is Direction.OUTBOUND
        return CallInfo(self.call.call_id, parties.caller, parties.called, parties.trunk, outbound)

    def offer(self, *, preempts: bool = False, urgent: bool = False) -> None:
        """See `Line`."""
        self.feed(TalkOffered(preempts, urgent))

    def lost(self) -> None:
        """See `Line`."""
        self.feed(AgentLost())

    def hear_in(self, language: str) -> None:
        """See `Line`."""
        self.listen(language)

    def fault(self, kind: str, action: str) -> None:
        """See `Line`."""
        self.call.happened(AgentFault(now(), self.agent, kind, action))


class Accompaniment:
    """Keeps a companion informed, if the agent has one."""

    def __init__(self, agent: Agent) -> None:
        self.companion: Companion | None = companion_of(agent)
        self._audible = False

    def tuned(self, settings: SessionSettings) -> SessionSettings:
        """The settings under which the agent wants the call to be served."""
        return settings if self.companion is None else self.companion.tune(settings)

    def join(self, line: SessionLine) -> None:
        """Audio flows."""
        if self.companion is not None:
            self.companion.join(line)

    @property
    def counts_words(self) -> bool:
        """Whether somebody wants to know each word that was heard."""
        return self.companion is not None and self.companion.counts_words

    def voice(self, event: SegmentEvent) -> None:
        """The caller begins to speak, or falls silent."""
        match event:
            case SpeechStarted():
                self._tell(CallerSpeaks(True))
            case SpeechEnded():
                self._tell(CallerSpeaks(False))

    def words(self, text: str) -> None:
        """The caller's words so far, while the floor is his."""
        self._tell(WordsSoFar(text))

    def overheard(self, text: str) -> None:
        """The caller's words under a reply that goes on."""
        self._tell(Overheard(text))

    def key(self, digit: str, *, while_speaking: bool) -> None:
        """The caller pressed a key."""
        self._tell(KeyTold(digit, while_speaking))

    def audible(self, on: bool) -> None:
        """The caller hears us, or no longer does."""
        if on is not self._audible:
            self._audible = on
            self._tell(AgentSpeaks(on))

    def played(self, text: str) -> None:
        """Further words were heard to their end."""
        if text:
            self._tell(WordsPlayed(text))

    def interrupted(self, heard: str, seconds: float) -> None:
        """The caller cut what the agent said, or kept the floor from it."""
        self._tell(Interrupted(heard, seconds))

    def _tell(self, news: CallNews) -> None:
        if self.companion is not None:
            self.companion.notice(news)
