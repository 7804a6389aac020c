from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.agents.media_stream_messages import (
    Clear,
    Malformed,
    Mark,
    Play,
    Stream,
    StreamWriter,
    read_message,
)

GOLDEN = Path(__file__).resolve().parents[2] / "data/media_stream"
SID = "MZ00000000000000000000000000000001"
STREAM = Stream(
    SID,
    "AC00000000000000000000000000000002",
    "CA00000000000000000000000000000003",
    parameters={"customer": "zoë"},
)


def lines(name: str) -> list[str]:
    return (GOLDEN / name).read_text(encoding="utf-8").splitlines()


def test_what_an_app_is_sent() -> None:
    writer = StreamWriter(STREAM)
    sent = [
        writer.connected(),
        writer.start(),
        writer.media("inbound", b"\xff" * 4, 0),
        writer.media("inbound", b"~" * 4, 20),
        writer.dtmf("#"),
        writer.mark("greeting"),
        writer.stop(),
    ]
    assert sent == lines("to_app.jsonl")


def test_chunks_are_counted_for_each_track() -> None:
    writer = StreamWriter(Stream(SID, "AC", "CA", ("inbound", "outbound")))
    sent = [json.loads(writer.media(track, b"", 0)) for track in ("inbound", "outbound", "inbound")]
    assert [(message["sequenceNumber"], message["media"]["chunk"]) for message in sent] == [
        ("1", "1"), ("2", "1"), ("3", "2"),
    ]  # fmt: skip


def test_what_an_app_may_send() -> None:
    assert [read_message(line, SID) for line in lines("from_app_good.jsonl")] == [
        Play(b"\xff" * 4), Play(b""), Mark("end of greeting"), Clear(),
    ]  # fmt: skip


@pytest.mark.parametrize("line", lines("from_app_bad.jsonl"))
def test_what_an_app_may_not_send(line: str) -> None:
    with pytest.raises(Malformed):
        read_message(line, SID)


@pytest.mark.parametrize(
    "line",
    [b"\x00", "[" * 100_000, json.dumps({"event": "mark", "streamSid": SID, "mark": {"name": "x" * 257}})],
)
def test_what_no_line_of_a_file_can_hold(line: str | bytes) -> None:
    with pytest.raises(Malformed):
        read_message(line, SID)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "event": st.sampled_from(["media", "mark", "clear", "stop"]) | ANY,
        "streamSid": st.just(SID) | ANY,
        "media": st.fixed_dictionaries({}, optional={"payload": ANY}) | ANY,
        "mark": st.fixed_dictionaries({}, optional={"name": ANY}) | ANY,
    },
)


@given(MESSAGES.map(json.dumps) | st.text(max_size=60) | st.binary(max_size=60))
def test_whatever_comes_is_read_or_malformed(text: Any) -> None:
    try:
        assert isinstance(read_message(text, SID), Play | Mark | Clear)
    except Malformed as malformed:
        assert str(malformed)
