"""Digest authentication of incoming INVITEs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.legs.sip_digest import DigestGate, digest_response, parse_digest
from media.legs.sip_settings import TrunkSettings

TRUNK = TrunkSettings(name="t", realm="offhook", inbound_user="alice", inbound_password="wonder")


def test_the_example_of_rfc_2617() -> None:
    fields = parse_digest(
        'Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",'
        ' uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b"'
    )
    assert digest_response(fields, "GET", "Circle Of Life") == "6629fae49393a05397450978507c4ef1"


def answer(challenge: str, password: str = "wonder", user: str = "alice", *, qop: bool = True) -> str:
    fields = parse_digest(challenge) | {"username": user, "uri": "sip:echo@host"}
    if qop:
        fields |= {"nc": "00000001", "cnonce": "abc"}
    else:
        fields.pop("qop")
    fields["response"] = digest_response(fields, "INVITE", password)
    return "Digest " + ", ".join(f'{name}="{value}"' for name, value in fields.items())


@pytest.mark.parametrize("qop", [True, False])
def test_the_right_password_is_accepted(qop: bool) -> None:
    gate = DigestGate()
    assert gate.accepts(answer(gate.challenge("offhook", 100.0), qop=qop), "INVITE", TRUNK, 101.0)


@pytest.mark.parametrize(
    "proof",
    [
        "",
        "Basic abc",
        "Digest",
        answer(DigestGate(b"x").challenge("offhook", 100.0)),
        answer(DigestGate(b"k").challenge("offhook", 100.0), password="wrong"),
        answer(DigestGate(b"k").challenge("offhook", 100.0), user="mallory"),
        answer(DigestGate(b"k").challenge("elsewhere", 100.0)),
    ],
)
def test_anything_else_is_not(proof: str) -> None:
    assert not DigestGate(b"k").accepts(proof, "INVITE", TRUNK, 101.0)


def test_an_answer_is_bound_to_the_method() -> None:
    gate = DigestGate()
    assert not gate.accepts(answer(gate.challenge("offhook", 1.0)), "REGISTER", TRUNK, 2.0)


def test_an_old_nonce_is_stale_but_a_forged_one_is_not() -> None:
    gate = DigestGate()
    old = answer(gate.challenge("offhook", 100.0))
    assert not gate.accepts(old, "INVITE", TRUNK, 200.0)
    assert gate.is_stale(old, 200.0)
    assert not gate.is_stale(answer(DigestGate().challenge("offhook", 100.0)), 200.0)
    assert "stale=true" in gate.challenge("offhook", 200.0, stale=True)


@given(st.text(max_size=200))
def test_no_header_text_raises(value: str) -> None:
    gate = DigestGate()
    assert not gate.accepts(value, "INVITE", TRUNK, 1.0)
    assert not gate.accepts("Digest " + value, "INVITE", TRUNK, 1.0)
    gate.is_stale("Digest " + value, 1.0)
