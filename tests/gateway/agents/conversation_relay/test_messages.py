"""The protocol on the wire: golden messages both ways, and what is no message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.agents.base import Interruptible
from gateway.agents.conversation_relay import messages
from gateway.agents.conversation_relay.messages import AppMessage, MessageUnfit, read

GOLDEN = Path(__file__).resolve().parents[3] / "data" / "conversation_relay"
TO_APP = json.loads((GOLDEN / "to_app.json").read_text(encoding="utf-8"))
FROM_APP = json.loads((GOLDEN / "from_app.json").read_text(encoding="utf-8"))
BAD = json.loads((GOLDEN / "bad.json").read_text(encoding="utf-8"))
MOST = 65_536

SENT = {
    "setup": messages.Setup(
        "VX00000000000000000000000000000001", "AC00000000000000000000000000000002",
        "CA00000000000000000000000000000003", "+14151234567", "+18881234567", False, {"callReference": "bar"},
    ).message(),
    "prompt": messages.prompt("Hi! Can you tell me about life?", "en-US", last=True),
    "prompt so far": messages.prompt("Hi! Can you", "en-US", last=False),
    "interrupt": messages.interrupt("Life is a complex set of", 460),
    "dtmf": messages.dtmf("1"),
    "error": messages.error("Invalid message: no JSON"),
    "agent speaks": messages.info("agentSpeaking", "on", 1752091234567),
    "words played": messages.info("tokensPlayed", "Life is"),
}  # fmt: skip
TAKEN: list[AppMessage] = [
    messages.Text("text", "Life "),
    messages.Text("text", "", last=True),
    messages.Text("text", "Hallo.", True, "de-DE", False, True),
    messages.Text("text", "Nur Tasten.", True, interruptible="dtmf"),
    messages.Text("text", "New fields do no harm.", True),
    messages.Play("play", "https://api.example.com/cowbell.mp3"),
    messages.Play("play", "https://api.example.com/cowbell.mp3", 0, True, False),
    messages.SendDigits("sendDigits", "9www4085551212#"),
    messages.SetLanguage("language", "sv-SE", "en-US"),
    messages.End("end"),
    messages.End("end", '{"reasonCode":"live-agent-handoff"}'),
]


@pytest.mark.parametrize("name", TO_APP)
def test_what_the_app_is_told(name: str) -> None:
    assert json.loads(SENT[name]) == TO_APP[name]
    assert set(SENT) == set(TO_APP)


@pytest.mark.parametrize(("wire", "message"), list(zip(FROM_APP, TAKEN, strict=True)))
def test_what_the_app_may_say(wire: dict[str, object], message: AppMessage) -> None:
    assert read(json.dumps(wire), MOST) == message


@pytest.mark.parametrize("frame", BAD)
def test_what_is_no_message_is_told_with_the_field(frame: str) -> None:
    with pytest.raises(MessageUnfit) as refused:
        read(frame, MOST)
    assert str(refused.value).startswith("Invalid message: " + BAD[frame])


def test_a_binary_frame_is_no_message() -> None:
    with pytest.raises(MessageUnfit, match="binary frame"):
        read(b'{"type": "end"}', MOST)


@pytest.mark.parametrize("letter", ["x", "ü"])
def test_the_limit_counts_octets(letter: str) -> None:
    frame = json.dumps({"type": "text", "token": letter * 2000}, ensure_ascii=False)
    octets = len(frame.encode())
    assert read(frame, octets)
    with pytest.raises(MessageUnfit, match=f"larger than {octets - 1} octets"):
        read(frame, octets - 1)


def test_a_mistake_is_told_without_what_was_said() -> None:
    with pytest.raises(MessageUnfit) as refused:
        read('{"type": "sendDigits", "digits": "my secret"}', MOST)
    assert "secret" not in str(refused.value)


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_garbage_is_a_message_or_unfit_and_nothing_else(frame: str | bytes) -> None:
    try:
        read(frame, MOST)
    except MessageUnfit:
        pass


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(
    st.dictionaries(
        st.sampled_from(["token", "last", "lang", "source", "loop", "digits", "handoffData", "ttsLanguage"]),
        _JSON,
        max_size=5,
    ),
    st.sampled_from(["text", "play", "sendDigits", "language", "end", "x"]),
)
def test_wrong_types_are_unfit_and_nothing_else(fields: dict[str, object], kind: str) -> None:
    try:
        read(json.dumps({"type": kind, **fields}), MOST)
    except MessageUnfit:
        pass


@pytest.mark.parametrize(
    ("written", "meant"),
    [(None, None), (True, "any"), (False, "none"), ("speech", "speech"), ("dtmf", "dtmf")],
)
def test_booleans_stand_for_any_and_none(written: bool | str | None, meant: str | None) -> None:
    assert messages.interruptible(written) == (None if meant is None else Interruptible(meant))
