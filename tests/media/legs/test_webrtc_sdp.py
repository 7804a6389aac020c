"""Offers of all sorts: browsers' are answered, everything else is refused with its reason."""

from __future__ import annotations

import re

import pytest
from aioice import Candidate
from hypothesis import given
from hypothesis import strategies as st

from media.legs.webrtc_answer import OurSide, write_answer, write_fragment
from media.legs.webrtc_sdp import (
    LARGEST,
    MOST_CANDIDATES,
    IceLogin,
    NothingInCommon,
    SdpBroken,
    read_fragment,
    read_offer,
    usable,
)

CODECS = ("opus", "PCMU", "PCMA")
FINGERPRINT = (
    "80:8D:60:BE:7A:A2:02:F9:23:6C:F9:27:AF:EB:9A:CA:E4:B1:C3:88:34:8A:EF:5A:22:F6:DE:9F:DB:93:7A:53"
)
CHROMIUM = "\r\n".join(
    [
        "v=0",
        "o=- 2599577053872760040 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0 1",
        "a=extmap-allow-mixed",
        "a=msid-semantic: WMS 421d",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126",
        "c=IN IP4 0.0.0.0",
        "a=rtcp:9 IN IP4 0.0.0.0",
        "a=candidate:1 1 udp 2122194687 192.0.2.2 41142 typ host generation 0",
        "a=candidate:2 1 udp 2122265343 a1b2.local 51458 typ host generation 0",
        "a=candidate:3 1 tcp 1518214911 192.0.2.2 9 typ host tcptype active generation 0",
        "a=ice-ufrag:5Ye1",
        "a=ice-pwd:qaey7RU8oZOqnk64FBD0OOfR",
        "a=ice-options:trickle",
        f"a=fingerprint:sha-256 {FINGERPRINT}",
        "a=setup:actpass",
        "a=mid:0",
        "a=sendrecv",
        "a=rtcp-mux",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 minptime=10;useinbandfec=1",
        "a=rtpmap:63 red/48000/2",
        "a=rtpmap:9 G722/8000",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:13 CN/8000",
        "a=rtpmap:110 telephone-event/48000",
        "a=rtpmap:126 telephone-event/8000",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        "a=ice-ufrag:5Ye1",
        "a=ice-pwd:qaey7RU8oZOqnk64FBD0OOfR",
        f"a=fingerprint:sha-256 {FINGERPRINT}",
        "a=setup:actpass",
        "a=mid:1",
        "a=sctp-port:5000",
        "a=max-message-size:262144",
        "",
    ]
)
OURS = OurSide(
    IceLogin("abcd", "e" * 22),
    "AA:BB",
    [Candidate("f", 1, "udp", 2130706431, "127.0.0.1", 4000, "host")],
    4711,
)


def changed(before: str, after: str) -> str:
    assert before in CHROMIUM
    return CHROMIUM.replace(before, after)


def test_a_browsers_offer_is_understood() -> None:
    offer = read_offer(CHROMIUM, CODECS)
    assert offer.ice == IceLogin("5Ye1", "qaey7RU8oZOqnk64FBD0OOfR")
    assert (offer.codec.name, offer.payload_type) == ("opus", 111)
    assert offer.events == {110: 48_000, 126: 8_000}
    assert (offer.audio, offer.data) == (0, 1)
    assert [(c.host, c.port) for c in offer.candidates] == [("192.0.2.2", 41142)]
    assert offer.fingerprints == (("sha-256", FINGERPRINT), ("sha-256", FINGERPRINT))[:1]


def test_the_answer_names_one_codec_with_repair_and_pauses() -> None:
    answer = write_answer(read_offer(CHROMIUM, CODECS), OURS)
    assert "m=audio 9 UDP/TLS/RTP/SAVPF 111 110\r\n" in answer
    fmtp = re.search(r"a=fmtp:111 (.*)\r\n", answer)
    assert fmtp is not None
    assert {"useinbandfec=1", "usedtx=1", "stereo=0", "maxplaybackrate=16000"} <= set(fmtp[1].split(";"))
    assert "a=setup:passive" in answer
    assert "a=group:BUNDLE 0 1" in answer
    assert "typ host" in answer
    assert "a=end-of-candidates" in answer
    assert answer.count("m=") == 2
    # Our answer can be read by what reads offers, apart from its role.
    assert read_offer(answer.replace("a=setup:passive", "a=setup:actpass"), CODECS).payload_type == 111


def test_our_order_of_codecs_decides() -> None:
    assert read_offer(CHROMIUM, ("PCMA", "opus")).codec.name == "PCMA"
    assert read_offer(CHROMIUM, ("PCMU",)).payload_type == 0


@pytest.mark.parametrize(
    ("offered", "answered"), [("sendrecv", "sendrecv"), ("sendonly", "recvonly"), ("recvonly", "sendonly")]
)
def test_the_answers_direction_mirrors_the_offers(offered: str, answered: str) -> None:
    answer = write_answer(read_offer(changed("a=sendrecv", f"a={offered}"), CODECS), OURS)
    assert f"a={answered}\r\n" in answer


def test_what_we_do_not_want_is_refused_in_its_place() -> None:
    video = CHROMIUM.replace(
        "m=application",
        "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:v\r\na=rtpmap:96 VP8/90000\r\nm=application",
    )
    answer = write_answer(read_offer(video, CODECS), OURS)
    assert [line.split()[:2] for line in answer.split("\r\n") if line.startswith("m=")] == [
        ["m=audio", "9"],
        ["m=video", "0"],
        ["m=application", "9"],
    ]
    assert "a=group:BUNDLE 0 1\r\n" in answer


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "begin with v=0"),
        ("hello", "begin with v=0"),
        ("v=0\r\n", "no m= line"),
        ("v=0\r\nm=audio\r\n", "cannot be read"),
        ("v=0\r\n" + "a=x\r\n" * 1_001, "lines"),
        ("v=0\r\n" + "x" * LARGEST, "characters"),
        (CHROMIUM + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n" * 8, "m= lines"),
        (CHROMIUM.replace("a=ice-pwd:qaey7RU8oZOqnk64FBD0OOfR\r\n", ""), "ice-pwd"),
        (CHROMIUM.replace("a=ice-ufrag:5Ye1", "a=ice-ufrag:5Y\te1"), "ice-ufrag"),
        (CHROMIUM.replace("a=rtpmap:111 opus/48000/2", "a=rtpmap:111 opus/x"), "cannot be read"),
    ],
)
def test_broken_offers_are_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(SdpBroken, match=why):
        read_offer(text, CODECS)


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("m=audio 9 UDP/TLS/RTP/SAVPF", "m=video 9 UDP/TLS/RTP/SAVPF", "no audio"),
        ("m=audio 9 UDP/TLS/RTP/SAVPF", "m=audio 9 RTP/AVP", "no audio"),
        ("a=rtcp-mux\r\n", "", "rtcp-mux"),
        ("a=sendrecv", "a=inactive", "inactive"),
        (f"a=fingerprint:sha-256 {FINGERPRINT}\r\n", "", "fingerprint"),
        ("a=setup:actpass", "a=setup:passive", "actpass"),
    ],
)
def test_sound_offers_without_what_we_need_are_told_so(before: str, after: str, why: str) -> None:
    with pytest.raises(NothingInCommon, match=why):
        read_offer(changed(before, after), CODECS)


def test_no_common_codec_names_ours() -> None:
    with pytest.raises(NothingInCommon, match="PCMA"):
        read_offer(
            changed(" 111 63 9 0 8 13 110 126", " 9").replace("a=rtpmap:111 opus", "a=rtpmap:111 x"), CODECS
        )


@given(st.text(max_size=400))
def test_anything_is_read_or_refused(text: str) -> None:
    for written in (text, "v=0\r\n" + text):
        with pytest.raises((SdpBroken, NothingInCommon)):
            read_offer(written, CODECS)


@given(st.data())
def test_any_spoilt_offer_is_read_or_refused(data: st.DataObject) -> None:
    lines = CHROMIUM.split("\r\n")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        lines[at] = data.draw(
            st.sampled_from(["", "a=", "m=audio", lines[at][:7], lines[at] + " 99999999999"])
        )
    try:
        offer = read_offer("\r\n".join(lines), CODECS)
    except (SdpBroken, NothingInCommon):
        return
    assert write_answer(offer, OURS).startswith("v=0")


def candidate(host: str, port: int = 5_000, kind: str = "host", transport: str = "udp") -> Candidate:
    return Candidate("f", 1, transport, 1, host, port, kind)


@pytest.mark.parametrize(
    "hostile",
    [
        candidate("224.0.0.1"),
        candidate("0.0.0.0"),
        candidate("255.255.255.255"),
        candidate("::"),
        candidate("ff02::1"),
        candidate("metadata.internal"),
        candidate("a1b2.local"),
        candidate("192.0.2.1", 22),
        candidate("192.0.2.1", 70_000),
        candidate("192.0.2.1", transport="tcp"),
        candidate("192.0.2.1", kind="prflx"),
    ],
)
def test_hostile_candidates_are_never_asked(hostile: Candidate) -> None:
    assert [c.host for c in usable([hostile, candidate("192.0.2.7")])] == ["192.0.2.7"]


def test_candidates_are_bounded_and_asked_once() -> None:
    many = [candidate(f"198.51.100.{i % 250}", 2_000 + i) for i in range(1_000)]
    assert len(usable(many)) == MOST_CANDIDATES
    assert len(usable([candidate("192.0.2.1")] * 5)) == 1


def test_a_fragment_brings_candidates_or_a_new_session() -> None:
    brought = read_fragment(
        "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
        "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0\r\n"
        "a=end-of-candidates\r\n"
    )
    assert brought.ice == IceLogin("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1")
    assert [c.port for c in brought.candidates] == [61764]
    assert read_fragment("a=end-of-candidates\r\n").ice is None


@pytest.mark.parametrize(
    "text", ["hello", "a=candidate:1 1 udp", "a=ice-ufrag:EsAw\r\n", "x" * (LARGEST + 1)]
)
def test_broken_fragments_are_refused(text: str) -> None:
    with pytest.raises(SdpBroken):
        read_fragment(text)


@given(st.text(max_size=200))
def test_any_fragment_is_read_or_refused(text: str) -> None:
    try:
        read_fragment(text)
    except SdpBroken:
        return


def test_our_side_of_a_restart() -> None:
    told = write_fragment("0", IceLogin("wxyz", "p" * 22), OURS.candidates)
    again = read_fragment(told.replace("127.0.0.1", "192.0.2.1"))
    assert again.ice == IceLogin("wxyz", "p" * 22)
    assert len(again.candidates) == 1


def test_secrets_are_not_shown() -> None:
    assert "qaey7RU8" not in repr(read_offer(CHROMIUM, CODECS))
