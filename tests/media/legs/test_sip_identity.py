"""Who calls, out of an INVITE's headers; and which headers may be added to one of ours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.legs.sip_identity import display_name, forwarded_from, header_problem, headers_of, parties_of


def invite(*headers: str) -> str:
    return "\r\n".join(["INVITE sip:+4930@us SIP/2.0", *headers, "", "v=0"])


def test_everything_that_an_invite_says_of_its_parties() -> None:
    message = invite(
        'f: "Bob \\"B\\" Jones" <sip:%2B49301@carrier>;tag=1',
        "Diversion: <sip:+49302@carrier>;reason=no-answer, <sip:+49303@carrier>;reason=busy",
        "X-Ticket: 12",
        "x-ticket: 13",
        "Proxy-Authorization: Digest secret",
    )
    parties = parties_of(message, "carrier", "192.0.2.1:5060")
    assert (parties.caller, parties.called, parties.display) == ("+49301", "+4930", 'Bob "B" Jones')
    assert (parties.trunk, parties.remote, parties.forwarded_from) == ("carrier", "192.0.2.1:5060", "+49302")
    assert parties.header("X-TICKET") == "12" and parties.header("x-none") == ""
    assert [name for name, _ in parties.headers] == ["from", "diversion", "x-ticket", "x-ticket"]
    assert "secret" not in repr(parties) and "12" not in repr(parties)


def test_headers_are_bounded() -> None:
    kept = headers_of(invite(*(f"X-{i}: {'v' * 2000}" for i in range(100))))
    assert len(kept) == 64 and {len(value) for _, value in kept} == {512}


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("<sip:1@h>;tag=x", ""),
        ("Alice <sip:1@h>", "Alice"),
        ("sip:1@h", ""),
        ('"A, B" <sip:1@h>', "A, B"),
        ('"bad\x1b[0m" <sip:1@h>', ""),
        ('"" <sip:1@h>', ""),
    ],
)
def test_the_name_beside_an_address(address: str, name: str) -> None:
    assert display_name(address) == name


@pytest.mark.parametrize(
    ("headers", "who"),
    [
        ([], ""),
        (["Diversion: <tel:+49302>;reason=unconditional"], "+49302"),
        (["History-Info: <sip:1@h>;index=1, <sip:2@h?Reason=SIP>;index=1.1, <sip:3@h>;index=1.2"], "2"),
        (["History-Info: <sip:1@h>;index=1", "History-Info: <sip:2@h>;index=1.1"], "1"),
        (["History-Info: <sip:1@h>;index=1"], ""),
    ],
)
def test_who_sent_the_call_on(headers: list[str], who: str) -> None:
    assert forwarded_from(invite(*headers)) == who


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ([("X-Ticket", "12"), ("P-Asserted-Identity", "<sip:1@h>")], ""),
        ([("From", "x")], "written by the SIP stack"),
        ([("v", "x")], "written by the SIP stack"),
        ([("X-A\r\nVia", "x")], "no header name"),
        ([("X-A", "x\r\nVia: y")], "printable"),
        ([("X-A", "x" * 513)], "printable"),
        ([("X-A", "1")] * 65, "at most 64"),
    ],
)
def test_headers_of_ours_cannot_break_the_request(headers: list[tuple[str, str]], problem: str) -> None:
    found = header_problem(headers)
    assert problem in found and bool(found) == bool(problem)


@given(st.text())
def test_no_text_makes_it_raise(text: str) -> None:
    parties_of(text, "t", "")
    header_problem([(text, text)])
