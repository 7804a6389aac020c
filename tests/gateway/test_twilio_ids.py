from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.twilio_ids import account_sid, call_sid, is_sid, recording_sid, session_sid, stream_sid

KINDS: dict[str, Callable[[str], str]] = {
    "AC": account_sid,
    "CA": call_sid,
    "MZ": stream_sid,
    "VX": session_sid,
    "RE": recording_sid,
}


@pytest.mark.parametrize("kind", KINDS)
@given(name=st.text(max_size=60))
def test_every_name_gives_34_characters_of_its_kind(kind: str, name: str) -> None:
    sid = KINDS[kind](name)
    assert len(sid) == 34
    assert is_sid(sid, kind)


def test_identifiers_stay_what_they_are() -> None:
    # An app may have kept it: another release must give the same call the same one.
    assert call_sid("sip-0-00c0ffee") == "CA15d0a461181b3fffdc47aa251468776b"
    assert account_sid("offhook") == "ACfdcf1fafdc9b0a555a29a55db83d6694"


def test_calls_streams_and_kinds_are_told_apart() -> None:
    sids = [call_sid("a"), call_sid("b"), stream_sid("a"), stream_sid("a", 1), session_sid("a")]
    assert len({sid[2:] for sid in sids}) == len(sids)


@pytest.mark.parametrize(
    "text", ["", "CA", "CA" + "g" * 32, "ca" + "0" * 32, "AC" + "0" * 32, "CA" + "0" * 33]
)
def test_anything_else_is_no_call_sid(text: str) -> None:
    assert not is_sid(text, "CA")
