"""Moves of the caller: voice and keys. Each changes the floor for one event; the table says when."""

from __future__ import annotations

from gateway.agents.base import UserTurn
from gateway.calls.floor import CallerTurn, Floor, ReplyState
from gateway.calls.moves_reply import rest
from gateway.calls.turn_events import DecodeEarly, GoOnHearing, Phase, Timer
from gateway.calls.turn_settings import BargeIn
from media.legs.base import DtmfReceived
from media.segmenter import SpeechEnded, SpeechStarted, VoiceDismissed, VoiceSuspected


def suspect(floor: Floor, _: VoiceSuspected, now: float) -> None:
    """Perhaps the caller begins to speak: lower our voice."""
    if floor.live is not None and floor.live.by_voice:
        floor.duck()


def dismiss(floor: Floor, _: VoiceDismissed, now: float) -> None:
    """It was nothing."""
    floor.unduck()


def begin_turn(floor: Floor, _: SpeechStarted, now: float) -> None:
    """The caller takes the floor that nobody had."""
    floor.open_turn(Phase.HEARING, now)


def fall_silent(floor: Floor, event: SpeechEnded, now: float) -> None:
    """The turn may be over: have the words ready before that is certain."""
    assert floor.turn is not None
    floor.turn.speech_ended_at = event.speech_end_at
    floor.actions.append(DecodeEarly(floor.turn.segment))
    floor.enter(Phase.ENDPOINTING)
    floor.expect_end(None)


def go_on(floor: Floor, event: SpeechStarted, now: float) -> None:
    """It was a pause: the same segment continues."""
    assert floor.turn is not None
    floor.endpointer.paused(event.onset_at - floor.turn.speech_ended_at)
    floor.drop_prepared()
    floor.actions.append(GoOnHearing(floor.turn.segment))
    floor.enter(Phase.HEARING)


def interrupt(floor: Floor, event: SpeechStarted, now: float) -> None:
    """The caller speaks while the turn is ours: he goes on with his own, takes the floor, or contests it."""
    reply = floor.live
    if reply is not None and not reply.by_voice:
        if floor.settings.barge_in.overhear and floor.phase is Phase.SPEAKING:
            floor.open_turn(Phase.CONTESTED, now)
        return
    if floor.turn is not None and _had_not_finished(floor, floor.turn, reply, event):
        _reopen(floor, floor.turn, event, now)
    elif floor.phase is Phase.SPEAKING and floor.settings.barge_in.policy is BargeIn.WORDS:
        floor.duck()
        floor.open_turn(Phase.CONTESTED, now)
        floor.arm(Timer.CONTEST, now + floor.settings.barge_in.sustained)
    else:
        floor.stop_live(by_caller=True)
        floor.open_turn(Phase.HEARING, now)


def _had_not_finished(floor: Floor, turn: CallerTurn, reply: ReplyState | None, event: SpeechStarted) -> bool:
    """Whether the caller only goes on with the turn that we took for finished."""
    if reply is None:
        return True
    if reply.turn is None or reply.turn.number != turn.number:
        return False
    if reply.audible_at is None or not reply.voiced:
        return True
    heard = event.at - reply.audible_at
    gap = event.onset_at - turn.speech_ended_at
    return heard < floor.settings.reopen_heard and gap <= floor.settings.reopen_gap


def _reopen(floor: Floor, turn: CallerTurn, event: SpeechStarted, now: float) -> None:
    floor.endpointer.paused(event.onset_at - turn.speech_ended_at)
    floor.counts["reopened"] += 1
    floor.drop_prepared()
    if floor.live is not None:
        floor.stop_live(forget=True, by_caller=True)
    floor.enter(Phase.HEARING)
    floor.open_segment()
    floor.arm(Timer.TURN_LIMIT, now + floor.settings.guards.max_turn)


def press(floor: Floor, event: DtmfReceived, now: float) -> None:
    """A key: it takes the floor at once, and wins over voice (tones sound like voice, too)."""
    settings = floor.settings.keys
    if not settings.as_turns:
        _silence_by_key(floor, now)
        return
    if floor.live is not None and not floor.live.by_keys:
        floor.keys = (floor.keys + event.digit)[: settings.most]
        return
    _mark_cut_by_caller(floor)
    floor.clear_floor()
    floor.enter(Phase.KEYING)
    ended = event.digit == settings.terminator
    if not ended or not floor.keys:
        floor.keys += event.digit
    if ended or len(floor.keys) >= (floor.keys_wanted or settings.most):
        commit_keys(floor, Timer.KEYS, now)
    else:
        floor.arm(Timer.KEYS, now + settings.timeout)


def _silence_by_key(floor: Floor, now: float) -> None:
    """A key that is no turn cuts what the caller hears, where that may be cut by keys."""
    heard = floor.phase in (Phase.SPEAKING, Phase.CONTESTED)
    if heard and floor.live is not None and floor.live.by_keys:
        _mark_cut_by_caller(floor)
        floor.clear_floor()
        rest(floor, now)


def _mark_cut_by_caller(floor: Floor) -> None:
    if floor.live is not None:
        floor.live.by_caller = True


def commit_keys(floor: Floor, _: Timer, now: float) -> None:
    """No further key: the keys are the caller's turn."""
    floor.tally.turns += 1
    floor.tally.reprompts = 0
    keys, floor.keys = floor.keys, ""
    floor.keys_wanted = 0
    floor.start_reply(UserTurn(floor.tally.turns, "", dtmf=keys), now)
