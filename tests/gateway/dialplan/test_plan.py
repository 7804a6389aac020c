"""Dialplans: golden files good and bad, first match wins, nothing but its own error."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialplan.actions import (
    Answer,
    ConnectAgent,
    HangUpCall,
    PlayFile,
    Reject,
    Ring,
    SayText,
)
from gateway.dialplan.match import Arrival, Match, Route
from gateway.dialplan.patterns import compile_pattern
from gateway.dialplan.plan import BUILT_IN, Dialplan, files
from gateway.dialplan.steps import plain
from gateway.errors import CallerForbidden, DialplanError, DialplanFileError, NumberUnknown, verdict
from media.legs.base import Parties

DATA = Path(__file__).parent.parent.parent / "data" / "dialplans"
NOON = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
GOOD = DATA / "good" / "every_action.yaml"


def route(name: str, called: str = "", caller: str = "", trunk: str = "") -> Route:
    asked = [tuple([compile_pattern(text)] if text else []) for text in (called, caller, trunk)]
    return Route(name, Match(asked[0], asked[1], asked[2]), plain(Answer()))


def call(called: str, caller: str = "100", trunk: str = "", at: datetime = NOON) -> Arrival:
    return Arrival(Parties(caller=caller, called=called, trunk=trunk), at)


def test_every_action_is_read_in_every_spelling() -> None:
    plan = Dialplan.load([GOOD], {"echo"})
    assert plan.skipped == ("only-with-chat",)
    assert [r.name for r in plan.routes] == ["office", "closing-time", "plain-hangup", "unlisted", "busy"]
    assert plan.routes[0].actions == (
        Ring(),
        Ring(1.5),
        Ring(2),
        Answer(),
        SayText("Welcome to the office."),
        SayText("One moment."),
        PlayFile(GOOD.parent / "../beep.wav"),
        ConnectAgent("echo"),
    )
    assert plan.routes[1].actions == (Answer(), SayText("1234"), HangUpCall(17))
    assert plan.routes[2].actions == (Answer(), HangUpCall())
    assert plan.routes[3].refuses == Reject(603)
    assert plan.routes[4].refuses == Reject(486, 30, "Busy here")
    assert plan.routes[0].refuses is None
    assert plan.routes[0].agents == {"echo"}
    assert plan.routes[0].source == f"{GOOD}:3"


@pytest.mark.parametrize("path", sorted((DATA / "bad").glob("*.yaml")), ids=lambda path: path.stem)
def test_bad_files_are_told_with_line_field_and_cure(path: Path) -> None:
    with pytest.raises(DialplanFileError) as caught:
        Dialplan.load([path], {"echo"})
    told = str(caught.value).replace(f"{path.parent}/", "")
    assert told == path.with_suffix(".expected").read_text(encoding="utf-8").rstrip("\n")


def test_the_first_match_wins() -> None:
    plan = Dialplan((route("narrow", "100*", caller="55*"), route("wide", "1*"), route("later", "100*")))
    assert plan.route(call("1001", caller="555")).name == "narrow"
    assert plan.route(call("1001", caller="777")).name == "wide"


def test_called_caller_and_trunk_must_all_match() -> None:
    plan = Dialplan((route("all", "10", "+49*", "Carrier-1"),))
    assert plan.route(call("10", "+49 (30) 1", "carrier-1")).name == "all"
    for parties in (call("10", "+43", "carrier-1"), call("10", "+4930", "other"), call("10", "+4930")):
        with pytest.raises(CallerForbidden) as caught:
            plan.route(parties)
        assert verdict(caught.value).sip_code == 403


def test_an_unknown_number_is_404_whoever_calls() -> None:
    plan = Dialplan((route("one", "10"), route("for-some", caller="55*")))
    with pytest.raises(NumberUnknown) as caught:
        plan.route(call("11"))
    assert verdict(caught.value).sip_code == 404
    assert plan.route(call("11", caller="551")).name == "for-some"


def test_several_files_and_folders_make_one_list(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("routes:\n  - {name: b, actions: [reject]}\n")
    (tmp_path / "a.yaml").write_text("routes:\n  - {name: a, actions: [reject]}\n")
    (tmp_path / "notes.txt").write_text("not a dialplan")
    plan = Dialplan.load([DATA / "good" / "folder_a.yaml", tmp_path])
    assert [r.name for r in plan.routes] == ["first", "a", "b"]
    assert files([tmp_path]) == [tmp_path / "a.yaml", tmp_path / "b.yaml"]


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DialplanFileError) as caught:
        Dialplan.load([tmp_path / "none.yaml"])
    assert str(caught.value).endswith("none.yaml: no such file or directory; check the path")


def test_any_agent_goes_when_none_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("routes:\n  - {name: a, actions: [answer, agent: whoever]}\n")
    assert Dialplan.load([path]).routes[0].agents == {"whoever"}


def test_the_built_in_plan_serves_echo_and_chat_when_they_exist() -> None:
    assert Dialplan.load([BUILT_IN], {"echo"}).route(call("echo")).agents == {"echo"}
    with pytest.raises(NumberUnknown):
        Dialplan.load([BUILT_IN], {"echo"}).route(call("chat"))
    assert Dialplan.load([BUILT_IN], {"echo", "chat"}).route(call("CHAT")).agents == {"chat"}
    assert Dialplan.load([BUILT_IN], set()).routes == ()


def test_the_examples_are_good_and_do_what_they_say() -> None:
    plan = Dialplan.load([BUILT_IN.parent / "examples" / "office.yaml"], {"desk"})
    assert plan.skipped == ()
    assert plan.route(call("+49 30 1234 007")).name == "front-desk"
    assert plan.route(call("1001", caller="+43 1 234")).name == "friends"
    assert plan.route(call("1002")).actions[-1] == HangUpCall(22)
    refusal = plan.route(call("1999", trunk="local")).refuses
    assert refusal is not None and refusal.code == 480


_words = st.sampled_from(
    ["routes", "name", "match", "actions", "called", "caller", "answer", "say", "reject", "agent", "play",
     "hangup", "ring", "optional", ":", "\n", "\n  - ", "\n    ", "{", "}", "[", "]", ",", "486", "*",
     "/a+/", "#", "true", "~", "é", "\x00", '"', "|", "&a", "*a"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(_words, max_size=40).map("".join))
def test_no_text_raises_anything_but_a_dialplan_error(text: str) -> None:
    assert_only_dialplan_errors(text)


def assert_only_dialplan_errors(text: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        try:
            plan = Dialplan.load([Path(file.name)], {"echo"})
            plan.route(call("1"))
        except DialplanError:
            return
    assert all(r.actions for r in plan.routes)


_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["name", "match", "actions", "called", "say", "reject", "ring", "code", "seconds", "x"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(_plain, max_size=3))
def test_no_data_raises_anything_but_a_dialplan_error(routes: list[object]) -> None:
    # JSON is YAML: this reaches every branch behind the parser.
    assert_only_dialplan_errors(json.dumps({"routes": routes}))


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=20))
def test_no_address_raises_anything_but_a_dialplan_error(called: str, caller: str, trunk: str) -> None:
    plan = Dialplan.load([GOOD], {"echo"})
    try:
        assert plan.route(Arrival(Parties(caller, called, trunk), NOON)) in plan.routes
    except DialplanError:
        pass
