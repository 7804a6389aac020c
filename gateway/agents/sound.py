"""Agents that hear and speak by themselves: no recogniser, voice or turn-taker of ours in their path.

`gateway/calls/sound_stage.py` stands between such an agent and the leg. It forwards what the caller says and
keys, plays what the agent sends, and watches over the call; whatever else the agent wants of the call it asks
`SoundCall` for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gateway.agents.base import CallInfo
from gateway.calls.orders import Order
from gateway.calls.sound_out import Heard
from media.frame import AudioFrame, Pcm
from media.segmenter import SegmentEvent


@dataclass(frozen=True, slots=True)
class SoundLimits:
    """How patient the call is with an agent that hears and speaks by itself. Seconds."""

    dead_air: float
    """The backend says nothing for so long after the caller spoke; 0 for never."""
    silence: float
    """Neither makes a sound for so long."""
    queue: float
    """The backend's sound that may wait to be heard."""


class SoundCall(Protocol):
    """The call, as its agent may use it. All but `order` return at once."""

    @property
    def sample_rate(self) -> int:
        """Of the samples that `play` takes; may change when the far end takes another codec."""

    @property
    def codec(self) -> str:
        """The leg's codec by its name in SDP, such as `PCMU`."""

    @property
    def turn(self) -> int:
        """The caller's newest turn, counted from 1; 0 before his first word."""

    def play(self, pcm: Pcm, tag: str = "") -> None:
        """Let the far end hear this after all that was given before. `tag` names what it belongs to."""

    def mark(self, name: str) -> None:
        """Have `SoundAgent.played` called with this name once everything so far was heard, or cleared."""

    def clear(self) -> None:
        """Fall silent at once."""

    def heard(self, tag: str) -> Heard:
        """How much of this tag's sound was really sent."""

    def said(self, turn: int, text: str) -> None:
        """The caller's words in this turn, or more of them."""

    def spoke(self, tag: str, text: str) -> None:
        """The words of this tag's sound, or more of them."""

    def fault(self, kind: str, action: str) -> None:
        """The backend failed, and what was done about it; words as in `call_events.AgentFault`."""

    def busy(self, on: bool) -> None:
        """The backend works on something that takes its own time, and has its own limit: no dead air."""

    def count(self, what: str, number: int = 1) -> None:
        """Something did not go straight; kept in the call's record under this name."""

    async def order(self, order: Order) -> None:
        """Have something done by the call. Raises `OrderRefused`."""


@runtime_checkable
class SoundAgent(Protocol):
    """One call's conversation with a backend that hears and speaks. Called on the loop; nothing may block."""

    @property
    def name(self) -> str:
        """As the configuration has it."""

    @property
    def limits(self) -> SoundLimits:
        """The same all the time."""

    async def open(self, info: CallInfo) -> None:
        """Reach the backend, before the call is answered. Raises `AgentError`."""

    async def converse(self, call: SoundCall) -> None:
        """Serve the call until the backend has enough of it; cancelled when the call ends.

        Raises `AgentError` when the backend is lost for good.
        """

    def hear(self, frame: AudioFrame) -> None:
        """20 ms of the far end, also while nobody speaks."""

    def voice(self, event: SegmentEvent) -> None:
        """Our own detector's word on who speaks."""

    def key(self, digit: str) -> None:
        """The far end pressed a key."""

    def played(self, name: str) -> None:
        """A mark was reached, or cleared."""

    async def aclose(self) -> None:
        """Say goodbye to the backend. Also after `open` failed."""
