"""A node as operators run it, called by SIPp: what a caller hears, and what remains of his call."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from callers.sipp import CallCounts, CallPlan, Sipp
from tests.live.gateway.listening import SPEECH, Listener, prompt, same_words, speech, words
from tests.live.gateway.node import Node, eventually

pytestmark = pytest.mark.live

HOPS = ("vad", "rx", "endpoint", "asr_final", "agent", "tts", "tx")

PLAN = f"""
routes:
  - {{name: echo, match: {{called: echo}}, actions: [answer, agent: echo]}}
  - name: desk
    match: {{called: "1000"}}
    actions: [ring: 0.3, answer, say: Welcome to the conference. Please speak., agent: echo]
  - name: notice
    match: {{called: "1001"}}
    actions: [answer, play: {SPEECH / "feature-not-avail-line.wav"}, hangup: 17]
  - {{name: private, match: {{called: "1002", caller: "2002"}}, actions: [answer, agent: echo]}}
  - {{name: busy, match: {{called: "1003"}}, actions: [reject: {{code: 486, reason: Out for lunch}}]}}
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    # Every caller here sends RTP as long as he is there.
    guards = {"session": {"turns": {"guards": {"media_lost": 3.0}}}}
    with Node(tmp_path_factory.mktemp("node"), guards, PLAN) as running:
        yield running


def test_it_says_where_to_call_and_is_ready(node: Node) -> None:
    assert f"sip:echo@127.0.0.1:{node.sip_port}" in node.dialable
    assert not any("1003" in address for address in node.dialable)
    ready = node.get("/ready")
    assert ready.status_code == 200, ready.text


def test_an_echo_call_is_heard_shown_measured_and_recorded(
    node: Node, listener: Listener, tmp_path: Path
) -> None:
    said = prompt("conf-now-recording").text
    plan = CallPlan(node.target, audio=speech(tmp_path, "conf-now-recording"), hold_s=6.5, caller="3001")
    with Sipp(plan) as sipp:

        def shown() -> dict[str, object]:
            calls = [call for call in node.calls() if call["caller"] == "3001"]
            assert [call["phase"] for call in calls] == ["speaking"]
            return calls[0]

        call = eventually(shown)
        counts = sipp.wait()
    assert (counts.answered, counts.failed) == (1, 0), counts
    assert {**call, "call_id": "", "seconds": 0} == {
        "call_id": "", "direction": "inbound", "caller": "3001", "called": "echo", "trunk": "local",
        "route": "echo", "agent": "echo", "phase": "speaking", "codec": "PCMU", "turns": 1, "seconds": 0,
        "stage": "agent", "held_by_us": False, "held_by_them": False,
    }  # fmt: skip
    (record,) = node.records("3001")
    assert record["call_id"] == call["call_id"] and record["end_reason"] == "caller_hung_up"
    assert same_words(said, record["turns"][0]["said"]) >= 0.8
    assert same_words(record["turns"][0]["said"], record["turns"][0]["heard"]) == 1.0
    kept = json.loads((node.records_folder / f"{call['call_id']}.json").read_text())
    assert kept == record == node.get(f"/calls/{call['call_id']}").json()
    assert same_words(said, listener.heard_by_caller(node.recording(record))) >= 0.8
    assert node.calls() == []
    metrics = node.metrics()
    assert [metrics[f'offhook_hop_seconds_count{{hop="{hop}"}}'] for hop in HOPS] == [1.0] * len(HOPS)
    total = metrics["offhook_turn_seconds_sum"]
    assert sum(metrics[f'offhook_hop_seconds_sum{{hop="{hop}"}}'] for hop in HOPS) == pytest.approx(
        total, abs=0.005
    )
    assert 0.2 < total < 3.0
    for kind, engine in (("asr", "moonshine"), ("agent", "echo"), ("tts", "hibari")):
        name = f'offhook_engine_requests_total{{engine="{engine}",kind="{kind}",outcome="ok"}}'
        assert metrics[name] >= 1, name


def test_the_dialplan_says_announces_and_hangs_up(node: Node, listener: Listener, tmp_path: Path) -> None:
    audio = speech(tmp_path, "confbridge-invalid", lead=3.9, room=4.0)
    trace = tmp_path / "messages"
    with ExitStack() as both:
        desk = both.enter_context(Sipp(CallPlan(node.target, "1000", "3002", audio=audio, hold_s=9.8)))
        notice = both.enter_context(
            Sipp(CallPlan(node.target, "1001", "3003", hold_s=9.0), trace_messages=trace)
        )
        hung_up = notice.wait()
        answered = desk.wait()
    assert (answered.answered, answered.failed) == (1, 0), answered
    (record,) = node.records("3002")
    heard = listener.heard_by_caller(node.recording(record))
    assert words(heard)[:2] == ["welcome", "to"]
    assert same_words(prompt("confbridge-invalid").text, heard) >= 0.8
    assert record["codec"] == "PCMU" and record["route"] == "desk"
    assert hung_up.hung_up_on == 1, hung_up
    assert 'Reason: Q.850;cause=17;text="dialplan_hung_up"' in trace.read_text(encoding="latin-1")
    (record,) = node.records("3003")
    assert (record["end_reason"], record["turns"], record["codec"]) == ("dialplan_hung_up", [], "PCMU")
    assert 3.0 < record["duration_seconds"] < 5.0
    spoken = prompt("feature-not-avail-line").text
    assert same_words(spoken, listener.heard_by_caller(node.recording(record))) >= 0.8


@pytest.mark.parametrize(
    ("called", "answer", "label"),
    [
        ("4711", "SIP/2.0 404", "number_unknown"),
        ("1002", "SIP/2.0 403", "caller_forbidden"),
        ("1003", "SIP/2.0 486", "dialplan"),
    ],
)
def test_a_call_that_is_not_meant_to_be_is_refused_and_counted(
    node: Node, tmp_path: Path, called: str, answer: str, label: str
) -> None:
    name = f'offhook_calls_refused_total{{reason="{label}"}}'
    before = node.metrics().get(name, 0.0)
    trace = tmp_path / "messages"
    with Sipp(CallPlan(node.target, called, "3004", hold_s=1.0), trace_messages=trace) as sipp:
        counts = sipp.wait()
    assert (counts.refused, counts.answered, counts.failed) == (1, 0, 0), counts
    assert answer in trace.read_text(encoding="latin-1")
    assert node.metrics()[name] == before + 1


def test_ten_calls_at_once_are_all_answered_in_speech(node: Node, tmp_path: Path) -> None:
    audio = speech(tmp_path, "check-number-dial-again", room=6.0)
    plan = CallPlan(node.target, "echo", "3005", audio=audio, calls=10, rate=10.0, hold_s=8.5)
    with Sipp(plan) as sipp:
        eventually(lambda: _assert_running(node, 10))
        counts = sipp.wait()
    assert (counts.answered, counts.failed) == (10, 0), counts
    records = node.records("3005", 10)
    said = prompt("check-number-dial-again").text
    assert [record["end_reason"] for record in records] == ["caller_hung_up"] * 10
    assert all(same_words(said, record["turns"][0]["heard"]) >= 0.8 for record in records)


def _assert_running(node: Node, calls: int) -> None:
    assert len(node.calls()) == calls


def test_a_changed_dialplan_counts_for_the_next_call_and_a_broken_one_for_none(
    node: Node, tmp_path: Path
) -> None:
    audio = speech(tmp_path, "confbridge-invalid", room=4.0)
    done: list[CallCounts] = []

    def talk() -> None:
        with Sipp(CallPlan(node.target, "echo", "3006", audio=audio, hold_s=6.5)) as sipp:
            done.append(sipp.wait())

    talking = threading.Thread(target=talk)
    talking.start()
    eventually(lambda: _assert_running(node, 1))
    node.dialplan.write_text("routes:\n  - {name: closed, match: {}, actions: [reject: 480]}\n")
    node.logged("dialplan read again")
    assert _refused_with(node, tmp_path / "first") == "480"
    node.dialplan.write_text("routes:\n  - {name: closed, match: {}, actions: [rejct: 480]}\n")
    problem = node.logged("dialplan refused, the old one stays")["problems"][0]
    assert "plan.yaml:2" in problem and 'did you mean "reject"' in problem
    assert _refused_with(node, tmp_path / "second") == "480"
    talking.join()
    assert (done[0].answered, done[0].failed) == (1, 0), done
    (record,) = node.records("3006")
    assert same_words(prompt("confbridge-invalid").text, record["turns"][0]["heard"]) >= 0.8
    metrics = node.metrics()
    assert metrics['offhook_dialplan_reloads_total{outcome="ok"}'] == 1
    assert metrics['offhook_dialplan_reloads_total{outcome="refused"}'] == 1
    node.dialplan.write_text(PLAN)
    node.logged("dialplan read again")


def test_who_hangs_up_in_the_middle_of_a_reply_heard_its_beginning(node: Node, tmp_path: Path) -> None:
    audio = speech(tmp_path, "check-number-dial-again", room=3.0)
    with Sipp(CallPlan(node.target, "echo", "3008", audio=audio, hold_s=4.4)) as sipp:
        assert sipp.wait().answered == 1
    (turn,) = node.records("3008")[0]["turns"]
    assert turn["interrupted"] and turn["heard"]
    assert turn["reply"].startswith(turn["heard"]) and turn["heard"] != turn["reply"]


def test_a_caller_who_vanished_is_not_kept(node: Node, tmp_path: Path) -> None:
    audio = speech(tmp_path, "check-number-dial-again", room=0.5)
    plan = CallPlan(
        node.target, "echo", "3009", "churn", audio=audio, loop=True, calls=2, hold_s=0.5, vanish_share=1.0
    )
    with Sipp(plan) as sipp:
        assert sipp.wait().vanished == 2
    records = node.records("3009", 2)
    assert [record["end_reason"] for record in records] == ["media_lost"] * 2
    assert all(2.5 < record["duration_seconds"] < 6.0 for record in records)
    eventually(lambda: _assert_running(node, 0))


def _refused_with(node: Node, trace: Path) -> str:
    with Sipp(CallPlan(node.target, "echo", "3007", hold_s=1.0), trace_messages=trace) as sipp:
        assert sipp.wait().refused == 1
    messages = trace.read_text(encoding="latin-1")
    return next(line.split()[1] for line in messages.splitlines() if line.startswith("SIP/2.0 4"))
