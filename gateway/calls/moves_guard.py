"""Moves of the guards: the call's beginning and end, silence, dead air, duration, lost media, hold."""

from __future__ import annotations

from gateway.agents.base import FaultKind, UserTurn
from gateway.calls.floor import Floor
from gateway.calls.moves_reply import apologise, give_back, rest, start_answer
from gateway.calls.turn_events import (
    AgentLost,
    AsrLost,
    CallStarted,
    EndRequested,
    Fault,
    Phase,
    Phrase,
    ReplyEmpty,
    ReplyFailed,
    SayFiller,
    Timer,
)
from media.legs.base import EndReason, LegClosed, LegHeld, LegResumed, PlayoutDrained

_LOOK_AGAIN = 0.1
"""Seconds between two looks for a reply that a filler could go ahead of."""


def begin_call(floor: Floor, _: CallStarted, now: float) -> None:
    """The agent greets; the guards of the whole call begin to run."""
    guards = floor.settings.guards
    floor.arm(Timer.DURATION, now + guards.max_duration)
    floor.arm(Timer.MEDIA, now + guards.media_lost)
    if guards.warning:
        floor.arm(Timer.WARNING, now + guards.max_duration - guards.warning)
    floor.start_reply(UserTurn(0, ""), now)


def leg_closed(floor: Floor, event: LegClosed, now: float) -> None:
    """The far end is gone."""
    floor.finish(event.reason)


def end_requested(floor: Floor, event: EndRequested, now: float) -> None:
    """Somebody outside the conversation ends it."""
    floor.finish(event.reason)


def recogniser_lost(floor: Floor, _: AsrLost, now: float) -> None:
    """We cannot understand the caller any more."""
    floor.end(EndReason.ENGINE_FAILED, Phrase.FAILURE_GOODBYE, now)


def agent_lost(floor: Floor, _: AgentLost, now: float) -> None:
    """Nobody answers the caller any more."""
    floor.end(EndReason.DEAD_AIR, Phrase.FAILURE_GOODBYE, now)


def agent_lost_on_hold(floor: Floor, _: AgentLost, now: float) -> None:
    """The same, with nobody listening to a goodbye."""
    floor.finish(EndReason.DEAD_AIR)


def recogniser_lost_on_hold(floor: Floor, _: AsrLost, now: float) -> None:
    """The same, with nobody listening to a goodbye."""
    floor.finish(EndReason.ENGINE_FAILED)


def goodbye_said(
    floor: Floor, _: PlayoutDrained | ReplyEmpty | ReplyFailed | LegHeld | Timer, now: float
) -> None:
    """The last phrase was heard, or will not be."""
    assert floor.reason is not None
    floor.finish(floor.reason)


def goodbye_fails(floor: Floor, event: ReplyFailed, now: float) -> None:
    """What was queued of the goodbye plays out; `PlayoutDrained` or the clock ends the call."""
    if floor.live is None or not floor.live.voiced:
        goodbye_said(floor, event, now)


# -------------------------------------------------------------------------------------------------- guards


def silent_caller(floor: Floor, _: Timer, now: float) -> None:
    """No input: ask again some times, then end."""
    if floor.tally.reprompts < floor.settings.guards.reprompts:
        floor.tally.reprompts += 1
        floor.say(Phrase.REPROMPT, now)
    else:
        floor.end(EndReason.NO_INPUT, Phrase.NO_INPUT_GOODBYE, now)


def slow_reply(floor: Floor, _: Timer, now: float) -> None:
    """First step of the dead-air ladder: a filler, under the number of the reply that is late."""
    if floor.live is None:  # the turn's words are late; as soon as they are answered, the filler is due
        floor.arm(Timer.FILLER, now + _LOOK_AGAIN)
    elif not floor.live.voiced and floor.live.turn is not None:
        floor.counts["filler"] += 1
        floor.actions.append(SayFiller(floor.live.number, Phrase.FILLER))


def dead_air(floor: Floor, _: Timer, now: float) -> None:
    """Second step: give the reply up, apologise, listen again; third, in `apologise`: goodbye."""
    floor.counts["dead_air"] += 1
    fault = Fault.AGENT if floor.live is not None else Fault.ASR  # nobody was asked: the words are missing
    of_phrase = floor.live is not None and floor.live.turn is None
    floor.clear_floor()
    apologise(floor, fault, now, of_phrase=of_phrase, kind=FaultKind.SLOW)


def media_lost(floor: Floor, _: Timer, now: float) -> None:
    """No packet came for too long."""
    floor.finish(EndReason.MEDIA_LOST)


def warn_now(floor: Floor, _: Timer, now: float) -> None:
    """Tell the caller that the call will end soon."""
    floor.say(Phrase.WARNING, now)


def warn_later(floor: Floor, _: Timer, now: float) -> None:
    """The same, as soon as nobody speaks."""
    floor.warning_due = True


def too_long(floor: Floor, _: Timer, now: float) -> None:
    """The call has lasted as long as it may."""
    floor.end(EndReason.MAX_DURATION, Phrase.DURATION_GOODBYE, now)


def too_long_on_hold(floor: Floor, _: Timer, now: float) -> None:
    """The same, with nobody listening to a goodbye."""
    floor.finish(EndReason.MAX_DURATION)


# ---------------------------------------------------------------------------------------------------- hold


def hold(floor: Floor, _: LegHeld, now: float) -> None:
    """The far end no longer listens: stop speaking, keep what was said; all guards but one rest."""
    floor.drop_prepared()
    if floor.phase is Phase.CONTESTED:
        floor.drop_segment()
        floor.turn = None
    elif floor.phase in (Phase.HEARING, Phase.ENDPOINTING):
        floor.settle_cut()
        floor.claim_segment()
    if floor.live is not None:
        floor.stop_live()
    floor.enter(Phase.HELD)


def back_from_hold(floor: Floor, _: LegResumed, now: float) -> None:
    """Go on with what was being said, or answer what was asked before the hold."""
    if floor.cut is not None:
        give_back(floor, now)
    elif floor.turn is not None and floor.turn.text:
        start_answer(floor, now)
    else:
        rest(floor, now)
    floor.arm(Timer.MEDIA, now + floor.settings.guards.media_lost)
