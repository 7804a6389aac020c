"""Who a peer is, and what may be dialled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.legs.sip_messages import Keying
from media.legs.sip_settings import Srtp, TrunkSettings
from media.legs.sip_trunks import TrunkTable, dial_refusal, split_host, srtp_refusal, target_uri

TABLE = TrunkTable(
    (
        TrunkSettings(name="wide", sources=("10.0.0.0/8",)),
        TrunkSettings(name="narrow", sources=("10.1.2.0/24", "2001:db8::/32")),
        TrunkSettings(name="one", sources=("10.1.2.3",)),
    ),
)


@pytest.mark.parametrize(
    ("source", "trunk"),
    [
        ("10.9.9.9:5060", "wide"),
        ("10.1.2.4:5060", "narrow"),
        ("10.1.2.3:5060", "one"),
        ("10.1.2.3", "one"),
        ("[2001:db8::7]:5061", "narrow"),
        ("2001:db8::7", "narrow"),
        ("::ffff:10.9.9.9", "wide"),
        ("192.0.2.1:5060", None),
        ("", None),
        ("garbage", None),
        ("[broken", None),
    ],
)
def test_longest_network_wins_and_strangers_have_no_trunk(source: str, trunk: str | None) -> None:
    found = TABLE.match(source)
    assert (found.name if found else None) == trunk


@given(st.text(max_size=40))
def test_no_source_text_raises(source: str) -> None:
    TABLE.match(source)
    split_host(source)


def test_trunks_are_found_by_name() -> None:
    assert TABLE.named("one") is TABLE.trunks[2]
    assert TABLE.named("nobody") is None


HOME = TrunkSettings(name="t", outbound=True, domain="h")
LOCAL = TrunkSettings(name="t", outbound=True, sources=("127.0.0.0/8",))


@pytest.mark.parametrize(
    ("trunk", "uri", "refusal"),
    [
        (TrunkSettings(name="t"), "sip:1@h", "may not place calls"),
        (HOME, "sip:1@h", ""),
        (HOME, "sips:1@H:5061;transport=tls", ""),
        (HOME, "tel:+4930", "no SIP URI"),
        (HOME, "sip:", "no SIP URI"),
        (HOME, "sip:1@h\r\nVia: x", "characters"),
        (HOME, "sip:1@h>", "characters"),
        (replace(HOME, prefixes=("+49",)), "sip:+4930@h", ""),
        (replace(HOME, prefixes=("+49",)), "sip:+1900@h", "beginning with"),
        (replace(HOME, prefixes=("+49",)), "sip:h", "beginning with"),
        (LOCAL, "sip:1@127.0.0.1:5070", ""),
        (LOCAL, "sip:1@localhost", ""),
        (LOCAL, "sip:1900@carrier.example", "own sources only"),
        (LOCAL, "sip:1900@192.0.2.1", "own sources only"),
        (replace(LOCAL, proxy="sip:127.0.0.1"), "sip:1@anywhere.example", ""),
    ],
)
def test_what_may_be_dialled(trunk: TrunkSettings, uri: str, refusal: str) -> None:
    got = dial_refusal(trunk, uri)
    assert refusal in got and bool(got) is bool(refusal)


@pytest.mark.parametrize(
    ("policy", "fits", "unavailable", "required"),
    [
        (Srtp.OFF, {Keying.NONE, Keying.OFFERED}, {Keying.REQUIRED, Keying.FOREIGN}, set()),
        (Srtp.OPTIONAL, {Keying.NONE, Keying.OFFERED, Keying.REQUIRED}, {Keying.FOREIGN}, set()),
        (Srtp.MANDATORY, {Keying.REQUIRED}, {Keying.FOREIGN}, {Keying.NONE, Keying.OFFERED}),
    ],
)
def test_an_offers_encryption_meets_the_trunks_policy(
    policy: Srtp, fits: set[Keying], unavailable: set[Keying], required: set[Keying]
) -> None:
    assert {keying for keying in Keying if srtp_refusal(policy, keying) == ""} == fits
    assert {keying for keying in Keying if srtp_refusal(policy, keying) == "srtp_unavailable"} == unavailable
    assert {keying for keying in Keying if srtp_refusal(policy, keying) == "srtp_required"} == required


@pytest.mark.parametrize(
    ("settings", "host"),
    [
        ({"domain": "pbx.example"}, "pbx.example"),
        ({"registrar": "sip:reg.example:5070"}, "reg.example:5070"),
        ({"proxy": "sip:sbc.example;lr"}, "sbc.example"),
        ({"sources": ("192.0.2.7/32",)}, "192.0.2.7"),
        ({"sources": ("2001:db8::7",)}, "[2001:db8::7]"),
        ({"sources": ("192.0.2.0/24",)}, "far.example"),
    ],
)
def test_a_number_goes_to_the_trunks_own_peer(settings: dict[str, Any], host: str) -> None:
    trunk = TrunkSettings(name="t", **settings)
    for target in ("+49301234", "tel:+49301234", "tel:+49301234;phone-context=x"):
        assert target_uri(trunk, target, host="far.example") == f"sip:+49301234@{host}"
    assert target_uri(trunk, "sips:a@b;transport=tls") == "sips:a@b;transport=tls"


@pytest.mark.parametrize("target", ["", "12 34", "<sip:a@b>", "1\r\nVia: x", "http://x", "ü", "a@b"])
def test_what_is_no_target_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="no number"):
        target_uri(TrunkSettings(name="t", domain="d"), target)


def test_a_trunk_without_a_peer_wants_a_whole_uri() -> None:
    with pytest.raises(ValueError, match="write sip:1@host"):
        target_uri(TrunkSettings(name="t"), "1")
