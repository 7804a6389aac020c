"""Times at which a route holds: hours, weekdays, dates and public holidays, by the clock of a place.

Nothing here reads a clock: the moment comes in, with its zone.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})")
_FULL = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_YEARLY = re.compile(r"(\d{2})-(\d{2})")
_MIDNIGHT = 24 * 60


@dataclass(frozen=True, slots=True)
class Hours:
    """A stretch of the day in minutes after midnight; one that ends before it begins ends on the next day."""

    start: int
    end: int

    def holds(self, minute: int, *, yesterday: bool) -> bool:
        """Whether a minute of the day belongs to the stretch that began today, or yesterday."""
        over = self.end <= self.start
        if yesterday:
            return over and minute < self.end
        return minute >= self.start and (over or minute < self.end)


@dataclass(frozen=True, slots=True)
class Dates:
    """From one day to another, both included; without a year every year."""

    first: tuple[int, int, int]
    """Year (0: every year), month, day."""
    last: tuple[int, int, int]

    def holds(self, day: date) -> bool:
        if self.first[0]:
            return self.first <= (day.year, day.month, day.day) <= self.last
        here, first, last = (day.month, day.day), self.first[1:], self.last[1:]
        return first <= here <= last if first <= last else here >= first or here <= last


@dataclass(frozen=True, slots=True)
class Calendar:
    """Public holidays of a country, or of one of its subdivisions."""

    country: str
    """ISO 3166 alpha-2."""
    subdivision: str = ""
    """As the country writes it, mostly ISO 3166-2 without the country."""

    def holds(self, day: date) -> bool:
        return day in _holidays(self.country, self.subdivision, day.year)


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """When a route holds. What is left out does not narrow it; all that is given must fit.

    A stretch over midnight belongs whole to the day on which it began: its weekday, date and holiday count.
    """

    zone: str
    """IANA name, such as Europe/Berlin."""
    days: frozenset[int] = frozenset()
    """0 is Monday."""
    hours: tuple[Hours, ...] = ()
    dates: tuple[Dates, ...] = ()
    except_dates: tuple[Dates, ...] = ()
    holidays: tuple[Calendar, ...] = ()
    """Holds on these public holidays only."""
    except_holidays: tuple[Calendar, ...] = ()
    """Does not hold on these public holidays."""

    def holds(self, at: datetime) -> bool:
        """Whether it holds at this moment; `at` must know its zone."""
        local = at.astimezone(ZoneInfo(self.zone))
        minute = local.hour * 60 + local.minute
        if not self.hours:
            return self._day(local.date())
        today, yesterday = local.date(), local.date() - timedelta(days=1)
        began_today = any(hours.holds(minute, yesterday=False) for hours in self.hours)
        began_yesterday = any(hours.holds(minute, yesterday=True) for hours in self.hours)
        return (began_today and self._day(today)) or (began_yesterday and self._day(yesterday))

    def _day(self, day: date) -> bool:
        if self.days and day.weekday() not in self.days:
            return False
        if self.dates and not any(dates.holds(day) for dates in self.dates):
            return False
        if any(dates.holds(day) for dates in self.except_dates):
            return False
        if self.holidays and not any(calendar.holds(day) for calendar in self.holidays):
            return False
        return not any(calendar.holds(day) for calendar in self.except_holidays)


@functools.lru_cache(maxsize=256)
def _holidays(country: str, subdivision: str, year: int) -> frozenset[date]:
    import holidays  # brings every country with it: only where a plan asks for one

    found = holidays.country_holidays(country, subdiv=subdivision or None, years=year)
    return frozenset(day for day in found if day.year == year)


# -- as they are written ---------------------------------------------------------------------------------


def read_zone(text: str) -> str:
    """An IANA zone's name. Raises `ValueError` for one that does not exist here."""
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError, TypeError):
        raise ValueError(f'no time zone is called "{text}"; write an IANA name like Europe/Berlin') from None
    return text


def read_days(text: str) -> frozenset[int]:
    """`mon`, or `mon-fri`; `sat-mon` goes over the week's end. Raises `ValueError`."""
    first, _, last = (part.strip().lower()[:3] for part in text.partition("-"))
    if first not in DAYS or (last and last not in DAYS):
        raise ValueError(f'"{text}" is no weekday; write mon, or mon-fri')
    start = DAYS.index(first)
    count = (DAYS.index(last) - start) % 7 + 1 if last else 1
    return frozenset((start + n) % 7 for n in range(count))


def read_hours(text: str) -> Hours:
    """`09:00-17:30`; `22:00-06:00` goes over midnight; `24:00` is the day's end. Raises `ValueError`."""
    found = _HOURS.fullmatch(text.strip())
    if found:
        start, end = (int(found[i]) * 60 + int(found[i + 1]) for i in (1, 3))
        minutes = int(found[2]) < 60 and int(found[4]) < 60
        if minutes and start < _MIDNIGHT and end <= _MIDNIGHT and start != end:
            return Hours(start, end)
    raise ValueError(f'"{text}" is no stretch of the day; write "09:00-17:30" in quotes')


def read_dates(text: str) -> Dates:
    """`2026-12-24`, `12-24` (every year), or two of a kind with `..` between. Raises `ValueError`."""
    first, dots, last = (part.strip() for part in text.partition(".."))
    start = _day(first)
    end = _day(last) if dots else start
    if start and end and bool(start[0]) == bool(end[0]) and (not start[0] or start <= end):
        return Dates(start, end)
    raise ValueError(f'"{text}" is no date; write "2026-12-24", "12-24" or "12-24..12-31" in quotes')


def read_calendar(text: str) -> Calendar:
    """`DE`, or `DE-BE`. Raises `ValueError` for a country or subdivision whose holidays are not known."""
    import holidays

    country, _, subdivision = text.strip().partition("-")
    known = holidays.list_supported_countries(include_aliases=False)
    if country not in known:
        raise ValueError(f'no holidays are known of "{country}"; write a country like DE, or DE-BE')
    if subdivision and subdivision not in known[country]:
        choices = ", ".join(known[country]) or "none"
        raise ValueError(f'{country} has no part called "{subdivision}"; known: {choices}')
    calendar = Calendar(country, subdivision)
    calendar.holds(date(2000, 1, 1))  # the country's rules are loaded now, not when a call waits
    return calendar


def _day(text: str) -> tuple[int, int, int] | None:
    if found := _FULL.fullmatch(text):
        year, month, day = (int(part) for part in found.groups())
    elif found := _YEARLY.fullmatch(text):
        year, month, day = 0, int(found[1]), int(found[2])
    else:
        return None
    try:
        datetime.combine(date(year or 2000, month, day), time())
    except ValueError:
        return None
    return year, month, day
