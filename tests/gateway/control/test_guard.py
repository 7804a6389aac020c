"""The guard: nothing without a rule, never more than the rule says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.control.guard import Guard, Permit, Spent
from gateway.control.outbound_settings import OutboundRule, OutboundSettings
from gateway.errors import DialDenied

BERLIN, LONDON, PREMIUM, PREMIUM_US = "+4930901820", "+442071838750", "+499001234567", "+19005551234"
DAY = "2026-01-02"


def guard(**rule: Any) -> Guard:
    return Guard(OutboundSettings((OutboundRule("carrier", **rule),)))


def reason(guarded: Guard, target: str, trunk: str = "carrier", now: float = 0.0, caller: str = "") -> str:
    """Why the call is refused, or "" with a permit used up."""
    before = guarded.denied.total()
    try:
        guarded.admit(trunk, target, caller, now, DAY)
    except DialDenied as denied:
        assert guarded.denied.total() == before + 1, "every refusal is counted, once"
        return denied.reason
    assert guarded.denied.total() == before
    return ""


def test_nothing_without_a_rule() -> None:
    empty = Guard(OutboundSettings())
    assert reason(empty, BERLIN) == "no_rule" and reason(empty, BERLIN, "") == "no_rule"
    assert reason(guard(), BERLIN) == "prefix"
    assert reason(guard(), "1000") == "extension"
    assert reason(guard(allow=("*",)), BERLIN, "other") == "no_rule"


@pytest.mark.parametrize(
    ("rule", "target", "why"),
    [
        ({"allow": ("+49",)}, BERLIN, ""),
        ({"allow": ("+49",)}, LONDON, "prefix"),
        ({"allow": ("*",)}, LONDON, ""),
        ({"allow": ("*",)}, PREMIUM, "premium"),
        ({"allow": ("*",)}, PREMIUM_US, "premium"),
        ({"allow": ("+49900",)}, PREMIUM, "premium"),
        ({"allow": ("*",), "premium": True}, PREMIUM, ""),
        ({"allow": ("+49",), "premium": True}, PREMIUM_US, "prefix"),
        ({"allow": ("*",), "deny": ("+44",)}, LONDON, "denied_prefix"),
        ({"allow": ("*",), "deny": ("*",)}, LONDON, "denied_prefix"),
        ({"allow": ("+4420",), "deny": ("+44",)}, LONDON, ""),
        ({"allow": ("+44",), "deny": ("+4420",)}, LONDON, "denied_prefix"),
        ({"allow": ("*",)}, "112", "emergency"),
        ({"allow": ("*",), "extensions": ("*",)}, "112", "emergency"),
        ({"extensions": ("112",), "emergency": True}, "112", ""),
        ({"allow": ("*",)}, "0019005551234", "extension"),
        ({"allow": ("*",), "region": "DE"}, "0019005551234", "premium"),
        ({"allow": ("+49",), "region": "DE"}, "030 901820", ""),
        ({"extensions": ("1???",)}, "1000", ""),
        ({"extensions": ("1???",)}, "10000", "extension"),
        ({"allow": ("*",)}, "sip:a b@host", "unfit"),
        ({"allow": ("*",), "daily_cost": 1.0}, BERLIN, "no_price"),
        ({"allow": ("*",), "daily_cost": 1.0, "prices": {"+49": 0.02}}, BERLIN, ""),
        ({"allow": ("*",), "daily_cost": 1.0, "prices": {"*": 2.0, "+49": 0.02}}, LONDON, "daily_cost"),
    ],
)
def test_rules(rule: dict[str, Any], target: str, why: str) -> None:
    assert reason(guard(**rule), target) == why


def test_the_calling_number_may_be_bound() -> None:
    bound = guard(allow=("*",), callers=("+4930901*",))
    assert reason(bound, BERLIN, caller="+4930901820") == ""
    assert reason(bound, BERLIN, caller="+15550100") == "caller"


def test_the_first_trunk_that_allows_it_takes_it() -> None:
    rules = (OutboundRule("one", allow=("+49",)), OutboundRule("two", allow=("+44",)))
    guarded = Guard(OutboundSettings(rules))
    assert guarded.admit("", LONDON, "", 0.0, DAY).rule.trunk == "two"


def test_transfers_need_their_own_word() -> None:
    silent = guard(allow=("+49",), transfer=False)
    with pytest.raises(DialDenied) as denied:
        silent.may_send("carrier", BERLIN, 0.0)
    assert denied.value.reason == "transfer"
    for ask in (
        lambda: silent.may_be_asked("carrier", BERLIN, 0.0, DAY),
        lambda: silent.may_be_asked_here("carrier", 0.0),
    ):
        with pytest.raises(DialDenied) as denied:
            ask()
        assert denied.value.reason == "refer"
    assert silent.denied == {"transfer": 1, "refer": 2}
    open_ = guard(allow=("+49",), refer=True, per_minute=2)
    assert open_.may_send("carrier", BERLIN, 0.0).user == BERLIN
    open_.may_be_asked_here("carrier", 0.0)
    with pytest.raises(DialDenied, match="a minute"):
        open_.may_send("carrier", BERLIN, 0.0)
    with pytest.raises(DialDenied):
        guard(allow=("*",), refer=True).may_be_asked("carrier", PREMIUM, 0.0, DAY)


LIMITS: list[tuple[dict[str, object], str]] = [
    ({"per_minute": 1}, "rate"),
    ({"at_once": 1}, "at_once"),
    ({"daily_minutes": 1}, "daily_minutes"),
    ({"daily_cost": 0.5, "prices": {"*": 0.3}}, "daily_cost"),
    ({"daily_cost": 1.0}, "no_price"),
]


@pytest.mark.parametrize(("limit", "why"), LIMITS, ids=[why for _, why in LIMITS])
def test_a_call_that_is_asked_for_is_judged_as_any_and_counted_once(
    limit: dict[str, object], why: str
) -> None:
    bound = guard(allow=("*",), refer=True, **limit)
    for _ in range(3):  # whoever only asks uses nothing up
        if why != "no_price":
            bound.may_be_asked("carrier", BERLIN, 0.0, DAY)
    if why != "no_price":
        bound.admit("carrier", BERLIN, "", 0.0, DAY)
    with pytest.raises(DialDenied) as denied:
        bound.may_be_asked("carrier", BERLIN, 0.0, DAY)
    assert denied.value.reason == why and bound.denied == {why: 1}


def test_limits_say_when_to_come_back() -> None:
    slow = guard(allow=("*",), per_minute=1)
    slow.admit("carrier", BERLIN, "", 10.0, DAY)
    with pytest.raises(DialDenied) as denied:
        slow.admit("carrier", BERLIN, "", 30.0, DAY)
    assert (denied.value.reason, denied.value.retry_after) == ("rate", 40)
    assert reason(slow, BERLIN, now=70.0) == ""


def test_a_days_minutes_end_a_call_and_a_new_day_begins_anew() -> None:
    short = guard(allow=("*",), daily_minutes=2)
    permit = short.admit("carrier", BERLIN, "", 0.0, DAY)
    short.answered(permit, DAY)
    assert short.another(permit, DAY) and not short.another(permit, DAY)
    assert reason(short, BERLIN) == "daily_minutes"
    short.release(permit)
    assert short.another(short.admit("carrier", BERLIN, "", 0.0, "2026-01-03"), "2026-01-03")


def test_what_was_spent_before_a_restart_counts() -> None:
    again = guard(allow=("*",), daily_minutes=5)
    again.learn("carrier", DAY, Spent(minutes=5))
    assert reason(again, BERLIN) == "daily_minutes"
    again.learn("carrier", DAY, Spent(minutes=1))
    assert again.spent("carrier", DAY).minutes == 5, "nothing is forgotten"


def test_an_unanswered_call_costs_nothing() -> None:
    guarded = guard(allow=("*",), daily_cost=0.02, prices={"*": 0.02})
    for _ in range(3):
        guarded.release(guarded.admit("carrier", BERLIN, "", 0.0, DAY))
    assert guarded.spent("carrier", DAY) == Spent()


STEPS = st.lists(
    st.tuples(st.sampled_from(["dial", "answer", "minute", "end", "wait", "day"]), st.integers(0, 9)),
    max_size=120,
)


@settings(max_examples=200)
@given(
    steps=STEPS,
    at_once=st.integers(1, 4),
    per_minute=st.integers(1, 6),
    minutes=st.integers(0, 12),
    cost=st.sampled_from([0.0, 0.05, 0.11, 1.0]),
)
def test_whatever_happens_no_limit_is_ever_passed(
    steps: list[tuple[str, int]], at_once: int, per_minute: int, minutes: int, cost: float
) -> None:
    rule = OutboundRule(
        "t", allow=("*",), at_once=at_once, per_minute=per_minute, daily_minutes=minutes,
        daily_cost=cost, prices={"*": 0.03, "+44": 0.05},
    )  # fmt: skip
    guarded = Guard(OutboundSettings((rule,)))
    now, day, begun = 0.0, 1, []
    running: list[tuple[Permit, bool]] = []
    for step, which in steps:
        date = f"2026-01-{day:02}"
        if step == "dial":
            try:
                permit = guarded.admit("t", (BERLIN, LONDON)[which % 2], "", now, date)
            except DialDenied:
                continue
            running.append((permit, False))
            begun.append(now)
        elif step == "wait":
            now += which * 5
        elif step == "day":
            day += 1
        elif running:
            place = which % len(running)
            permit, answered = running[place]
            if step == "answer" and not answered:
                guarded.answered(permit, date)
                running[place] = (permit, True)
            elif step == "minute" and answered and not guarded.another(permit, date):
                guarded.release(permit)
                del running[place]
            elif step == "end":
                guarded.release(permit)
                guarded.release(permit)
                del running[place]
        spent = guarded.spent("t", date)
        assert len(running) <= at_once
        assert len([at for at in begun if at > now - 60]) <= per_minute
        # The minute that was laid aside for a call that rings over midnight is paid by the next day.
        assert spent.minutes <= minutes
        assert not cost or spent.cost <= round(cost * 10_000)


@pytest.mark.parametrize(
    "wrong",
    [{"allow": ("49",)}, {"deny": ("+0",)}, {"prices": {"49": 1}}, {"prices": {"*": -1}}, {"region": "XX"},
     {"per_minute": 0}, {"at_once": 0}, {"daily_cost": -1}],
)  # fmt: skip
def test_settings_name_the_field(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        OutboundRule("carrier", **wrong)


def test_two_rules_for_a_trunk_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="rules"):
        OutboundSettings((OutboundRule("a"), OutboundRule("a")))
