"""Moves of our replies: what sounds, what is over, what went wrong, and who has the floor then."""

from __future__ import annotations

from gateway.agents.base import FaultKind, UserTurn
from gateway.calls.floor import Floor
from gateway.calls.turn_events import (
    Fault,
    HangUpAsked,
    Phase,
    Phrase,
    ReplyCut,
    ReplyEmpty,
    ReplyFailed,
    ReplyGuarded,
    ReplyVoiced,
    TellFault,
    Timer,
)
from gateway.calls.words import same_words
from media.legs.base import EndReason, PlayoutDrained, PlayoutStarted


def answer(floor: Floor, now: float) -> None:
    """The turn's words are known: release the reply that was prepared for them, or start one."""
    turn = floor.turn
    assert turn is not None
    floor.disarm(Timer.FINAL)
    if not turn.text or (floor.cut is not None and not floor.meant_to_interrupt(decided=True)):
        give_back(floor, now)
        return
    floor.settle_cut()
    floor.endpointer.turn_ended()
    ready = floor.prepared.turn if floor.prepared is not None else None
    if ready is not None and same_words(ready.text, turn.text):
        floor.count_turn(turn.number)
        floor.release_prepared(now)
    else:
        start_answer(floor, now)


def start_answer(floor: Floor, now: float) -> None:
    """Ask the agent for a reply to the turn's words."""
    assert floor.turn is not None
    floor.drop_prepared()
    floor.count_turn(floor.turn.number)
    floor.start_reply(UserTurn(floor.turn.number, floor.turn.text), now)


def sounds(floor: Floor, event: PlayoutStarted, now: float) -> None:
    """Something is audible: the reply itself, or a filler ahead of it."""
    if floor.live is not None:
        floor.live.audible_at = event.at
        _speak_if_audible(floor)


def voiced(floor: Floor, _: ReplyVoiced, now: float) -> None:
    """The reply's own sound is on its way."""
    if floor.live is not None:
        floor.live.voiced = True
        _speak_if_audible(floor)


def _speak_if_audible(floor: Floor) -> None:
    reply = floor.live
    if floor.phase is Phase.THINKING and reply is not None and reply.voiced and reply.audible_at is not None:
        floor.enter(Phase.SPEAKING)


def said(floor: Floor, _: PlayoutDrained | ReplyEmpty, now: float) -> None:
    """The reply is over: hang up if the agent asked for it, else the caller has the floor."""
    reply = floor.live
    if reply is None:  # a prepared one that will say nothing
        return
    floor.close_live()
    if reply.hang_up:
        floor.finish(EndReason.AGENT_HUNG_UP, keep_call=reply.keep_call)
    elif reply.fault is not None:
        apologise(floor, reply.fault, now, of_phrase=reply.turn is None, kind=reply.fault_kind)
    else:
        if reply.turn is not None:
            floor.tally.failures = 0
        rest(floor, now)


def said_while_contested(floor: Floor, _: PlayoutDrained | ReplyEmpty, now: float) -> None:
    """The reply ended under the caller's voice: what he says is a turn like any other."""
    assert floor.live is not None and floor.turn is not None
    reply = floor.live
    floor.close_live()
    if reply.hang_up:
        floor.finish(EndReason.AGENT_HUNG_UP, keep_call=reply.keep_call)
        return
    if floor.voice.speaking:
        floor.enter(Phase.HEARING)
    else:
        floor.enter(Phase.ENDPOINTING)
        floor.expect_end(None)


def fails(floor: Floor, event: ReplyFailed, now: float) -> None:
    """A reply broke: what was queued plays out first, then we apologise."""
    floor.counts[f"failed_{event.fault}"] += 1
    reply = floor.live
    if reply is None or reply.number != event.reply:
        if event.fault is Fault.AGENT and floor.prepared is not None:
            floor.actions.append(TellFault(event.kind, "retried"))
        floor.drop_prepared()  # the turn may still be answered by a new one
        return
    reply.fault, reply.fault_kind = event.fault, event.kind
    if not reply.voiced:
        floor.close_live()
        apologise(floor, event.fault, now, of_phrase=reply.turn is None, kind=event.kind)


def hang_up_asked(floor: Floor, event: HangUpAsked, now: float) -> None:
    """Remember it until the reply was heard."""
    if reply := floor.reply(event.reply):
        reply.hang_up = True
        reply.keep_call = event.keep_call


def guarded(floor: Floor, event: ReplyGuarded, now: float) -> None:
    """The agent decides what may cut its reply."""
    if reply := floor.reply(event.reply):
        reply.by_voice, reply.by_keys = event.by_voice, event.by_keys
        if not reply.by_voice and reply is floor.live:
            floor.unduck()


def cut_known(floor: Floor, event: ReplyCut, now: float) -> None:
    """Whether the reply that was stopped could go on."""
    if floor.cut is not None:
        floor.cut.resumable = event.resumable


def give_back(floor: Floor, now: float) -> None:
    """The caller did not want the floor: go on with what was cut, or with what he asked before."""
    cut = floor.cut
    asked = floor.turn if floor.turn is not None and floor.turn.reopened else None
    floor.drop_prepared()
    if cut is not None and cut.resumable and (cut.forget or floor.settings.barge_in.resume):
        floor.counts["resumed"] += 1
        floor.resume_cut(now)
        floor.turn = asked
        return
    floor.settle_cut()
    if asked is not None:
        start_answer(floor, now)
    else:
        rest(floor, now)


def rest(floor: Floor, now: float) -> None:
    """Nothing more to say: it is the caller's turn, who may be speaking already."""
    floor.turn = None
    if floor.warning_due:
        floor.warning_due = False
        floor.say(Phrase.WARNING, now)
    elif floor.keys:
        floor.enter(Phase.KEYING)
        floor.arm(Timer.KEYS, now + floor.settings.keys.timeout)
    elif floor.voice.speaking:
        floor.open_turn(Phase.HEARING, now)
    elif floor.offered is not None:
        speak_up(floor, now)
    else:
        floor.enter(Phase.LISTENING)
        floor.arm(Timer.NO_INPUT, now + floor.settings.guards.no_input)


def speak_up(floor: Floor, now: float) -> None:
    """Let the agent say what nobody asked for."""
    floor.turn = None
    floor.drop_prepared()
    floor.start_reply(UserTurn(0, "", unasked=True), now)


def apologise(
    floor: Floor,
    fault: Fault,
    now: float,
    *,
    of_phrase: bool = False,
    kind: FaultKind = FaultKind.BROKEN,
) -> None:
    """A reply failed: say so, or end the call when it keeps failing. A phrase that failed is not replaced."""
    floor.tally.failures += 1
    floor.turn = None
    over = floor.tally.failures >= floor.settings.guards.failures
    if fault is Fault.AGENT and not of_phrase:
        floor.actions.append(TellFault(kind, "ended" if over else "fallback"))
    if over:
        reason = EndReason.DEAD_AIR if fault is Fault.AGENT else EndReason.ENGINE_FAILED
        floor.end(reason, Phrase.FAILURE_GOODBYE, now)
    elif of_phrase:
        rest(floor, now)
    else:
        floor.say(Phrase.APOLOGY, now)
