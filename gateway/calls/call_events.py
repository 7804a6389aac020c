"""What happens to a call beside its conversation: for its record, the stream of events, and webhooks.

Told through `SessionObserver.happened`. None of these carries what was said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Ringing:
    """The far end of a call of ours rings, or our caller was told so."""

    at: float
    """Loop seconds, as in every event here."""


@dataclass(frozen=True, slots=True)
class RouteTaken:
    """The dialplan sent the call down this route."""

    at: float
    route: str


@dataclass(frozen=True, slots=True)
class StageBegan:
    """Something new has the call: an announcement, a gather, an agent, a bridge, a recording."""

    at: float
    stage: str
    detail: str = ""
    """The agent's name, say."""


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """The far end pressed a key. Shown to whoever may hear the call; never logged above debug."""

    at: float
    digit: str


@dataclass(frozen=True, slots=True)
class HoldChanged:
    at: float
    on: bool
    by_us: bool


@dataclass(frozen=True, slots=True)
class TransferChanged:
    """A transfer moved on. `state` is one of started, trying, ringing, answered, done, failed, timed_out."""

    at: float
    kind: str
    """blind, attended, bridge; `asked` for one that a far end asked us for (inbound REFER)."""
    target: str
    state: str
    sip_code: int = 0
    by: str = ""
    """The number of the far end that asked; "" where nobody did."""


@dataclass(frozen=True, slots=True)
class BridgeChanged:
    """The call was connected with another one, or that came to an end."""

    at: float
    other: str
    on: bool


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recording was finished."""

    at: float
    recording: str
    seconds: float


@dataclass(frozen=True, slots=True)
class MachineJudged:
    """Who answered a call of ours: `human`, `machine`, `fax` or `unknown`."""

    at: float
    verdict: str
    beep: bool = False


@dataclass(frozen=True, slots=True)
class AgentFault:
    """An agent's backend failed or was slow. `kind`: refused, slow, cut, garbage, endless, tool, broken."""

    at: float
    agent: str
    kind: str
    action: str
    """What we did: filler, fallback, retried, reconnected, ended; `told`: the model was told and goes on."""


CallEvent: TypeAlias = (
    Ringing
    | RouteTaken
    | StageBegan
    | KeyPressed
    | HoldChanged
    | TransferChanged
    | BridgeChanged
    | Recorded
    | MachineJudged
    | AgentFault
)


def event_name(event: CallEvent) -> str:
    """Its name on the wire: `TransferChanged` is told as `transfer_changed`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(event).__name__).lower()
