"""Every action by the word that the dialplan uses, and how it may be written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from gateway.dialplan.actions import (
    Answer,
    ConnectAgent,
    GoToRoute,
    HangUpCall,
    PlayFile,
    Progress,
    Reject,
    Ring,
    SayText,
    SetVariables,
)
from gateway.dialplan.actions_ask import Gather, Menu, Record, Voicemail
from gateway.dialplan.actions_reach import Bridge, Transfer, Twiml, Webhook

Action: TypeAlias = (
    Ring
    | Progress
    | Answer
    | SayText
    | PlayFile
    | Gather
    | Menu
    | ConnectAgent
    | Transfer
    | Bridge
    | Record
    | Voicemail
    | SetVariables
    | GoToRoute
    | Webhook
    | Twiml
    | HangUpCall
    | Reject
)
"""One step of a route; steps run in order."""

FALLBACK, INVALID, NO_INPUT, ON = "fallback", "invalid", "no_input", "on"


@dataclass(frozen=True, slots=True)
class ActionForm:
    """How an action is written: `- word`, `- word: value` or `- word: {field: value}`."""

    cls: type[Action]
    main: str = ""
    """Field that a bare value fills; "" when there is none."""
    bare: bool = False
    """Whether the word alone is enough."""
    lists: tuple[str, ...] = ()
    """Lists of actions that may stand in it."""
    branches: bool = False
    """Whether it has an `on` with a list of actions for each answer."""
    whole: bool = False
    """Whether a section below the word is the value itself."""

    @property
    def can_fail(self) -> bool:
        return FALLBACK in self.lists


_ASKS = (FALLBACK, INVALID, NO_INPUT)

FORMS: dict[str, ActionForm] = {
    "ring": ActionForm(Ring, "seconds", bare=True),
    "progress": ActionForm(Progress, bare=True),
    "answer": ActionForm(Answer, bare=True),
    "say": ActionForm(SayText, "text", lists=(FALLBACK,)),
    "play": ActionForm(PlayFile, "file", lists=(FALLBACK,)),
    "gather": ActionForm(Gather, "say", lists=_ASKS, branches=True),
    "menu": ActionForm(Menu, lists=_ASKS, branches=True),
    "agent": ActionForm(ConnectAgent, "agent", lists=(FALLBACK,)),
    "transfer": ActionForm(Transfer, "to", lists=(FALLBACK,)),
    "bridge": ActionForm(Bridge, "to", lists=(FALLBACK,)),
    "record": ActionForm(Record, "max_seconds", bare=True, lists=(FALLBACK, NO_INPUT)),
    "voicemail": ActionForm(Voicemail, "mailbox", lists=(FALLBACK, NO_INPUT)),
    "set": ActionForm(SetVariables, "values", whole=True),
    "goto": ActionForm(GoToRoute, "route"),
    "webhook": ActionForm(Webhook, "url", lists=(FALLBACK,), branches=True),
    "twiml": ActionForm(Twiml, "url", lists=(FALLBACK,)),
    "hangup": ActionForm(HangUpCall, "cause", bare=True),
    "reject": ActionForm(Reject, "code", bare=True),
}
"""Every action by the word that the dialplan uses."""

_WORDS = {form.cls: word for word, form in FORMS.items()}


def word_of(action: Action) -> str:
    """The word that the dialplan uses for it."""
    return _WORDS[type(action)]
