"""The texts that a plan is known to speak, whatever happens in a call."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from gateway.dialplan import variables
from gateway.dialplan.actions import SayText
from gateway.dialplan.actions_ask import Gather, Menu, Voicemail
from gateway.dialplan.forms import Action
from gateway.dialplan.plan import Dialplan
from gateway.dialplan.steps import walk


def said(plan: Dialplan) -> Iterator[str]:
    """Each text without variables that the plan's default voice will speak, in the order of the file."""
    lists = (*(route.steps for route in plan.routes), plan.fallback)
    for step in chain.from_iterable(map(walk, lists)):
        for text in _texts(step.action):
            if text and not variables.names(text):
                yield text


def _texts(action: Action) -> Iterator[str]:
    match action:
        case SayText(text, language="", voice=""):
            yield text
        case Gather() | Menu():
            yield from (action.say, action.say_invalid, action.say_no_input)
        case Voicemail():
            yield action.say
