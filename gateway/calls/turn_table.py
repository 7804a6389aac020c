"""The table of turn-taking: phase × event → the move, and the phases it may lead to.

All transitions live here. An event that a phase does not list is counted and changes nothing; an event that
may well come but means nothing there is listed as `ignored`. A clock that a phase does not list is off in it.
`python -m gateway.calls.turn_table` prints the diagram of the README.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from engines.base import Transcript
from gateway.calls import moves_agent as agent
from gateway.calls import moves_caller as caller
from gateway.calls import moves_guard as guard
from gateway.calls import moves_reply as reply
from gateway.calls import moves_words as words
from gateway.calls.floor import Floor
from gateway.calls.turn_events import (
    AgentLost,
    AsrLost,
    CallStarted,
    EndRequested,
    HangUpAsked,
    Phase,
    ReplyCut,
    ReplyEmpty,
    ReplyFailed,
    ReplyGuarded,
    ReplyVoiced,
    TalkOffered,
    Timer,
)
from media.legs.base import DtmfReceived, LegClosed, LegHeld, LegResumed, PlayoutDrained, PlayoutStarted
from media.segmenter import SpeechEnded, SpeechStarted, VoiceDismissed, VoiceSuspected

Move: TypeAlias = Callable[[Floor, Any, float], None]
Trigger: TypeAlias = type[Any] | Timer


@dataclass(frozen=True, slots=True)
class Step:
    """One row: the move, and every phase in which it may end."""

    move: Move
    to: tuple[Phase, ...]


LISTENING, HEARING, ENDPOINTING, KEYING = Phase.LISTENING, Phase.HEARING, Phase.ENDPOINTING, Phase.KEYING
THINKING, SPEAKING, CONTESTED, HELD = Phase.THINKING, Phase.SPEAKING, Phase.CONTESTED, Phase.HELD
ENDING, ENDED = Phase.ENDING, Phase.ENDED

RESTING = (LISTENING, HEARING, KEYING, THINKING)
"""Where `rest` may end: the caller's turn, perhaps taken already, or a warning that was due."""
APOLOGISING = (THINKING, ENDING, *RESTING)


def _ignored(_floor: Floor, _event: object, _now: float) -> None:
    """May come, means nothing here."""


def row(move: Move, *to: Phase) -> Step:
    return Step(move, to)


IGNORED = Step(_ignored, ())

ALWAYS: dict[Trigger, Step] = {
    LegClosed: row(guard.leg_closed, ENDED),
    EndRequested: row(guard.end_requested, ENDED),
    Timer.MEDIA: row(guard.media_lost, ENDED),
    LegResumed: IGNORED,
}

TALKING: dict[Trigger, Step] = ALWAYS | {
    AsrLost: row(guard.recogniser_lost, ENDING),
    AgentLost: row(guard.agent_lost, ENDING),
    LegHeld: row(guard.hold, HELD),
    DtmfReceived: row(caller.press, KEYING, THINKING),
    ReplyCut: row(reply.cut_known),
    ReplyGuarded: row(reply.guarded),
    TalkOffered: row(agent.offered_to_caller, THINKING),
    Timer.WARNING: row(guard.warn_later),
    Timer.DURATION: row(guard.too_long, ENDING),
}
"""What every phase of the conversation answers."""

QUIET: dict[Trigger, Step] = {VoiceSuspected: IGNORED, VoiceDismissed: IGNORED}
"""Nothing of ours sounds that could be lowered."""

TABLE: Mapping[Phase, Mapping[Trigger, Step]] = {
    LISTENING: TALKING | QUIET | {
        CallStarted: row(guard.begin_call, THINKING),
        TalkOffered: row(agent.offered, THINKING),
        SpeechStarted: row(caller.begin_turn, HEARING),
        Timer.NO_INPUT: row(guard.silent_caller, THINKING, ENDING),
        Timer.WARNING: row(guard.warn_now, THINKING),
    },
    HEARING: TALKING | QUIET | {
        Transcript: row(words.note_words),
        SpeechEnded: row(caller.fall_silent, ENDPOINTING),
        Timer.TURN_LIMIT: row(words.commit_long, THINKING),
    },
    ENDPOINTING: TALKING | {
        Transcript: row(words.weigh_words, *APOLOGISING),
        SpeechStarted: row(caller.go_on, HEARING),
        VoiceSuspected: IGNORED,
        VoiceDismissed: row(words.end_after_all),
        ReplyFailed: row(reply.fails),
        HangUpAsked: row(reply.hang_up_asked),
        Timer.ENDPOINT: row(words.commit, *RESTING),
        Timer.TURN_LIMIT: row(words.commit_long, THINKING),
    },
    KEYING: TALKING | QUIET | {
        SpeechStarted: IGNORED,
        SpeechEnded: IGNORED,
        Timer.KEYS: row(caller.commit_keys, THINKING),
    },
    THINKING: TALKING | {
        Transcript: row(words.final_words, *RESTING),
        VoiceSuspected: row(caller.suspect),
        VoiceDismissed: row(caller.dismiss),
        SpeechStarted: row(caller.interrupt, HEARING),
        SpeechEnded: IGNORED,
        PlayoutStarted: row(reply.sounds, SPEAKING),
        TalkOffered: row(agent.offered_over_reply),
        ReplyVoiced: row(reply.voiced, SPEAKING),
        PlayoutDrained: row(reply.said, *APOLOGISING, ENDED),
        ReplyEmpty: row(reply.said, *APOLOGISING, ENDED),
        ReplyFailed: row(reply.fails, *APOLOGISING),
        HangUpAsked: row(reply.hang_up_asked),
        Timer.FINAL: row(words.final_overdue, *APOLOGISING),
        Timer.FILLER: row(guard.slow_reply),
        Timer.DEAD_AIR: row(guard.dead_air, *APOLOGISING),
    },
    SPEAKING: TALKING | {
        DtmfReceived: row(caller.press, KEYING, *RESTING),
        TalkOffered: row(agent.offered_over_reply, THINKING),
        VoiceSuspected: row(caller.suspect),
        VoiceDismissed: row(caller.dismiss),
        SpeechStarted: row(caller.interrupt, HEARING, CONTESTED),
        SpeechEnded: IGNORED,
        Transcript: IGNORED,
        PlayoutDrained: row(reply.said, *APOLOGISING, ENDED),
        ReplyFailed: row(reply.fails),
        HangUpAsked: row(reply.hang_up_asked),
    },
    CONTESTED: TALKING | QUIET | {
        DtmfReceived: row(caller.press, KEYING, *RESTING),
        Transcript: row(words.contest_words, HEARING, ENDPOINTING, SPEAKING),
        SpeechStarted: row(words.contest_again),
        SpeechEnded: row(words.contest_silence),
        TalkOffered: row(agent.offered_while_contested, HEARING, ENDPOINTING, THINKING),
        PlayoutDrained: row(reply.said_while_contested, HEARING, ENDPOINTING, ENDED),
        ReplyFailed: row(reply.fails),
        HangUpAsked: row(reply.hang_up_asked),
        Timer.CONTEST: row(words.sustained_voice, HEARING),
        Timer.FINAL: row(words.no_words, SPEAKING),
        Timer.TURN_LIMIT: row(words.sustained_voice, HEARING, SPEAKING),
    },
    HELD: QUIET | {
        LegClosed: row(guard.leg_closed, ENDED),
        EndRequested: row(guard.end_requested, ENDED),
        LegResumed: row(guard.back_from_hold, *RESTING),
        LegHeld: IGNORED,
        AsrLost: row(guard.recogniser_lost_on_hold, ENDED),
        AgentLost: row(guard.agent_lost_on_hold, ENDED),
        DtmfReceived: IGNORED,
        Transcript: row(words.note_words),
        SpeechStarted: IGNORED,
        SpeechEnded: IGNORED,
        ReplyCut: row(reply.cut_known),
        ReplyGuarded: IGNORED,
        TalkOffered: row(agent.offered_later),
        Timer.WARNING: row(guard.warn_later),
        Timer.DURATION: row(guard.too_long_on_hold, ENDED),
    },
    ENDING: ALWAYS | QUIET | {
        SpeechStarted: IGNORED,
        SpeechEnded: IGNORED,
        DtmfReceived: IGNORED,
        AsrLost: IGNORED,
        AgentLost: IGNORED,
        HangUpAsked: IGNORED,
        ReplyGuarded: IGNORED,
        TalkOffered: IGNORED,
        PlayoutStarted: IGNORED,
        ReplyVoiced: row(reply.voiced),
        LegHeld: row(guard.goodbye_said, ENDED),
        PlayoutDrained: row(guard.goodbye_said, ENDED),
        ReplyEmpty: row(guard.goodbye_said, ENDED),
        ReplyFailed: row(guard.goodbye_fails, ENDED),
        Timer.GOODBYE: row(guard.goodbye_said, ENDED),
    },
    ENDED: {},
}  # fmt: skip

CLOCKS: dict[Phase, frozenset[Timer]] = {
    phase: frozenset(trigger for trigger in rows if isinstance(trigger, Timer))
    for phase, rows in TABLE.items()
}
"""Which clocks run in which phase."""


def diagram() -> str:
    """The table as a Mermaid state diagram; what every talking phase answers alike is drawn once."""
    lines = ["stateDiagram-v2", "    [*] --> listening"]
    for phase, rows in TABLE.items():
        edges: dict[Phase, list[str]] = {}
        for trigger, step in rows.items():
            if TALKING.get(trigger) is not step and ALWAYS.get(trigger) is not step:
                for to in dict.fromkeys(step.to):
                    edges.setdefault(to, []).append(_label(trigger))
        lines += [f"    {phase} --> {to}: {', '.join(labels)}" for to, labels in edges.items()]
    lines += ['    state "any phase before ending" as any']
    for trigger, step in TALKING.items():
        lines += [f"    any --> {to}: {_label(trigger)}" for to in step.to]
    return "\n".join([*lines, "    ended --> [*]"]) + "\n"


def _label(trigger: Trigger) -> str:
    return f"[{trigger.value}]" if isinstance(trigger, Timer) else trigger.__name__


if __name__ == "__main__":
    sys.stdout.write(diagram())
