"""All legs' audio between PJMEDIA's clock and Python. One bus per process; see media/pjsip/README.md.

A leg is named by the number that open() gave. Every call with a closed leg raises ValueError.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FRAME_DTYPE: Final[np.dtype[np.void]]
"""leg i4, samples i4, pts i8 (index of the frame's first sample on the leg's inbound stream),
arrived_ns i8 (CLOCK_MONOTONIC of the RTP packet it came in), flags u4."""

LOST: Final = 1
"""The frame is concealment: its packet was lost or came too late."""
DTX: Final = 2
"""Nothing was sent to us: silence suppression, hold, or no packet yet."""

STARTED: Final = 0
"""The first packet with this reply's audio has left, at t_ns."""
DRAINED: Final = 1
"""The last sample of a finished reply has left; value: samples sent."""
MARK: Final = 2
"""Everything written before mark() has left; value: the mark."""
CLEARED: Final = 3
"""A mark that will not be reached, because of clear(); value: the mark."""
UNDERRUN: Final = 4
"""The queue ran dry within an unfinished reply; value: its samples sent so far. Once per gap."""
ATTACHED: Final = 5
"""The call has a media stream; value: the leg's sample rate from now on."""
DETACHED: Final = 6
"""The stream is gone (hold, re-INVITE, end). Playout stands still until the next ATTACHED."""

BEAT_MS: Final[int]
"""The media clock's step; `MediaConfig.audioFramePtime` must be this."""
TICK_BOUNDS_US: Final[tuple[int, ...]]
"""Upper bounds of tick_histogram()'s classes; a last class takes the rest."""

class FrameBus:
    def __init__(
        self, max_legs: int = 4096, rx_seconds: float = 2.0, playout_seconds: float = 600.0
    ) -> None: ...
    def fileno(self) -> int:
        """An eventfd, readable when poll() or events() has something; signalled at most once per tick."""
    def install(self) -> None:
        """Hooks pjsua and starts the media clock. After libInit() and in its thread, before any call."""
    def wakeup(self) -> None:
        """Makes a thread that is blocked in Endpoint.libHandleEvents() return at once. From any thread."""
    def open(self) -> int: ...
    def bind(self, leg: int, call_id: int) -> None:
        """Streams of this call belong to the leg from now on. Before answering, or right after makeCall."""
    def close(self, leg: int) -> None: ...
    def sample_rate(self, leg: int) -> int:
        """8000 or 16000; 0 while no stream was attached yet."""
    def poll(self, pcm: NDArray[np.int16], meta: NDArray[np.void]) -> int:
        """Fills rows with waiting 20 ms frames of all legs, oldest first per leg; returns how many.

        `pcm` has the shape (rows, 320); a frame at 8 kHz uses the first 160 columns. Resets the eventfd;
        when the rows did not suffice, it is readable again.
        """
    def write(self, leg: int, pcm: NDArray[np.int16] | bytes | bytearray | memoryview, reply: int) -> int:
        """Appends reply audio at the leg's rate; returns the samples accepted.

        A higher reply number ends the reply before it. A reply that was cleared, finished or overtaken is
        stale: nothing is accepted, and it is counted.
        """
    def mark(self, leg: int, mark: int) -> None: ...
    def finish(self, leg: int) -> bool:
        """No more audio in the current reply; True if there is one, whose DRAINED will follow."""
    def clear(self, leg: int, through: int | None = None) -> tuple[int, int]:
        """Empties the queue at once and bars its newest reply (and all up to `through`) for good.

        Returns the reply that was sounding and how many of its samples were really sent.
        """
    def position(self, leg: int) -> tuple[int, int]:
        """The reply that sounds now, or sounded last, and how many of its samples were sent."""
    def duck(self, leg: int, gain: float, ramp_ms: int) -> None:
        """Playout volume 0..1, reached in `ramp_ms` of audio."""
    def patch(self, leg: int, other: int) -> None:
        """Each hears the other from now on, without Python in between, until unpatch() or either close().

        Within a tick or the next, resampled where their rates differ. What a playout holds is heard instead.
        A leg that was patched to somebody else leaves him.
        """
    def unpatch(self, leg: int) -> None:
        """Undoes patch() for both; nothing without it."""
    def events(self) -> list[tuple[int, int, int, int, int]]:
        """(leg, kind, reply, value, t_ns) since the last call, in order of occurrence per leg."""
    def stats(self, leg: int) -> dict[str, int]: ...
    def totals(self) -> dict[str, int]:
        """stats() summed over all legs ever, and: open, ticks, tick_overruns, events_dropped."""
    def tick_histogram(self) -> NDArray[np.uint64]:
        """Two rows of counts by TICK_BOUNDS_US: how late ticks began, how long they took."""
    def simulate_tick(
        self, leg: int, pcm: Any, rate: int = 8000, arrived_ns: int = 0, flags: int = 0
    ) -> NDArray[np.int16]:
        """For tests without PJSIP: 20 ms of one leg's clock; `pcm` was heard, what is returned was sent."""

class SipGuard:
    """The gate in front of PJSIP: sees every request before a transaction or a call is made of it."""

    def __init__(
        self, networks: list[str], scanners: list[str], drop_strangers: bool, retry_after: int
    ) -> None:
        """Known peers as CIDR, parts of User-Agent values that are always dropped (lower case), what a
        stranger gets (nothing, or 403), and the seconds in the 503 over the limit.
        """
    def install(self) -> None:
        """After Endpoint.libInit(), on the SIP thread. Raises RuntimeError."""
    def set_load(self, active: int, limit: int) -> None:
        """INVITE and OPTIONS get 503 while active >= limit; OPTIONS tells both. From any thread."""
    def set_draining(self) -> None:
        """OPTIONS gets 503 from now on, as every new call will. From any thread."""
    def counts(self) -> dict[str, int]:
        """Requests by fate: passed, scanner, stranger_dropped, stranger_refused, register, method,
        call_limit, options, body, srtp_unavailable, merged. From any thread."""

REFER_ASKED: Final = 0
"""A REFER came: its ticket wants an answer()."""
REFER_NOTIFIED: Final = 1
"""A NOTIFY about a REFER of ours came, and got its 200."""
REFER_ANSWERED: Final = 2
"""A request that send() sent got its final answer, or 408 for none."""

class ReferGate:
    """REFER and the NOTIFYs about it, kept away from PJSIP: it would dial what it is told to, and end a call
    whose REFER nobody answers. On the SIP thread only."""

    def __init__(self) -> None: ...
    def install(self) -> None:
        """After SipGuard.install(). Raises RuntimeError."""
    def news(self) -> list[tuple[int, int, int, int, str]]:
        """(kind, pjsua's call id, ticket, code, message) since the last call."""
    def answer(self, ticket: int, code: int) -> bool:
        """The final answer to a REFER; False when there is nothing to answer any more."""
    def send(
        self, call: int, method: str, headers: list[tuple[str, str]], content_type: str = "", body: str = ""
    ) -> int:
        """Sends a request within the call's dialog; returns its ticket.

        Whatever is answered, the call goes on. A challenge is met with the account's password. Raises
        RuntimeError.
        """
    @staticmethod
    def dialog(call: int) -> tuple[str, str, str, str]:
        """Call-ID, our tag, the far end's tag and its Contact's URI. Raises RuntimeError without a dialog."""
