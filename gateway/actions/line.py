"""What a route's actions work with: the call, somebody to speak, ears, and where things are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import structlog

from engines.base import Asr, AsrOptions, Residency, Switch
from gateway.actions.referred import Ear, Transfers, send_off
from gateway.announcer import Announcer
from gateway.calls.call import Call
from gateway.calls.recognition import Recognition
from gateway.calls.settings import SessionSettings
from gateway.dialplan import variables
from media.legs.base import EndReason, Leg, TransferAsked
from media.segmenter import SpeechSegmenter

log = structlog.get_logger(__name__)


class StepFailed(Exception):
    """An action could not do what it is for; its fallback comes next.

    `detail` holds nothing of what was said or keyed. `failure` is one word for the variable of that name,
    `reason` how the call ends where nothing else follows.
    """

    def __init__(self, detail: str, failure: str = "failed", reason: EndReason = EndReason.DEAD_AIR) -> None:
        super().__init__(detail)
        self.detail = detail
        self.failure = failure
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Ears:
    """The recogniser, as one call may use it."""

    asr: Asr
    settings: SessionSettings
    data: Residency
    on_switch: Callable[[Switch], None]

    def segmenter(self, sample_rate: int, hangover_ms: int = 0) -> SpeechSegmenter:
        """Cuts speech as conversations do; `hangover_ms`: the quiet that ends a segment, 0 as configured."""
        settings = self.settings.segmenter
        chosen = replace(settings, hangover_ms=hangover_ms) if hangover_ms else settings
        return SpeechSegmenter(chosen, sample_rate)

    def recognition(self, sample_rate: int, hints: tuple[str, ...] = ()) -> Recognition:
        """A recogniser's stream that is kept alive; `hints` are likely words beside the configured ones."""
        hot = tuple(dict.fromkeys((*hints, *self.settings.hot_words)))
        options = AsrOptions(
            self.settings.language, sample_rate, hot_words=hot, data=self.data, on_switch=self.on_switch
        )
        return Recognition(self.asr, options, self.settings.recognition, log)


class Connected(Protocol):
    """What connects the call with somebody, and knows what to do when the far end wants it otherwise."""

    def asked(self, leg: Leg, asked: TransferAsked) -> None:
        """The far end of this leg asks us to call somebody in its place. Returns at once."""


@dataclass(slots=True)
class Line:
    """One call in the hands of its route."""

    call: Call
    announcer: Announcer
    ears: Ears
    folder: Path
    """Where records lie."""
    wall: Callable[[], datetime]
    """The time, with its zone."""
    values: dict[str, str] = field(default_factory=dict)
    """The call's variables."""
    transfers: Transfers = field(default_factory=Transfers)
    """Rules and routes for transfers that far ends ask for."""
    connection: Connected | None = None
    """While the call is connected with somebody else."""
    _leaving: set[asyncio.Task[None]] = field(default_factory=set)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done beside the route; it is broken off when the call ends."""
        task = asyncio.get_running_loop().create_task(work, name="beside-the-route")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def part_with(self, leg: Leg, *, gone: bool, over: asyncio.Event | None = None) -> None:
        """A far end whose transfer is done hangs up by itself, or else we do; it may have `gone` already.

        `over`: set when the leg is, where somebody else hears it.
        """
        if not gone:
            self.spawn(send_off(leg, over or Ear(leg).gone))

    async def aclose(self) -> None:
        """Nothing is left beside the route."""
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)

    def set(self, name: str, value: str) -> None:
        """Give a variable its value; one too many is dropped, and logged."""
        if name not in self.values and len(self.values) >= variables.MOST_VARIABLES:
            log.warning("a variable too many", variable=name)
            return
        self.values[name] = value[: variables.LONGEST_VALUE]

    def spoken(self, text: str) -> str:
        """A text with its variables, as it is spoken."""
        return variables.fill(text, self.values, variables.plain)


def first_values(call: Call, route: str) -> dict[str, str]:
    """The variables that a call begins with."""
    parties = call.leg.parties
    values = {
        "caller": parties.caller,
        "called": parties.called,
        "trunk": parties.trunk,
        "call_id": call.call_id,
        "route": route,
    }
    return values | {variables.HEADER + name: value for name, value in reversed(parties.headers)}
