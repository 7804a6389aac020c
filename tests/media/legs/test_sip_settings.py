"""SIP settings: defaults are safe, and nonsense is refused with the field's name."""

from __future__ import annotations

import pytest

from media.legs.sip_settings import SipSettings, SipTransport, TlsSettings, TrunkSettings, UnknownSource


def test_defaults_listen_on_loopback_and_trust_only_the_machine() -> None:
    settings = SipSettings()
    assert settings.host == "127.0.0.1"
    assert settings.unknown is UnknownSource.REFUSE
    assert [trunk.name for trunk in settings.trunks] == ["local"]


def test_a_new_trunk_may_not_place_calls() -> None:
    assert TrunkSettings(name="carrier").outbound is False


def test_passwords_do_not_show_in_a_printed_trunk() -> None:
    trunk = TrunkSettings(
        name="a", inbound_user="u", inbound_password="open-sesame", user="u", password="also-secret"
    )
    assert "open-sesame" not in repr(trunk) and "also-secret" not in repr(trunk)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("udp_port", {"udp_port": 70_000}),
        ("udp_port", {"udp_port": -1}),
        ("tls.certificate", {"tls_port": 0}),
        ("rtp_first_port", {"rtp_first_port": 20_001}),
        ("rtp_first_port", {"rtp_first_port": 80}),
        ("rtp_last_port", {"rtp_first_port": 30_000, "rtp_last_port": 30_001}),
        ("port_quarantine_s", {"port_quarantine_s": -1.0}),
        ("codecs", {"codecs": ("PCMU", "GSM")}),
        ("codecs", {"codecs": ()}),
        ("max_calls", {"max_calls": 0}),
        ("retry_after_s", {"retry_after_s": 0}),
        ("session_expires_s", {"session_expires_s": 60}),
        ("session_min_s", {"session_min_s": 30}),
        ("answer_timeout_s", {"answer_timeout_s": 0.5}),
        ("ack_timeout_s", {"ack_timeout_s": 0.0}),
        ("log_level", {"log_level": 5}),
        ("127.0.0", {"host": "127.0.0"}),
        ("trunks", {"trunks": (TrunkSettings(name="a"), TrunkSettings(name="a"))}),
        ("transport", {"trunks": (TrunkSettings(name="a", proxy="sip:x", transport=SipTransport.TLS),)}),
    ],
)
def test_nonsense_is_refused_with_the_fields_name(field: str, values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=field.replace(".", r"\.")):
        SipSettings(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("name", {"name": ""}),
        ("name", {"name": "two words"}),
        ("sources", {"name": "a", "sources": ("192.0.2.1/24",)}),
        ("sources", {"name": "a", "sources": ("example.net",)}),
        ("inbound_password", {"name": "a", "inbound_user": "u"}),
        ("register_expires_s", {"name": "a", "register_expires_s": 5}),
        ("codecs", {"name": "a", "codecs": ("AMR",)}),
    ],
)
def test_trunk_nonsense_is_refused_with_the_fields_name(field: str, values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=field):
        TrunkSettings(**values)  # type: ignore[arg-type]


def test_tls_port_with_a_certificate_is_accepted() -> None:
    assert SipSettings(tls_port=0, tls=TlsSettings(certificate="cert.pem")).tls.verify_server
