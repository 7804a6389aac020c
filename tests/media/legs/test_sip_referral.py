"""REFER: its text, and what became of one of ours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.legs.sip_referral import (
    DialogId,
    Outcome,
    ReferAnswered,
    ReferNotified,
    Referral,
    refer_event,
    refer_target,
    refer_to_replace,
    sipfrag_code,
)


def notify(body: str, event: str = "refer", state: str = "active", kind: str = "message/sipfrag") -> str:
    return (
        f"NOTIFY sip:us SIP/2.0\r\nEvent: {event}\r\nSubscription-State: {state}\r\n"
        f"Content-Type: {kind}\r\n\r\n{body}"
    )


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("SIP/2.0 200 OK\r\n", 200),
        ("SIP/2.0 100 Trying", 100),
        ("\r\nsip/2.0 603", 603),
        ("SIP/2.0 486 Busy Here\r\nContact: <sip:x>\r\n", 486),
        ("INVITE sip:x SIP/2.0", 0),
        ("SIP/2.0 2000 no", 0),
        ("", 0),
    ],
)
def test_a_sipfrag_says_its_code(body: str, code: int) -> None:
    assert sipfrag_code(notify(body)) == code
    assert sipfrag_code(notify(body, kind="message/sipfrag;version=2.0")) == code
    assert sipfrag_code(notify(body, kind="text/plain")) == 0


@pytest.mark.parametrize(
    ("event", "state", "found"),
    [
        ("refer", "active;expires=60", (0, False)),
        ("refer;id=7", "terminated;reason=noresource", (7, True)),
        ("REFER ; id=93809824", "Terminated", (93809824, True)),
        ("refer;id=x", "pending", (0, False)),
        ("message-summary", "active", None),
    ],
)
def test_a_notify_names_its_refer(event: str, state: str, found: tuple[int, bool] | None) -> None:
    assert refer_event(notify("", event, state)) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("<sip:4711@example.net>", ("sip:4711@example.net", "")),
        ("Bob <sip:4711@example.net;user=phone>;x=y", ("sip:4711@example.net;user=phone", "")),
        ("<sip:b@h?Replaces=1%40h%3Bto-tag%3Da%3Bfrom-tag%3Db>", ("sip:b@h", "1@h;to-tag=a;from-tag=b")),
        ("<sip:b@h?Require=replaces&Replaces=1>", ("", "")),
        ("<sip:b@h?Replaces=1%3Bto-tag%3Da%3Bfrom-tag%3Db%0D%0AX%3A%20y>", ("", "")),
        (
            "<sip:b@h?replaces=1%3Bfrom-tag%3Db%3Bto-tag%3D0>",
            ("sip:b@h", "1;from-tag=b;to-tag=0"),
        ),
        ("tel:+4930", ("tel:+4930", "")),
        ("", ("", "")),
    ],
)
def test_a_refer_names_its_target(value: str, found: tuple[str, str]) -> None:
    for name in ("Refer-To", "r"):
        assert refer_target(f"REFER sip:us SIP/2.0\r\n{name}: {value}\r\n\r\n") == found


def test_the_refer_to_of_an_attended_transfer_escapes_what_must_be() -> None:
    """The example of RFC 3891 section 1 and its escaping in RFC 3261 section 19.1.4."""
    dialog = DialogId("98732@sip.example.com", "r33th4x0r", "ff87ff", "sip:bob@192.0.2.7:5070")
    assert refer_to_replace(dialog) == (
        "<sip:bob@192.0.2.7:5070?Replaces=98732%40sip.example.com%3Bto-tag%3Dff87ff%3Bfrom-tag%3Dr33th4x0r"
        "&Require=replaces>"
    )


def test_reports_lead_to_success() -> None:
    referral = Referral()
    assert referral.answered(ReferAnswered(202, 2)) is None
    assert referral.notified(ReferNotified(100, 2, False)) is None
    assert referral.notified(ReferNotified(180, 0, False)) is None
    assert referral.notified(ReferNotified(200, 2, True)) == Outcome(200)
    assert referral.codes == [100, 180, 200]


@pytest.mark.parametrize(
    ("news", "code"),
    [
        ([ReferAnswered(603, 2)], 603),
        ([ReferAnswered(408, 0)], 408),
        ([ReferAnswered(202, 2), ReferNotified(503, 2, True)], 503),
        ([ReferAnswered(202, 2), ReferNotified(100, 2, True)], 500),
        ([ReferAnswered(202, 2), ReferNotified(0, 2, True)], 500),
        ([ReferAnswered(202, 2, silent=True)], 200),
        ([ReferNotified(180, 0, False), ReferNotified(200, 0, True)], 200),
    ],
)
def test_each_end_has_its_code(news: list[ReferAnswered | ReferNotified], code: int) -> None:
    referral, outcomes = Referral(), []
    for one in news:
        outcomes.append(referral.answered(one) if isinstance(one, ReferAnswered) else referral.notified(one))
    assert [outcome is None for outcome in outcomes[:-1]] == [True] * (len(news) - 1)
    assert outcomes[-1] is not None and outcomes[-1].sip_code == code


@pytest.mark.parametrize(
    ("codes", "agreed", "gone"),
    [([], True, True), ([100], True, True), ([100, 180], True, False), ([], False, False)],
)
def test_a_bye_means_gone_only_when_it_agreed_and_nothing_rings(
    codes: list[int], agreed: bool, gone: bool
) -> None:
    referral = Referral()
    if agreed:
        referral.answered(ReferAnswered(202, 2))
    for code in codes:
        referral.notified(ReferNotified(code, 2, False))
    outcome = referral.hung_up()
    assert outcome is not None and outcome.gone == gone and (gone or outcome.sip_code == 487)


def test_late_news_of_an_earlier_refer_are_none_of_this_ones() -> None:
    referral = Referral(frozenset({2}))
    assert referral.notified(ReferNotified(200, 2, True)) is None
    assert referral.answered(ReferAnswered(603, 2)) is None
    assert not referral.accepted and referral.codes == []
    assert referral.answered(ReferAnswered(403, 3)) is not None


_CODES = st.sampled_from([0, 100, 180, 183, 200, 202, 302, 404, 486, 603])
_STEPS = st.one_of(
    st.builds(ReferAnswered, st.sampled_from([200, 202, 403, 408, 603]), st.integers(0, 3), st.booleans()),
    st.builds(ReferNotified, _CODES, st.integers(0, 3), st.booleans()),
    st.sampled_from(["bye", "late", "lost"]),
)


@given(st.lists(_STEPS, max_size=12))
def test_whatever_comes_there_is_one_outcome_at_most_and_one_at_the_end(steps: list[object]) -> None:
    referral, outcomes = Referral(), []
    for step in [*steps, "late"]:
        if isinstance(step, ReferAnswered):
            outcomes.append(referral.answered(step))
        elif isinstance(step, ReferNotified):
            outcomes.append(referral.notified(step))
        else:
            ends = {"bye": referral.hung_up, "late": referral.timed_out}
            outcomes.append(ends[str(step)]() if step != "lost" else referral.lost(500))
    assert len([outcome for outcome in outcomes if outcome is not None]) == 1
