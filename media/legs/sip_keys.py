"""The keys of one SIP leg, however they come."""

from __future__ import annotations

from collections.abc import Callable

from media.dtmf import DtmfDetector, is_digit
from media.dtmf_merge import KeyKind, KeyMerger
from media.frame import AudioFrame
from media.legs.base import DtmfReceived
from media.legs.sip_facts import Digit


class SipKeys:
    """Tells each press once, in the order in which they began."""

    def __init__(self, tell: Callable[[DtmfReceived], None], *, inband: bool) -> None:
        """`inband`: listen for tones too."""
        self._tell = tell
        self._inband = inband
        self._merger = KeyMerger()
        self._detector: DtmfDetector | None = None
        self._rate = 0

    @property
    def repeated(self) -> int:
        """Presses that came by several kinds at once, beyond the first."""
        return self._merger.repeated

    def fact(self, fact: Digit) -> None:
        """RTP events and INFO."""
        self._press(fact.kind, fact.digit.upper(), fact.at, fact.stamp, fact.seconds)

    def hear(self, frame: AudioFrame) -> None:
        """Tones, where the trunk has them."""
        if not self._inband:
            return
        if self._detector is None or frame.sample_rate != self._rate:
            self._rate = frame.sample_rate
            self._detector = DtmfDetector(frame.sample_rate)
        for digit in self._detector.push(frame.pcm):
            self._press(KeyKind.INBAND, digit, frame.arrived)

    def _press(self, kind: KeyKind, digit: str, at: float, stamp: int = 0, seconds: float = 0.0) -> None:
        if is_digit(digit) and self._merger.press(kind, digit, at, stamp=stamp, seconds=seconds):
            self._tell(DtmfReceived(digit, at, inband=kind is KeyKind.INBAND))
