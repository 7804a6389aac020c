"""Time windows: hours over midnight, weekdays, dates, holidays, zones, and what summer time does to them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialplan.times import (
    Calendar,
    Hours,
    TimeWindow,
    read_calendar,
    read_dates,
    read_days,
    read_hours,
    read_zone,
)

BERLIN = "Europe/Berlin"


def local(text: str, zone: str = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def test_hours_hold_by_the_clock_of_the_place() -> None:
    office = TimeWindow(BERLIN, hours=(read_hours("09:00-17:30"),))
    assert office.holds(local("2026-07-01 09:00")) and office.holds(local("2026-07-01 17:29"))
    assert not office.holds(local("2026-07-01 08:59")) and not office.holds(local("2026-07-01 17:30"))
    # 07:30 UTC is 09:30 in summer and 08:30 in winter.
    assert office.holds(datetime(2026, 7, 1, 7, 30, tzinfo=UTC))
    assert not office.holds(datetime(2026, 12, 1, 7, 30, tzinfo=UTC))


def test_a_stretch_over_midnight_belongs_to_the_day_on_which_it_began() -> None:
    night = TimeWindow(BERLIN, read_days("fri"), (read_hours("22:00-06:00"),))
    assert night.holds(local("2026-11-27 23:00")), "friday evening"
    assert night.holds(local("2026-11-28 05:59")), "and on into saturday"
    assert not night.holds(local("2026-11-27 05:00")), "friday morning is thursday's night"
    assert not night.holds(local("2026-11-28 22:00")) and not night.holds(local("2026-11-28 06:00"))


def test_new_years_eve_ends_in_the_next_year() -> None:
    party = TimeWindow(BERLIN, hours=(read_hours("20:00-04:00"),), dates=(read_dates("12-31"),))
    assert party.holds(local("2026-12-31 20:00")) and party.holds(local("2027-01-01 03:59"))
    assert not party.holds(local("2026-12-31 03:00")) and not party.holds(local("2027-01-01 20:00"))


def test_the_hour_that_comes_twice_and_the_one_that_never_comes() -> None:
    two = TimeWindow(BERLIN, hours=(read_hours("02:00-03:00"),))
    autumn = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)
    held = [two.holds(autumn + timedelta(minutes=30 * n)) for n in range(4)]
    assert held == [True, True, True, True], "02:00 to 03:00 in summer time, and again in winter time"
    spring = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)
    assert not any(two.holds(spring + timedelta(minutes=10 * n)) for n in range(18))


@pytest.mark.parametrize(
    ("written", "yes", "no"),
    [
        ("2026-12-24", ["2026-12-24"], ["2025-12-24", "2026-12-25"]),
        ("12-24", ["2026-12-24", "2030-12-24"], ["2026-12-23"]),
        ("12-24..01-02", ["2026-12-31", "2027-01-02", "2026-12-24"], ["2027-01-03", "2026-12-23"]),
        ("2026-07-01..2026-08-15", ["2026-07-01", "2026-08-15"], ["2026-06-30", "2027-07-01"]),
        ("02-29", ["2028-02-29"], ["2028-02-28"]),
    ],
)
def test_dates(written: str, yes: list[str], no: list[str]) -> None:
    dates = read_dates(written)
    assert [day for day in yes if not dates.holds(date.fromisoformat(day))] == []
    assert [day for day in no if dates.holds(date.fromisoformat(day))] == []


def test_holidays_differ_by_part_of_the_country() -> None:
    berlin, bavaria = read_calendar("DE-BE"), read_calendar("DE-BY")
    assert berlin.holds(date(2026, 3, 8)) and not bavaria.holds(date(2026, 3, 8)), "women's day"
    assert bavaria.holds(date(2026, 1, 6)) and not berlin.holds(date(2026, 1, 6)), "epiphany"
    assert read_calendar("US").holds(date(2026, 11, 26)), "thanksgiving moves"


def test_holidays_open_or_close_a_window() -> None:
    hours = (read_hours("00:00-24:00"),)
    work = TimeWindow(BERLIN, read_days("mon-fri"), hours, except_holidays=(read_calendar("DE-BE"),))
    feast = TimeWindow(BERLIN, holidays=(read_calendar("DE-BE"),))
    for day, working in (("2026-12-24", True), ("2026-12-25", False), ("2026-11-28", False)):
        assert work.holds(local(f"{day} 12:00")) is working
    assert feast.holds(local("2026-12-25 00:00")) and not feast.holds(local("2026-12-24 23:59"))


@pytest.mark.parametrize(
    ("written", "days"), [("mon", {0}), ("Mon-Fri", {0, 1, 2, 3, 4}), ("sat-mon", {5, 6, 0}), ("sunday", {6})]
)
def test_weekdays(written: str, days: set[int]) -> None:
    assert read_days(written) == days


@pytest.mark.parametrize(
    ("read", "written"),
    [
        (read_days, "weekend"), (read_days, ""), (read_hours, "9-17"), (read_hours, "25:00-26:00"),
        (read_hours, "10:00-10:00"), (read_hours, "10:70-11:00"), (read_hours, "24:00-25:00"),
        (read_dates, "2026-02-30"), (read_dates, "12-24..2026-12-31"), (read_dates, "2026-12-31..2026-01-01"),
        (read_dates, "13-01"), (read_calendar, "XX"), (read_calendar, "DE-ZZ"), (read_zone, "Berlin"),
        (read_zone, ""), (read_zone, "../../etc/passwd"),
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_the_cure(read: Callable[[str], object], written: str) -> None:
    with pytest.raises(ValueError, match="; "):
        read(written)


@given(st.text(max_size=30))
def test_no_text_raises_anything_but_a_value_error(text: str) -> None:
    for read in (read_days, read_hours, read_dates, read_zone):
        try:
            read(text)
        except ValueError:
            pass


@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)),
    st.integers(0, 1439),
    st.integers(1, 1439),
    st.sampled_from([BERLIN, "UTC", "America/New_York", "Asia/Kathmandu", "Pacific/Apia"]),
)
def test_a_window_and_the_rest_of_the_day_share_every_moment(
    at: datetime, start: int, length: int, zone: str
) -> None:
    end = (start + length) % 1440
    moment = at.replace(tzinfo=UTC)
    inside = TimeWindow(zone, hours=(Hours(start, end),)).holds(moment)
    outside = TimeWindow(zone, hours=(Hours(end, start),)).holds(moment)
    assert inside is not outside


def test_a_holiday_is_looked_up_once_a_year() -> None:
    calendar = Calendar("DE", "BE")
    assert sum(calendar.holds(date(2026, 1, 1) + timedelta(days=n)) for n in range(365)) == 10
