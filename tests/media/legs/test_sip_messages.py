"""Reading raw SIP and SDP text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.legs import sip_messages as messages
from media.legs.sip_messages import Keying

INVITE = (
    "INVITE sip:echo@127.0.0.1:5060;user=phone SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK1\r\n"
    'f: "Alice" <sip:+4930123@example.net>;tag=1\r\n'
    "To: <sip:echo@127.0.0.1>\r\n"
    "Subject: folded\r\n"
    "   line\r\n"
    "i: abc@host\r\n"
    "Content-Type: application/sdp\r\n"
    "\r\n"
    "v=0\r\n"
)

SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 4000 RTP/AVP 96 0 8 9 101\r\n"
    "a=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\n"
    "a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=sendrecv\r\n"
    "m=video 0 RTP/AVP 31\r\n"
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("From", '"Alice" <sip:+4930123@example.net>;tag=1'),
        ("call-id", "abc@host"),
        ("subject", "folded line"),
        ("content-type", "application/sdp"),
        ("reason", ""),
    ],
)
def test_header(name: str, value: str) -> None:
    assert messages.header(INVITE, name) == value


def test_request_parts() -> None:
    assert messages.method(INVITE) == "INVITE"
    assert messages.method("SIP/2.0 200 OK\r\n\r\n") == ""
    assert messages.request_uri(INVITE) == "sip:echo@127.0.0.1:5060;user=phone"
    assert messages.body(INVITE) == "v=0\r\n"
    assert messages.body("no body here") == ""


@pytest.mark.parametrize(
    ("address", "user"),
    [
        ("sip:echo@127.0.0.1:5060;user=phone", "echo"),
        ('"A" <sips:bob;x=1@h>', "bob"),
        ("<sip:alice:secret@h>", "alice"),
        ("<sip:host.only>", ""),
        ("tel:+4930;phone-context=x", "+4930"),
        ("sip:reject-%34%304@h", "reject-404"),
        ("sip:a%0D%0Ab@h", "a%0D%0Ab"),
        ("", ""),
    ],
)
def test_user_part(address: str, user: str) -> None:
    assert messages.user_part(address) == user


def test_audio_codecs_read_static_and_mapped_payloads() -> None:
    assert messages.audio_codecs(SDP) == ("opus", "PCMU", "PCMA", "G722", "telephone-event")
    assert messages.audio_codecs("v=0\r\nm=video 1 RTP/AVP 0\r\n") == ()
    assert messages.audio_codecs("v=0\r\nm=audio 1 RTP/AVP 18 x 0\r\n") == ("18", "PCMU")


def test_common_codecs_are_in_our_order() -> None:
    assert messages.common_codecs(("opus", "pcmu", "G722"), ("G722", "PCMU", "PCMA")) == ("G722", "PCMU")


def audio_line(sdp: str) -> str:
    return next(line for line in sdp.splitlines() if line.startswith("m=audio"))


def test_an_offer_is_put_in_our_order_and_keeps_its_events() -> None:
    sdp = messages.prefer_codecs(SDP, ("PCMA", "opus"), None)
    assert audio_line(sdp) == "m=audio 4000 RTP/AVP 8 96 101"
    assert "a=rtpmap:0 " not in sdp and "a=fmtp:96 " in sdp and "a=rtpmap:101 " in sdp


def test_an_answer_keeps_only_the_first_codec_of_ours_that_was_offered() -> None:
    sdp = messages.prefer_codecs(SDP, ("G722", "PCMA", "PCMU"), ("PCMU", "PCMA"))
    assert audio_line(sdp) == "m=audio 4000 RTP/AVP 8 101"


def test_nothing_in_common_leaves_the_sdp_alone() -> None:
    assert messages.prefer_codecs(SDP, ("AMR",), None) == SDP
    assert messages.prefer_codecs(SDP, ("PCMU",), ("AMR",)) == SDP
    assert messages.prefer_codecs("v=0\r\n", ("PCMU",), None) == "v=0\r\n"


def test_opus_is_promised_in_one_channel() -> None:
    mono = messages.mono_opus(SDP)
    assert "a=fmtp:96 useinbandfec=1;sprop-stereo=0\r\n" in mono and "a=fmtp:101 0-16\r\n" in mono
    assert messages.mono_opus(mono) == mono
    without = SDP.replace("opus", "speex")
    assert messages.mono_opus(without) == without


def test_audio_port() -> None:
    assert messages.audio_port(SDP) == 4000
    assert messages.audio_port("v=0\r\n") == 0


OFF_FIRST = SDP.replace(
    "m=audio 4000",
    "m=audio 0 RTP/AVP 18 3\r\na=rtpmap:3 GSM/8000\r\na=fmtp:18 annexb=no\r\nm=audio 4000",
)


def test_an_audio_line_that_is_off_does_not_hide_the_one_in_use() -> None:
    assert messages.audio_codecs(OFF_FIRST) == messages.audio_codecs(SDP)
    assert messages.audio_port(OFF_FIRST) == 4000
    sdp = messages.prefer_codecs(OFF_FIRST, ("PCMA",), None)
    assert "m=audio 4000 RTP/AVP 8 101" in sdp and "m=audio 0 RTP/AVP 18 3" in sdp
    assert "a=fmtp:18 annexb=no" in sdp and "a=fmtp:96" not in sdp


def test_when_every_audio_line_is_off_the_first_one_counts() -> None:
    assert messages.audio_codecs("v=0\r\nm=audio 0 RTP/AVP 8\r\nm=audio 0 RTP/AVP 0\r\n") == ("PCMA",)


CRYPTO = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n"


@pytest.mark.parametrize(
    ("profile", "attributes", "found"),
    [
        ("RTP/AVP", "", Keying.NONE),
        ("RTP/AVPF", "", Keying.NONE),
        ("RTP/AVP", CRYPTO, Keying.OFFERED),
        ("RTP/SAVP", CRYPTO, Keying.REQUIRED),
        ("RTP/SAVPF", CRYPTO, Keying.REQUIRED),
        ("RTP/SAVP", "", Keying.FOREIGN),
        ("UDP/TLS/RTP/SAVPF", "a=fingerprint:sha-256 00\r\n", Keying.FOREIGN),
    ],
)
def test_how_an_offer_may_be_encrypted(profile: str, attributes: str, found: Keying) -> None:
    sdp = f"v=0\r\nm=audio 4000 {profile} 0\r\n{attributes}m=video 0 RTP/SAVP 31\r\n"
    assert messages.keying(sdp) == found
    assert messages.keying("v=0\r\n") == Keying.NONE


@given(st.text(max_size=300))
def test_no_text_raises(text: str) -> None:
    for sdp in (text, SDP[:60] + text):
        messages.prefer_codecs(sdp, ("PCMU",), messages.audio_codecs(sdp))
        messages.audio_port(sdp)
        messages.keying(sdp)
        messages.mono_opus(sdp)
    messages.header(text, "via")
    messages.user_part(messages.request_uri(text))
    messages.body(text)
