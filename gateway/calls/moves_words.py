"""Moves of the words: what the recogniser heard, and whether the turn is over. The table says when."""

from __future__ import annotations

from engines.base import Transcript
from gateway.agents.base import UserTurn
from gateway.calls.endpointing import Verdict, judge
from gateway.calls.floor import Floor
from gateway.calls.moves_reply import answer, apologise, give_back
from gateway.calls.turn_events import DecodeEarly, Fault, GoOnHearing, Phase, TellOverheard, Timer
from gateway.calls.words import same_words
from media.segmenter import SpeechEnded, SpeechStarted, VoiceDismissed


def note_words(floor: Floor, event: Transcript, now: float) -> None:
    """Words while the caller speaks, or is on hold; real ones prove that an interruption was meant."""
    floor.note(event)
    if floor.cut is not None and floor.meant_to_interrupt(decided=False):
        floor.settle_cut()


def weigh_words(floor: Floor, event: Transcript, now: float) -> None:
    """Words after the caller fell silent: was it speech, is it the end, and what shall we answer?"""
    turn = floor.note(event)
    if event.segment != turn.segment or not (event.early or event.is_final):
        return
    if not turn.texts[turn.segment]:
        floor.drop_segment()
        give_back(floor, now)
        return
    if floor.cut is not None and floor.meant_to_interrupt(decided=True):
        floor.settle_cut()
    floor.expect_end(turn.text)
    if floor.settings.speculate and floor.cut is None and judge(turn.text) is not Verdict.UNFINISHED:
        ready = floor.prepared.turn if floor.prepared is not None else None
        if ready is None or not same_words(ready.text, turn.text):
            floor.prepare_reply(UserTurn(turn.number, turn.text))


def commit(floor: Floor, _: Timer, now: float) -> None:
    """The wait is over: the turn is ours, unless voice is just being suspected again."""
    turn = floor.turn
    assert turn is not None
    patience = turn.due + floor.settings.endpointing.suspicion
    if floor.voice.suspected and now < patience:
        floor.arm(Timer.ENDPOINT, patience)
    elif floor.cut is not None and turn.text and not floor.meant_to_interrupt(decided=True):
        floor.drop_segment()
        give_back(floor, now)
    else:
        floor.commit_turn(now)


def commit_long(floor: Floor, _: Timer, now: float) -> None:
    """The caller speaks without end: answer what he said so far."""
    assert floor.turn is not None
    floor.counts["turn_limit"] += 1
    floor.turn.speech_ended_at = now
    floor.settle_cut()
    floor.commit_turn(now)


def end_after_all(floor: Floor, _: VoiceDismissed, now: float) -> None:
    """The suspicion that put the end of the turn off was wrong."""
    assert floor.turn is not None
    floor.arm(Timer.ENDPOINT, max(floor.turn.due, now))


def final_words(floor: Floor, event: Transcript, now: float) -> None:
    """The turn is committed: its words are complete when every segment's final is here."""
    if floor.live is not None:
        floor.counts["stale"] += 1
    elif not floor.note(event).awaiting:
        answer(floor, now)


def final_overdue(floor: Floor, _: Timer, now: float) -> None:
    """The recogniser is late: the words so far must do."""
    assert floor.turn is not None
    floor.counts["final_overdue"] += 1
    floor.turn.awaiting.clear()
    if floor.turn.text:
        answer(floor, now)
    else:
        floor.drop_segment()
        floor.settle_cut()
        apologise(floor, Fault.ASR, now)


# ----------------------------------------------------------------------------------- words over the reply


def contest_words(floor: Floor, event: Transcript, now: float) -> None:
    """Both speak: enough words win the floor, a backchannel or noise gives it back."""
    floor.note(event)
    decided = event.early or event.is_final
    if _overhears(floor):
        if decided:
            _tell_overheard(floor, now)
    elif floor.meant_to_interrupt(decided=decided):
        take_floor(floor, now)
        if floor.phase is Phase.ENDPOINTING:
            weigh_words(floor, event, now)
    elif decided:
        yield_floor(floor, now)


def contest_silence(floor: Floor, event: SpeechEnded, now: float) -> None:
    """He fell silent under the reply: his words will tell."""
    assert floor.turn is not None
    floor.turn.speech_ended_at = event.speech_end_at
    floor.actions.append(DecodeEarly(floor.turn.segment))
    floor.disarm(Timer.CONTEST)
    floor.arm(Timer.FINAL, now + floor.settings.guards.final)


def contest_again(floor: Floor, _: SpeechStarted, now: float) -> None:
    """He goes on speaking into the reply."""
    assert floor.turn is not None
    floor.actions.append(GoOnHearing(floor.turn.segment))
    floor.disarm(Timer.FINAL)
    if not _overhears(floor):
        floor.arm(Timer.CONTEST, now + floor.settings.barge_in.sustained)


def sustained_voice(floor: Floor, _: Timer, now: float) -> None:
    """No words, but he does not stop: he wants the floor."""
    if _overhears(floor):
        _tell_overheard(floor, now)
    else:
        take_floor(floor, now)


def no_words(floor: Floor, _: Timer, now: float) -> None:
    """He fell silent, and no words came of it."""
    yield_floor(floor, now)


def take_floor(floor: Floor, now: float) -> None:
    """The caller meant it: the reply ends here, what he says is a turn like any other."""
    assert floor.turn is not None and floor.live is not None
    floor.live.by_caller = True
    floor.close_live()
    if floor.voice.speaking:
        floor.enter(Phase.HEARING)
    else:
        floor.enter(Phase.ENDPOINTING)
        floor.expect_end(floor.turn.text or None)


def _overhears(floor: Floor) -> bool:
    """Whether the reply goes on whatever the caller says, and he is only listened to."""
    return floor.live is not None and not floor.live.by_voice


def _tell_overheard(floor: Floor, now: float) -> None:
    """The agent learns what he said so far; the reply goes on."""
    assert floor.turn is not None
    if floor.turn.text:
        floor.actions.append(TellOverheard(floor.turn.text))
    yield_floor(floor, now)


def yield_floor(floor: Floor, now: float) -> None:
    """The caller only showed that he listens: the reply goes on."""
    floor.drop_segment()
    floor.turn = None
    floor.unduck()
    floor.enter(Phase.SPEAKING)
