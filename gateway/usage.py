"""What is reported of the work done, taken from what happens anyway: kinds, seconds, letters, codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.api.core.watch import ApiWatch
from gateway.calls.record import CallRecord
from gateway.errors import VERDICTS
from gateway.observers import SilentObserver
from license.client import LicenceView, new_event_id
from license.usage import Feature, Kind, UsageEvent

_MINUTE = 60.0
_BROKEN = 500
_CODES = {"ok": 200, "gone": 499, **{kind.__name__: told.http_status for kind, told in VERDICTS.items()}}
"""HTTP status by outcome: of an error, as its verdict says."""
_FEATURES = frozenset(Feature)
_LIVE = frozenset({Kind.LISTEN_LIVE, Kind.SPEAK_LIVE})


class CallUsage(SilentObserver):
    """Reports calls: that there was one, and how long."""

    def __init__(self, licence: LicenceView, wall: Callable[[], float]) -> None:
        """`wall`: seconds since 1970."""
        self._licence = licence
        self._wall = wall

    def ended(self, record: CallRecord) -> None:
        """See `SessionObserver.ended`."""
        self._licence.used(
            UsageEvent(
                event_id=new_event_id(),
                kind=Kind.CALL,
                minute=int(self._wall() // _MINUTE),
                seconds=round(max(0.0, record.duration), 1),
                features=(Feature.STREAMING,),
            )
        )


def _features(kind: Kind, used: Sequence[str]) -> tuple[Feature, ...]:
    """Those that the form has a word for."""
    live = {Feature.STREAMING} if kind in _LIVE else set()
    known = {Feature(name) for name in used if name in _FEATURES}
    return tuple(sorted(live | known))


class ReportedWatch:
    """An `ApiWatch` that reports requests too."""

    def __init__(self, inner: ApiWatch, licence: LicenceView, wall: Callable[[], float]) -> None:
        self._inner = inner
        self._licence = licence
        self._wall = wall
        self._heard = 0.0
        self._said = 0.0
        self._letters = 0

    def began(self, api: str, kind: str) -> None:
        """See `ApiWatch.began`."""
        self._inner.began(api, kind)

    def ended(self, api: str, kind: str, outcome: str, seconds: float, features: Sequence[str] = ()) -> None:
        """See `ApiWatch.ended`. Sound and letters since the last report go with it: sums are what counts."""
        self._inner.ended(api, kind, outcome, seconds, features)
        used = Kind(kind)
        speaks = used in (Kind.SPEAK, Kind.SPEAK_LIVE)
        sound, letters = (self._said, self._letters) if speaks else (self._heard, 0)
        if speaks:
            self._said, self._letters = 0.0, 0
        else:
            self._heard = 0.0
        self._licence.used(
            UsageEvent(
                event_id=new_event_id(),
                kind=used,
                minute=int(self._wall() // _MINUTE),
                seconds=round(sound, 1),
                characters=letters,
                code=_CODES.get(outcome, _BROKEN),
                features=_features(used, features),
            )
        )

    def heard(self, api: str, seconds: float) -> None:
        """See `ApiWatch.heard`."""
        self._heard += seconds
        self._inner.heard(api, seconds)

    def said(self, api: str, seconds: float, characters: int) -> None:
        """See `ApiWatch.said`."""
        self._said += seconds
        self._letters += characters
        self._inner.said(api, seconds, characters)

    def turned_away(self, reason: str) -> None:
        """See `ApiWatch.turned_away`."""
        self._inner.turned_away(reason)
