"""The words of the turn-taking machine: its phases, what may happen, what it orders, which clocks it sets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TypeAlias

from engines.base import Transcript
from gateway.agents.base import FaultKind, UserTurn
from media.legs.base import (
    DtmfReceived,
    EndReason,
    LegClosed,
    LegHeld,
    LegResumed,
    PlayoutDrained,
    PlayoutStarted,
)
from media.segmenter import SpeechEnded, SpeechStarted, VoiceDismissed, VoiceSuspected


class Phase(StrEnum):
    """Who has the floor."""

    LISTENING = "listening"
    """Nobody speaks; it is the caller's turn."""
    HEARING = "hearing"
    """The caller speaks."""
    ENDPOINTING = "endpointing"
    """The caller fell silent; whether the turn is over is being decided."""
    KEYING = "keying"
    """The caller presses keys; more may follow."""
    THINKING = "thinking"
    """The turn is ours, and nothing of the reply is audible yet."""
    SPEAKING = "speaking"
    """The reply is audible, ducked perhaps."""
    CONTESTED = "contested"
    """Both speak; the reply is ducked and the caller's words will decide."""
    HELD = "held"
    """The far end put us on hold."""
    ENDING = "ending"
    """The reason to end is known; the last phrase is being said."""
    ENDED = "ended"


class Timer(Enum):
    """The machine's clocks. A phase that has no row for one in the table switches it off."""

    ENDPOINT = "the turn is over"
    FINAL = "the final transcript is overdue"
    TURN_LIMIT = "the caller speaks too long"
    CONTEST = "sustained voice over the reply"
    KEYS = "no further key"
    NO_INPUT = "the caller stays silent"
    FILLER = "the reply is slow"
    DEAD_AIR = "the reply is overdue"
    MEDIA = "no packets"
    WARNING = "the call is nearly too long"
    DURATION = "the call is too long"
    GOODBYE = "the last phrase takes too long"


class Phrase(StrEnum):
    """What we say ourselves, without the agent. The texts are settings of the session."""

    FILLER = "filler"
    APOLOGY = "apology"
    REPROMPT = "reprompt"
    WARNING = "warning"
    NO_INPUT_GOODBYE = "no_input_goodbye"
    DURATION_GOODBYE = "duration_goodbye"
    FAILURE_GOODBYE = "failure_goodbye"


class Fault(StrEnum):
    """What broke while a reply was made or a turn was understood."""

    AGENT = "agent"
    TTS = "tts"
    ASR = "asr"


# ------------------------------------------------------------------------------------------------ events


@dataclass(frozen=True, slots=True)
class CallStarted:
    """Audio flows both ways: the conversation may begin."""


@dataclass(frozen=True, slots=True)
class ReplyVoiced:
    """The first samples of the reply itself (no filler) were queued."""

    reply: int


@dataclass(frozen=True, slots=True)
class ReplyEmpty:
    """The reply ended without a sound of its own."""

    reply: int


@dataclass(frozen=True, slots=True)
class ReplyFailed:
    """The reply cannot go on; if it was voiced, what was queued plays out and `PlayoutDrained` follows."""

    reply: int
    fault: Fault
    kind: FaultKind = FaultKind.BROKEN
    """What the agent's backend did, when that is at fault."""


@dataclass(frozen=True, slots=True)
class ReplyCut:
    """A reply was silenced, and whether going on with it would make sense."""

    reply: int
    resumable: bool
    """False when nothing was left of it, or when its last heard words were a question."""


@dataclass(frozen=True, slots=True)
class HangUpAsked:
    """The agent wants the call to end once this reply was heard."""

    reply: int
    keep_call: bool = False
    """Only its own part of the call ends: the leg stays up for what follows."""


@dataclass(frozen=True, slots=True)
class ReplyGuarded:
    """The agent says what of the caller's may cut this reply."""

    reply: int
    by_voice: bool
    by_keys: bool


@dataclass(frozen=True, slots=True)
class TalkOffered:
    """The agent has something to say that nobody asked for."""

    preempts: bool = False
    """What it is saying now is cut for it."""
    urgent: bool = False
    """The caller is not waited for."""


@dataclass(frozen=True, slots=True)
class AsrLost:
    """The recogniser failed again and again: the caller cannot be understood any more."""


@dataclass(frozen=True, slots=True)
class AgentLost:
    """The agent's backend is gone for good: nobody will answer the caller any more."""


@dataclass(frozen=True, slots=True)
class EndRequested:
    """Somebody outside the conversation ends the call: an operator, a drain, the dialplan."""

    reason: EndReason


TurnEvent: TypeAlias = (
    CallStarted
    | VoiceSuspected
    | VoiceDismissed
    | SpeechStarted
    | SpeechEnded
    | Transcript
    | DtmfReceived
    | PlayoutStarted
    | PlayoutDrained
    | ReplyVoiced
    | ReplyEmpty
    | ReplyFailed
    | ReplyCut
    | HangUpAsked
    | ReplyGuarded
    | TalkOffered
    | AsrLost
    | AgentLost
    | LegHeld
    | LegResumed
    | LegClosed
    | EndRequested
)


# ----------------------------------------------------------------------------------------------- actions


@dataclass(frozen=True, slots=True)
class OpenSegment:
    """Speech began: recognise from the pre-roll on."""

    segment: int


@dataclass(frozen=True, slots=True)
class DecodeEarly:
    """Speech seems to have stopped: recognise ahead of the decision."""

    segment: int


@dataclass(frozen=True, slots=True)
class GoOnHearing:
    """The pause was none: the same segment goes on."""

    segment: int


@dataclass(frozen=True, slots=True)
class CommitTurn:
    """The caller's turn is over: claim the final transcript of its last segment."""

    turn: int
    segment: int


@dataclass(frozen=True, slots=True)
class DropSegment:
    """It was no speech, or it no longer matters: no transcript is wanted."""

    segment: int


@dataclass(frozen=True, slots=True)
class PrepareReply:
    """Make a reply ready, silently: the turn will probably end here."""

    reply: int
    turn: UserTurn


@dataclass(frozen=True, slots=True)
class ReleaseReply:
    """The prepared reply is right: let it sound."""

    reply: int


@dataclass(frozen=True, slots=True)
class StartReply:
    """Ask the agent and speak what it says. Turn 0 asks for the greeting."""

    reply: int
    turn: UserTurn


@dataclass(frozen=True, slots=True)
class StopReply:
    """Silence it now. It may still be resumed: `CloseReply` or `DropReply` says that it will not."""

    reply: int


@dataclass(frozen=True, slots=True)
class ResumeReply:
    """Go on with a stopped reply, from the sentence where it was cut, under a new number."""

    reply: int
    stopped: int


@dataclass(frozen=True, slots=True)
class CloseReply:
    """The reply is over: tell the agent what the caller heard of it."""

    reply: int
    interrupted: bool = False
    """The caller cut it, and meant it."""


@dataclass(frozen=True, slots=True)
class DropReply:
    """The reply never was: the caller had not finished. The agent hears nothing of it."""

    reply: int
    asked: bool = False
    """It was more than a preparation: the agent had been asked for good."""


@dataclass(frozen=True, slots=True)
class SayPhrase:
    """Say one of our own phrases as a reply of its own."""

    reply: int
    phrase: Phrase


@dataclass(frozen=True, slots=True)
class SayFiller:
    """Say a phrase ahead of a reply that is late, under the reply's number."""

    reply: int
    phrase: Phrase


@dataclass(frozen=True, slots=True)
class Duck:
    """Play the reply softly: the caller may be starting to speak."""

    reply: int
    gain: float


@dataclass(frozen=True, slots=True)
class Unduck:
    """It was nothing: play on at full level."""

    reply: int


@dataclass(frozen=True, slots=True)
class TellOverheard:
    """The caller said this under a reply that goes on."""

    text: str


@dataclass(frozen=True, slots=True)
class TellFault:
    """The agent failed, and this is done about it: for the record."""

    kind: FaultKind
    action: str
    """As in `call_events.AgentFault`."""


@dataclass(frozen=True, slots=True)
class EndCall:
    """Hang up. The machine says this exactly once, and nothing after it."""

    reason: EndReason
    keep_call: bool = False
    """Only the conversation ends; whoever runs the call decides what follows."""


HearingAction: TypeAlias = OpenSegment | DecodeEarly | GoOnHearing | CommitTurn | DropSegment
"""Orders to the recogniser."""

SpeakingAction: TypeAlias = (
    PrepareReply
    | ReleaseReply
    | StartReply
    | StopReply
    | ResumeReply
    | CloseReply
    | DropReply
    | SayPhrase
    | SayFiller
    | Duck
    | Unduck
)
"""Orders to the speaker and the playout."""

TurnAction: TypeAlias = HearingAction | SpeakingAction | TellOverheard | TellFault | EndCall
