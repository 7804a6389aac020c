"""How a call is served whose words come from an app: the session's settings, with the app's wishes."""

from __future__ import annotations

from dataclasses import replace

from gateway.agents.conversation_relay.settings import RelaySettings
from gateway.calls.endpointing import EndpointSettings
from gateway.calls.settings import SessionSettings
from gateway.calls.turn_settings import BargeIn, BargeInSettings

_NEVER = 1e6
"""Seconds; longer than any call."""
_FAILURES = 3
"""Prompts in a row that an app may leave without an answer; whether it is there at all is known otherwise."""
_WORDS = {"high": 1, "medium": 1, "low": 2}


def tuned(session: SessionSettings, relay: RelaySettings) -> SessionSettings:
    """What the node's own settings become for this app."""
    turns = session.turns
    return replace(
        session,
        language=relay.language or session.language,
        voice=relay.voice or session.voice,
        hot_words=(*session.hot_words, *relay.hints),
        turns=replace(
            turns,
            speculate=False,  # a prompt that was sent cannot be taken back
            barge_in=_barge_in(turns.barge_in, relay),
            endpointing=_endpointing(turns.endpointing, relay.speech_timeout_ms / 1000),
            keys=replace(turns.keys, as_turns=False),
            guards=replace(
                turns.guards,
                no_input=relay.no_input_seconds or _NEVER,
                failures=max(turns.guards.failures, _FAILURES),
            ),
        ),
    )


def _barge_in(settings: BargeInSettings, relay: RelaySettings) -> BargeInSettings:
    sensitive = relay.interrupt_sensitivity
    return replace(
        settings,
        policy=BargeIn.VOICE if sensitive == "high" else BargeIn.WORDS,
        words=_WORDS[sensitive],
        backchannels=settings.backchannels if relay.ignore_backchannel else (),
        overhear=relay.report_input.by_voice,
    )


def _endpointing(settings: EndpointSettings, timeout: float) -> EndpointSettings:
    if not timeout:
        return settings
    done, unfinished = min(settings.done, timeout), max(settings.unfinished, timeout)
    return replace(settings, mode="fixed", done=done, undecided=timeout, unfinished=unfinished)
