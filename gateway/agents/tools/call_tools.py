"""The tools that act on the call: what the model is told of them, and what its arguments mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from gateway.agents.tools.settings import ToolSettings
from gateway.calls.orders import (
    CollectKeys,
    End,
    Hold,
    Order,
    SendKeys,
    SwitchAgent,
    SwitchLanguage,
    TransferBlind,
)
from media.legs.base import EndReason

Arguments: TypeAlias = Mapping[str, Any]

LEAVES: frozenset[type[Order]] = frozenset({End, SwitchAgent})
"""Orders after which this conversation is over: there is nothing to tell the model any more."""
PARTS: frozenset[type[Order]] = LEAVES | {TransferBlind}
"""Orders that end it when they succeed."""


@dataclass(frozen=True, slots=True)
class CallTool:
    """One of them, as this agent may use it."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON schema of its arguments."""
    order: Callable[[Arguments], Order]
    """From checked arguments."""


def call_tools(settings: ToolSettings) -> list[CallTool]:
    """Those that the settings allow."""
    tools: list[CallTool] = []
    if settings.transfer:
        tools.append(_transfer(settings.transfer))
    if settings.hang_up:
        about = "End the call. Say goodbye first; the call ends when the caller has heard it."
        tools.append(CallTool("hang_up", about, _object(), lambda _: End(EndReason.AGENT_HUNG_UP)))
    if settings.digits:
        tools += [_SEND, _COLLECT]
    if settings.hold:
        tools.append(_HOLD)
    if settings.agents:
        tools.append(_switch_agent(settings.agents))
    if settings.languages:
        tools.append(_switch_language(settings.languages))
    return tools


def _transfer(targets: Mapping[str, str]) -> CallTool:
    about = "Connect the caller with somebody else. Say so first. When nobody answers, the caller comes back."
    return CallTool(
        "transfer",
        about,
        _object(to={"type": "string", "enum": list(targets)}),
        lambda given: TransferBlind(targets[given["to"]]),
    )


def _switch_agent(agents: tuple[str, ...]) -> CallTool:
    note = {"type": "string", "maxLength": 2000, "description": "What the colleague has to know."}
    return CallTool(
        "switch_agent",
        "Hand the call to a colleague who goes on with it.",
        _object(agent={"type": "string", "enum": list(agents)}, note=note),
        lambda given: SwitchAgent(given["agent"], given["note"]),
    )


def _switch_language(languages: tuple[str, ...]) -> CallTool:
    return CallTool(
        "switch_language",
        "Go on in another language; speak it from then on.",
        _object(language={"type": "string", "enum": list(languages)}),
        lambda given: SwitchLanguage(given["language"]),
    )


def _object(**properties: Mapping[str, Any]) -> Mapping[str, Any]:
    """An object with these properties, all needed, and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_SEND = CallTool(
    "send_digits",
    "Press keys, for a machine at the other end. `w` waits half a second.",
    _object(digits={"type": "string", "pattern": "^[0-9*#A-Dw]{1,64}$"}),
    lambda given: SendKeys(given["digits"]),
)
_COLLECT = CallTool(
    "collect_digits",
    "Let the caller key in a number of known length. Ask for it first; the keys are his next turn.",
    _object(most={"type": "integer", "minimum": 1, "maximum": 32}),
    lambda given: CollectKeys(given["most"]),
)
_HOLD = CallTool(
    "hold",
    "Put the caller on hold, or take him back.",
    _object(on={"type": "boolean"}),
    lambda given: Hold(given["on"]),
)
