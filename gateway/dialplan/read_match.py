"""The `match` of a route, as it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.dialplan.match import Match
from gateway.dialplan.page import Page
from gateway.dialplan.patterns import Pattern, compile_pattern, compile_text
from gateway.dialplan.times import (
    TimeWindow,
    read_calendar,
    read_dates,
    read_days,
    read_hours,
    read_zone,
)
from gateway.problems import nearest
from gateway.yaml_source import Place

KEYS = ("called", "caller", "trunk", "headers", "time", "health")
_NUMBER = 'write 1000, "+49 30 *" or /^49[0-9]+$/'
_WINDOW: dict[str, tuple[Callable[[str], object], str]] = {
    "days": (read_days, "write mon, or mon-fri"),
    "hours": (read_hours, 'write "09:00-17:30" in quotes'),
    "dates": (read_dates, 'write "12-24..12-31" in quotes'),
    "except_dates": (read_dates, 'write "12-24..12-31" in quotes'),
    "holidays": (read_calendar, "write a country like DE, or DE-BE"),
    "except_holidays": (read_calendar, "write a country like DE, or DE-BE"),
}


@dataclass(frozen=True, slots=True)
class MatchReader:
    """Reads matches with what the file says for all of them."""

    page: Page
    region: str
    zone: str
    """For windows that name none; "" when the file names none either."""
    times: Mapping[str, tuple[TimeWindow, ...]]
    """Windows by the names that the file gives them."""

    def match(self, data: object, place: Place) -> Match:
        """The match; with mistakes it is of no use, and they are told."""
        if data == "never":
            return Match(never=True)
        if not isinstance(data, dict):
            self.page.problem(place, "must be a section", "write called:, caller: or trunk: below it")
            return Match()
        self.page.unknown(data, KEYS, place)
        up, down = self._health(data.get("health", {}), (*place, "health"))
        return Match(
            self._patterns(data, "called", place),
            self._patterns(data, "caller", place),
            self._patterns(data, "trunk", place),
            self._headers(data.get("headers", {}), (*place, "headers")),
            self.windows(data["time"], (*place, "time")) if "time" in data else (),
            up,
            down,
            self.region,
        )

    def windows(self, data: object, place: Place) -> tuple[TimeWindow, ...]:
        """One window, a list of them, or the names of windows."""
        if isinstance(data, list):
            return tuple(window for i, one in enumerate(data) for window in self.windows(one, (*place, i)))
        if isinstance(data, dict):
            return self._window(data, place)
        name = self.page.text(data, place, "must be a time")
        if name and name not in self.times:
            self.page.problem(place, f'no time is called "{name}"', nearest(name, self.times))
        return self.times.get(name, ())

    def _patterns(self, data: Mapping[str, object], key: str, place: Place) -> tuple[Pattern, ...]:
        if key not in data:
            return ()
        here = (*place, key)
        return self.page.each(data[key], here, lambda text: compile_pattern(text, self.region), _NUMBER)

    def _headers(self, data: object, place: Place) -> tuple[tuple[str, tuple[Pattern, ...]], ...]:
        if not isinstance(data, dict):
            self.page.problem(place, "must be a section", "write `X-Header: value` below it")
            return ()
        cure = 'write a value, "*part*" or /a regular expression/'
        return tuple(
            (name.strip().lower(), self.page.each(value, (*place, name), compile_text, cure))
            for name, value in data.items()
        )

    def _window(self, data: Mapping[str, object], place: Place) -> tuple[TimeWindow, ...]:
        self.page.unknown(data, ("zone", *_WINDOW), place)
        zone: str | None = self.zone
        if "zone" in data:
            zone = self.page.made((*place, "zone"), read_zone, "write an IANA name like Europe/Berlin")
        elif not zone:
            cure = "write `zone: Europe/Berlin` here, or once at the top of the file"
            self.page.problem(place, "does not say by whose clock", cure)
        found = {
            key: self.page.each(data[key], (*place, key), read, cure)
            for key, (read, cure) in _WINDOW.items()
            if key in data
        }
        if not zone:
            return ()
        days = frozenset(day for some in found.pop("days", ()) for day in some)  # type: ignore[attr-defined]
        return (TimeWindow(zone, days, **found),)  # type: ignore[arg-type]

    def _health(self, data: object, place: Place) -> tuple[frozenset[str], frozenset[str]]:
        if not isinstance(data, dict):
            self.page.problem(place, "must be a section", "write `asr: ok`, or `desk: down`, below it")
            return frozenset(), frozenset()
        for name, state in data.items():
            known = ("asr", "tts", *(self.page.agents or ()))
            if self.page.agents is not None and name not in known:
                what = f'nothing whose health is known is called "{name}"'
                self.page.problem((*place, name), what, nearest(name, known))
            if state not in ("ok", "down"):
                self.page.problem((*place, name), f'"{state}" is no state', "choose ok or down")
        up = frozenset(name for name, state in data.items() if state == "ok")
        return up, frozenset(data) - up
