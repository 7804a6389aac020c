"""What happens in the call, as the app is told of it, where its settings ask for it."""

from __future__ import annotations

from collections.abc import Callable

from gateway.agents.companion import (
    AgentSpeaks,
    CallerSpeaks,
    CallNews,
    Interrupted,
    KeyTold,
    Overheard,
    WordsPlayed,
    WordsSoFar,
)
from gateway.agents.conversation_relay import messages
from gateway.agents.conversation_relay.link import Link
from gateway.agents.conversation_relay.settings import RelaySettings


class NewsTeller:
    """Tells one app."""

    def __init__(self, settings: RelaySettings, link: Link, wall: Callable[[], float]) -> None:
        """`wall`: seconds since 1970."""
        self._settings = settings
        self._link = link
        self._wall = wall
        self._partial = ""

    def tell(self, news: CallNews, language: str) -> bool:
        """Tell it, if it is wanted; returns whether it is something that the app may want to answer."""
        settings, send = self._settings, self._link.send
        match news:
            case Interrupted(heard, seconds):
                send(messages.interrupt(heard, round(1000 * seconds)))
            case Overheard(text) if settings.report_input.by_voice:
                send(messages.prompt(text, language, last=True))
                return True
            case WordsSoFar(text) if settings.partial_prompts and text and text != self._partial:
                self._partial = text
                send(messages.prompt(text, language, last=False), keep=False)
            case KeyTold(digit, while_speaking) if settings.dtmf_detection:
                if not while_speaking or settings.report_input.by_keys:
                    send(messages.dtmf(digit))
                    return True
            case CallerSpeaks(on):
                self._speaker("clientSpeaking", on)
            case AgentSpeaks(on):
                self._speaker("agentSpeaking", on)
            case WordsPlayed(text) if "tokens-played" in settings.events:
                send(messages.info("tokensPlayed", text), keep=False)
        return False

    def _speaker(self, who: str, on: bool) -> None:
        if "speaker-events" in self._settings.events:
            told = messages.info(who, "on" if on else "off", round(1000 * self._wall()))
            self._link.send(told, keep=False)
