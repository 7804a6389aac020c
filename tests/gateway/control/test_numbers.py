"""What is dialled is what was judged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.numbers import NotDiallable, Target, read_target


@pytest.mark.parametrize(
    ("written", "region", "target"),
    [
        ("+49 30 901820", "", Target("+4930901820", True)),
        ("tel:+49-30-901820;ext=5", "", Target("+4930901820", True)),
        ("tel:901820;phone-context=+4930", "", Target("+4930901820", True)),
        ("sip:+4930901820@pbx.example:5070;user=phone", "", Target("+4930901820", True, "pbx.example:5070")),
        ("sip:%2B4930901820@pbx.example", "", Target("+4930901820", True, "pbx.example")),
        ("030 901820", "DE", Target("+4930901820", True)),
        ("0049 30 901820", "DE", Target("+4930901820", True)),
        ("030 901820", "", Target("030901820", False)),
        ("1000", "DE", Target("1000", False)),
        ("sip:desk@10.0.0.1?Replaces=x", "", Target("desk", False, "10.0.0.1")),
        ("sip:desk:password@[2001:db8::1]:5060", "", Target("desk", False, "[2001:db8::1]:5060")),
        ("+1 900 555 1234", "", Target("+19005551234", True, costly=True)),
        ("0900 1234567", "DE", Target("+499001234567", True, costly=True)),
        ("sip:+1%2D900%2D5551234@carrier.example", "", Target("+19005551234", True, "carrier.example", True)),
        ("+881612345678", "", Target("+881612345678", True, costly=True)),
        ("+44 70 1234 5678", "", Target("+447012345678", True, costly=True)),
        ("112", "", Target("112", False, emergency=True)),
        ("110", "DE", Target("110", False, emergency=True)),
        ("110", "", Target("110", False)),
        ("+999123456", "", Target("+999123456", False)),
        ("*67", "", Target("*67", False)),
    ],
)
def test_targets(written: str, region: str, target: Target) -> None:
    assert read_target(written, region) == target


@pytest.mark.parametrize(
    "written",
    ["", "sip:10.0.0.1", "http://example.net", "mailto:a@b", "a b", "sip:a b@host", "sip:x@host\r\nVia: y",
     "sip:x@ho st", "x@y", "sip:%0d%0a@host", "sip:a%40b@host", "<sip:a@b>", "٣٣٣"],
)  # fmt: skip
def test_what_cannot_be_dialled(written: str) -> None:
    with pytest.raises(NotDiallable):
        read_target(written)


@given(st.text(max_size=40), st.sampled_from(["", "DE", "US"]))
def test_whatever_is_written_nothing_strange_is_dialled(written: str, region: str) -> None:
    try:
        target = read_target(written, region)
    except NotDiallable:
        return
    assert target.user.isascii() and not set(target.user) & set('@;:?&=<>" \r\n%')
    assert target.host.isascii() and not set(target.host) & set('@;?&=<>" \r\n%')
    again = read_target(target.user, region)
    assert (again.user, again.costly) == (target.user, target.costly)
