"""Which tools an agent's model is given. None, until the operator says so."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import jsonschema_rs

from gateway.secret import Secret

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
CALL_TOOLS = frozenset(
    {"transfer", "hang_up", "send_digits", "collect_digits", "hold", "switch_agent", "switch_language"}
)
"""Names of the tools that act on the call."""


@dataclass(frozen=True, slots=True)
class HttpTool:
    """A service of the operator's that the model may ask."""

    name: str = ""
    """What the model calls it: letters, digits, `_` and `-`, up to 64."""
    description: str = ""
    """What it is for and when to use it, in words for the model."""
    url: str = ""
    """`{name}` stands for that argument; others go into the query of a GET, else into a JSON body."""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    """GET counts as safe: it may be asked while it is not certain yet that the caller has finished."""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    """JSON schema (2020-12) of its arguments, an object; what the model gives is checked against it."""
    bearer: Secret = Secret()
    """Sent as a bearer token; empty for none."""
    seconds: float = 8.0
    """Longest wait for its answer, 0.1 to 60; the model is then told that it failed."""
    most_bytes: int = 16_384
    """Of its answer that the model is shown, 256 to 1,000,000; the rest is cut off, and said to be."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError("name: letters, digits, `_` and `-`, 1 to 64, beginning with a letter")
        if self.name in CALL_TOOLS:
            raise ValueError(f"name: {self.name} is a tool of the call; choose another one")
        if not self.url.startswith(("http://", "https://")):
            raise ValueError("url: must start with http:// or https://")
        if not 0.1 <= self.seconds <= 60:
            raise ValueError("seconds: must lie between 0.1 and 60")
        if not 256 <= self.most_bytes <= 1_000_000:
            raise ValueError("most_bytes: must lie between 256 and 1000000")
        if self.parameters.get("type") != "object":
            raise ValueError("parameters: must be a JSON schema of `type: object`")
        try:
            jsonschema_rs.validator_for(json.dumps(dict(self.parameters)))
        except (ValueError, jsonschema_rs.ValidationError) as error:
            raise ValueError(f"parameters: no JSON schema: {str(error).splitlines()[0]}") from None


@dataclass(frozen=True, slots=True)
class ToolSettings:
    """What the model may do beside talking."""

    transfer: Mapping[str, str] = field(default_factory=dict)
    """Whom it may transfer the caller to: a name it understands → a number or SIP URI. Empty: nobody."""
    hang_up: bool = False
    """It may end the call."""
    digits: bool = False
    """It may press keys towards the far end, and ask for a number of a given length by keys."""
    hold: bool = False
    """It may put the far end on hold and take it back."""
    agents: tuple[str, ...] = ()
    """Agents that it may hand the call to."""
    languages: tuple[str, ...] = ()
    """Languages (BCP 47) that it may go on in."""
    http: tuple[HttpTool, ...] = ()
    """The operator's own."""
    rounds: int = 5
    """How often in one reply it may use tools and look at what came of it, 1 to 20."""
    most_parallel: int = 8
    """Tools at once in one round, 1 to 32; those beyond are refused in words."""
    filler_seconds: float = 1.0
    """Silence after which a filler is said while tools work, 0.2 to 10, and again each `filler_again`."""
    filler_again: float = 6.0
    """Seconds from one filler to the next, 2 to 60."""
    fillers: tuple[str, ...] = ("One moment, please.", "I am still looking.")
    """What is said meanwhile, in turn; empty: nothing."""

    def __post_init__(self) -> None:
        names = [tool.name for tool in self.http]
        if len(set(names)) < len(names):
            raise ValueError("http: every tool needs a name of its own")
        if not 1 <= self.rounds <= 20:
            raise ValueError("rounds: must lie between 1 and 20")
        if not 1 <= self.most_parallel <= 32:
            raise ValueError("most_parallel: must lie between 1 and 32")
        if not 0.2 <= self.filler_seconds <= 10:
            raise ValueError("filler_seconds: must lie between 0.2 and 10")
        if not 2 <= self.filler_again <= 60:
            raise ValueError("filler_again: must lie between 2 and 60")
