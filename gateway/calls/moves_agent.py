"""Moves of an agent that speaks without being asked. The table says when."""

from __future__ import annotations

from gateway.calls.floor import Floor
from gateway.calls.moves_reply import speak_up
from gateway.calls.turn_events import Phase, TalkOffered


def offered(floor: Floor, event: TalkOffered, now: float) -> None:
    """Nobody speaks: it may begin."""
    speak_up(floor, now)


def offered_to_caller(floor: Floor, event: TalkOffered, now: float) -> None:
    """The caller has the floor, and is heard out unless it is urgent."""
    if event.urgent:
        floor.clear_floor()
        speak_up(floor, now)
    else:
        offered_later(floor, event, now)


def offered_over_reply(floor: Floor, event: TalkOffered, now: float) -> None:
    """The floor is ours: what is being said is heard out, unless it gives way. Our own phrases never do."""
    if event.preempts and floor.live is not None and floor.live.turn is not None:
        floor.close_live()
        speak_up(floor, now)
    else:
        offered_later(floor, event, now)


def offered_while_contested(floor: Floor, event: TalkOffered, now: float) -> None:
    """The caller speaks over what is being said; what gives way leaves him the floor."""
    if event.preempts and not event.urgent and floor.live is not None and floor.live.turn is not None:
        floor.close_live()
        if floor.voice.speaking:
            floor.enter(Phase.HEARING)
        else:
            floor.enter(Phase.ENDPOINTING)
            floor.expect_end(None)
        offered_later(floor, event, now)
    else:
        offered_to_caller(floor, event, now)


def offered_later(floor: Floor, event: TalkOffered, now: float) -> None:
    """It waits for the floor."""
    floor.offered = event
