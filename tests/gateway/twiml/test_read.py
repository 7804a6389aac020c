"""TwiML as apps write it, good and bad, and as Twilio's own builder writes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import TwimlUnfit
from gateway.twiml.read import LONGEST_TEXT, MOST_VERBS, read_document
from gateway.twiml.verbs import (
    Callback,
    Connect,
    ConversationRelay,
    Dial,
    Document,
    Gather,
    Hangup,
    Number,
    Pause,
    Play,
    Record,
    Redirect,
    Refer,
    Reject,
    RelayLanguage,
    Say,
    Sip,
    StartStream,
    StopStream,
    Stream,
    Verb,
)
from gateway.twiml.xml_tree import DEEPEST, MOST_ELEMENTS, MOST_OCTETS

DATA = Path(__file__).resolve().parents[2] / "data" / "twiml"
BUILT: dict[str, str] = json.loads((DATA / "builder.json").read_text(encoding="utf-8"))

MEANT: dict[str, Verb] = {
    "say": Say("Guten Tag", "Polly.Vicki", "de-DE", 2),
    "ssml": Say("Hello world 4 7 1 1 Twilio"),
    "play": Play("https://app.example.com/cow.mp3", "", 3),
    "play-digits": Play("", "ww12#"),
    "pause": Pause(3),
    "gather": Gather(
        speech=True, dtmf=True, action="/answer", method="GET", timeout=3, finish_on_key="*", num_digits=4,
        hints=("sales", "billing department"), language="en-GB", partial_callback="/partial",
        partial_method="GET", action_on_empty=True, barge_in=False, max_speech=20,
        prompts=(Say("Press or say"), Pause(1), Play("menu.wav")),
    ),
    "record": Record(
        "/recorded", "GET", 4, "#", 30, False, "/status", "GET", ("in-progress", "completed"), True,
        "/words",
    ),
    "dial": Dial(
        (Number("+14155550100"),), "/dialled", "GET", 12, 600, "+14155550199", True, "answer", True,
        "/status", answer_on_bridge=True,
    ),
    "dial-nouns": Dial(
        (
            Number(
                "4155550100", "wwww1928",
                Callback("/number", "GET", ("initiated", "ringing", "answered", "completed")),
            ),
            Sip("sip:desk@example.com;transport=tcp?X-Case=7", Callback("/sip")),
        ),
        sequential=True,
    ),
    "redirect": Redirect("../next.xml", "GET"),
    "reject": Reject("busy"),
    "hangup": Hangup(),
    "connect-stream": Connect(
        Stream("wss://bot.example.com/media", "bot", "", "/stream", "GET", (("customer", "7"),)),
        "/after", "GET",
    ),
    "connect-relay": Connect(
        ConversationRelay(
            "wss://bot.example.com/relay",
            (
                ("applicationReconnect", "true"), ("dtmfDetection", "true"), ("eagerEotThreshold", "0.4"),
                ("events", "speaker-events tokens-played"), ("hints", "Offhook, TwiML"),
                ("interruptSensitivity", "low"), ("interruptible", "any"), ("language", "en-US"),
                ("partialPrompts", "true"), ("reportInputDuringAgentSpeech", "dtmf"),
                ("voice", "en-US-Journey-O"), ("welcomeGreeting", "Hello!"),
                ("welcomeGreetingInterruptible", "speech"),
            ),
            (
                RelayLanguage(
                    "sv-SE",
                    (("ttsProvider", "amazon"), ("voice", "Elin"), ("transcriptionProvider", "google")),
                ),
            ),
            (("customer", "7"),),
        ),
        "/after",
    ),
    "start-stream": StartStream(
        Stream("wss://bot.example.com/media", "ear", "both", parameters=(("a", "b"),))
    ),
    "stop-stream": StopStream("ear"),
    "refer": Refer("sip:desk@example.com", "/referred", "GET"),
}  # fmt: skip
"""What each of the builder's documents says."""


def read(inner: str) -> Document:
    return read_document(f"<Response>{inner}</Response>".encode())


def remarks(inner: str) -> list[str]:
    return [str(remark) for remark in read(inner).remarks]


@pytest.mark.parametrize("name", BUILT)
def test_what_twilios_builder_makes_is_read_right(name: str) -> None:
    (verb,) = read_document(BUILT[name].encode()).verbs
    assert verb == MEANT[name]


def test_every_verb_has_its_document() -> None:
    assert set(BUILT) == set(MEANT)


@pytest.mark.parametrize("path", sorted((DATA / "bad").glob("*.xml")), ids=lambda path: path.stem)
def test_what_is_wrong_is_told_with_line_verb_and_attribute(path: Path) -> None:
    octets = path.read_bytes()
    expected = octets.decode().splitlines()[0].removeprefix("<!-- ").removesuffix(" -->")
    with pytest.raises(TwimlUnfit) as raised:
        read_document(octets)
    assert str(raised.value) == expected
    assert 11_000 <= raised.value.code < 32_000


@pytest.mark.parametrize(
    ("inner", "remark"),
    [
        ('<Say voce="alice">Hi</Say>', '<Say> voce: is not known and passed over; did you mean'),
        ('<Gather numDigits="four"/>', '"four" is passed over; expected a number from 1 to 1000'),
        ('<Gather input="speach"/>', '"speach" is passed over; expected some of dtmf, speech'),
        ('<Gather finishOnKey="##"/>', '"##" is passed over; expected one of 0-9, * and #'),
        ('<Gather speechModel="phone_call"/>', "the engines and limits of this node decide"),
        ('<Record maxLength="0"/>', "the nearest is taken"),
        ('<Reject reason="later"/>', '"later" is passed over; expected rejected, busy'),
        ('<Redirect method="PUT">/a</Redirect>', '"PUT" is passed over; expected GET or POST'),
        ('<Dial answerOnBridge="yes">100</Dial>', '"yes" is passed over; expected true or false'),
        ('<Hangup><Say>Hi</Say></Hangup>', "<Say> has no place in it"),
        ('<Connect><Stream url="wss://a/" track="both_tracks"/></Connect>', "takes sound back"),
        ("<Say/>", "has no text"),
        ('<Record trim="do-not-trim"/>', "and nothing else"),
        ('<Dial><Sip username="u">sip:a@b</Sip></Dial>', "the trunk's own are used"),
        ("<Dial><Sip>sip:a@b?X-Case=7</Sip></Dial>", "headers in the address are passed over"),
    ],
)  # fmt: skip
def test_what_twilio_passes_over_is_remarked(inner: str, remark: str) -> None:
    assert any(remark in told for told in remarks(inner)), remarks(inner)
    assert len(read(inner).verbs) == 1


def test_defaults_are_twilios() -> None:
    assert read("<Gather/><Record/><Dial>100</Dial><Pause/><Reject/>").verbs == (
        Gather(),
        Record(),
        Dial((Number("100"),)),
        Pause(1),
        Reject("rejected"),
    )
    assert read("").verbs == ()


def test_a_key_may_be_taken_away_and_a_timeout_left_to_the_endpointing() -> None:
    (gather,) = read('<Gather finishOnKey="" timeout="auto" speechTimeout="2" input="speech"/>').verbs
    assert isinstance(gather, Gather)
    assert (gather.finish_on_key, gather.speech_timeout, gather.dtmf) == ("", 2.0, False)
    assert gather.timeout is None


def test_text_is_read_as_a_person_would() -> None:
    text = """<Say>
        Dear  <prosody rate="slow">customer</prosody>,<break time="1s"/>your code is
        <say-as interpret-as="characters">A4</say-as>. <p>Good bye</p><s>Now!</s> &amp; <![CDATA[<thanks>]]>
    </Say>"""
    (say,) = read(text).verbs
    assert say == Say("Dear customer, your code is A 4 . Good bye. Now! & <thanks>")


def test_a_document_has_bounds() -> None:
    assert len(read("<Pause/>" * MOST_VERBS).verbs) == MOST_VERBS
    for inner, told in (
        ("<Pause/>" * (MOST_VERBS + 1), "verbs"),
        ("<Gather>" + "<Pause/>" * MOST_VERBS + "</Gather>", "verbs"),
        (f"<Say>{'a' * (LONGEST_TEXT + 1)}</Say>", "characters"),
        (f"<Say>{'a' * MOST_OCTETS}</Say>", "64 KB"),
        ("<Say>" + "<p>" * DEEPEST + "</p>" * DEEPEST + "</Say>", "deep"),
        ("<Say>" + "<s/>" * MOST_ELEMENTS + "</Say>", "elements"),
        ("<Dial>" + "<Number>1</Number>" * 11 + "</Dial>", "10 are taken"),
        (f'<Start><Stream url="wss://a/"><Parameter name="{"b" * 501}"/></Stream></Start>', "500"),
    ):  # fmt: skip
        with pytest.raises(TwimlUnfit, match=told):
            read(inner)


def test_a_password_is_not_shown() -> None:
    document = read('<Dial><Sip password="secret">sip:a@b</Sip></Dial>')
    assert "secret" not in repr(document)


@given(st.binary(max_size=200))
def test_octets_are_a_document_or_unfit(octets: bytes) -> None:
    try:
        read_document(octets)
    except TwimlUnfit:
        pass


_NAMES = st.sampled_from(
    ["Say", "Play", "Gather", "Dial", "Number", "Sip", "Connect", "Stream", "Stop", "Start", "Record", "x"]
)  # fmt: skip
_KEYS = st.sampled_from(
    ["url", "loop", "action", "timeout", "numDigits", "digits", "method", "input", "name", "finishOnKey"]
)  # fmt: skip
_VALUES = st.sampled_from(
    ["", "0", "-1", "1e999", "nan", "true", "/a", "wss://a/", "http://[", "#", "GET", "dtmf speech", "\u2603"]
)  # fmt: skip
_TREES = st.recursive(
    st.sampled_from(["", "100", "sip:a@b", "text"]),
    lambda inner: st.builds(
        lambda name, attributes, content: (
            f"<{name} "
            + " ".join(f'{k}="{v}"' for k, v in attributes.items())
            + f">{''.join(content)}</{name}>"
        ),
        _NAMES,
        st.dictionaries(_KEYS, _VALUES, max_size=4),
        st.lists(inner, max_size=3),
    ),
    max_leaves=6,
)


@given(_TREES)
def test_trees_are_a_document_or_unfit(tree: str) -> None:
    try:
        document = read(tree)
    except TwimlUnfit:
        return
    assert len(document.verbs) <= MOST_VERBS
