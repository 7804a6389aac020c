"""What a call must be able to do for a TwiML document, and what comes of it.

The interpreter (`run.py`, `perform.py`) knows a call by this alone. Every method raises `CallerGone` when the
far end has gone, except those that say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from gateway.twiml.form import CallStatus, Fields
from gateway.twiml.verbs import (
    ConversationRelay,
    Dial,
    Gather,
    Number,
    Record,
    Say,
    Sip,
    StartStream,
    Stream,
)


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a caller gave; nothing at all when both are empty."""

    digits: str = ""
    """Without the key that ended them."""
    finished_on: str = ""
    """The key that ended them; "" when something else did."""
    speech: str = ""
    confidence: float = 0.0
    """0 to 1."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording that was kept."""

    sid: str
    url: str
    """Where it can be fetched, with the account's name and token; "" when this node offers none."""
    seconds: float
    started: str
    """RFC 2822."""
    channels: int = 1
    ended_by: str = ""
    """The key that ended it, `hangup`, or ""."""


@dataclass(frozen=True, slots=True)
class Dialled:
    """How a `<Dial>` came out."""

    status: CallStatus
    """`completed` when the two talked, else `busy`, `no-answer`, `failed` or `canceled`."""
    call_sid: str = ""
    """Of the call that was answered, or tried last."""
    seconds: float = 0.0
    """For which the two talked."""
    recording: Recording | None = None

    @property
    def bridged(self) -> bool:
        return self.status is CallStatus.COMPLETED


@dataclass(frozen=True, slots=True)
class DialProgress:
    """A dialled call moved on."""

    target: Number | Sip
    call_sid: str
    event: str
    """`initiated`, `ringing`, `answered` or `completed`."""
    status: CallStatus
    seconds: float = 0.0
    sip_code: int = 0


PartialSpeech: TypeAlias = Callable[[str, str], None]
"""Told what is heard so far: the words that stay, and those that may still change."""


class VerbHost(Protocol):
    """A call, as a TwiML document uses it."""

    @property
    def answered(self) -> bool:
        """Whether the call was taken."""

    @property
    def status(self) -> CallStatus:
        """Where the call stands, as apps are told."""

    @property
    def gone(self) -> bool:
        """Whether the far end has hung up."""

    async def answer(self) -> None:
        """Take the call. Idempotent."""

    async def ring(self, seconds: float) -> None:
        """Let a call that is not taken yet ring for so long."""

    def hush(self) -> None:
        """Whatever is being said is not wanted any more: fall silent at once."""

    async def pause(self, seconds: float) -> None: ...

    async def say(self, say: Say) -> bool:
        """Speak a text once, to its end. False when it was cleared by order: no further round is wanted."""

    async def play(self, url: str) -> bool:
        """Play a sound from the web once, as `say` does. Raises `AppFailed` when it cannot be had."""

    async def press(self, digits: str) -> None:
        """Send keys to the far end; `w` waits half a second."""

    async def filler(self) -> None:
        """Say that it takes a moment."""

    async def gather(self, gather: Gather, partial: PartialSpeech) -> Gathered:
        """Play the prompts once, each as often as its `loop` says, and take keys and speech."""

    async def record(self, record: Record) -> Recording | None:
        """Record the far end; None when nothing was said. Returns, too, when the far end hangs up."""

    async def transcribe(self, recording: Recording) -> str:
        """The words of a recording. Raises `EngineError`; never `CallerGone`."""

    async def dial(self, dial: Dial, told: Callable[[DialProgress], None]) -> Dialled:
        """Call the targets, connect the first who answers, until one of the two hangs up.

        Returns, too, when it was the caller (`gone`).
        """

    async def refer(self, uri: str) -> int:
        """Send the far end elsewhere; the SIP code it reported in the end."""

    async def connect(self, noun: Stream | ConversationRelay) -> Fields:
        """Let an app have the call until it lets go; what its `action` is told. Returns also when `gone`."""

    async def start_stream(self, start: StartStream) -> None:
        """Let an app listen from now on; returns at once."""

    async def stop_stream(self, name: str) -> None: ...

    async def reject(self, sip_code: int) -> None:
        """Do not take the call."""
