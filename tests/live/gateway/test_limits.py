"""A node that is full, deaf or leaving: who is refused, who may finish, how it ends."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from callers.sipp import CallPlan, Sipp
from tests.live.gateway.listening import SPEECH
from tests.live.gateway.node import Node, eventually

pytestmark = pytest.mark.live

PLAN = f"""
routes:
  - {{name: echo, match: {{called: echo}}, actions: [answer, agent: echo]}}
  - {{name: notice, match: {{called: notice}}, actions: [answer, play: {SPEECH / "queue-youarenext.wav"}]}}
"""
SMALL = {"limits": {"max_calls": 4, "retry_after": 7}, "asr": {"settings": {"max_streams": 2}}}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("small"), SMALL, PLAN) as running:
        yield running


def _answers(trace: Path, code: int) -> list[str]:
    """Every answer of this code that SIPp received, whole."""
    messages = re.split(r"-{20,}[^\n]*\n", trace.read_text(encoding="latin-1"))
    return [message for message in messages if f"SIP/2.0 {code} " in message and "CSeq: 1 INVITE" in message]


def test_a_caller_who_could_not_be_heard_is_refused_before_the_answer(node: Node, tmp_path: Path) -> None:
    trace = tmp_path / "messages"
    with Sipp(CallPlan(node.target, "echo", calls=4, hold_s=2.0), trace_messages=trace) as sipp:
        eventually(lambda: _check_not_ready(node, "asr"))
        counts = sipp.wait()
    assert (counts.answered, counts.busy, counts.failed) == (2, 2, 0), counts
    assert all("Retry-After: 7" in answer for answer in _answers(trace, 503))
    assert len(_answers(trace, 503)) == 2
    eventually(lambda: _check_refused(node, "no_recogniser", 2))
    # Both places are free again, once the calls are tidied and no thread is behind.
    eventually(lambda: _check_calls(node, 0))
    eventually(lambda: _check_ready(node))
    with Sipp(CallPlan(node.target, "echo", calls=2, hold_s=0.5)) as sipp:
        counts = sipp.wait()
    assert counts.answered == 2, (counts, _refusals(node))


def test_over_the_limit_exactly_the_surplus_is_refused(node: Node, tmp_path: Path) -> None:
    eventually(lambda: _check_calls(node, 0))
    trace = tmp_path / "messages"
    with Sipp(CallPlan(node.target, "notice", calls=7, rate=20.0, hold_s=2.0), trace_messages=trace) as sipp:
        eventually(lambda: _check_not_ready(node, "room"))
        counts = sipp.wait()
    assert (counts.answered, counts.busy, counts.failed) == (4, 3, 0), counts
    assert all("Retry-After: 7" in answer for answer in _answers(trace, 503))
    eventually(lambda: _check_refused(node, "full", 3))
    eventually(lambda: _check_calls(node, 0))
    eventually(lambda: _check_ready(node))


def test_a_drain_lets_the_running_call_finish_and_takes_no_other(node: Node, tmp_path: Path) -> None:
    trace = tmp_path / "messages"
    with ExitStack() as both:
        running = both.enter_context(Sipp(CallPlan(node.target, "notice", "4001", hold_s=8.0)))
        eventually(lambda: _check_calls(node, 1))
        node.signal()
        node.logged("draining")
        late = both.enter_context(Sipp(CallPlan(node.target, "notice", hold_s=1.0), trace_messages=trace))
        refused = late.wait()
        assert node.get("/ready").status_code == 503
        finished = running.wait()
    assert (refused.busy, refused.answered) == (1, 0), refused
    assert "Retry-After: 7" in _answers(trace, 503)[0]
    # The announcement of 5.4 s was played to its end, and we hung up.
    assert (finished.hung_up_on, finished.failed) == (1, 0), finished
    assert node.logged("drained")["cut"] == 0
    assert node.wait() == 0
    (record,) = node.records("4001")
    assert record["end_reason"] == "dialplan_hung_up" and record["duration_seconds"] > 5.0


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    with (
        Node(tmp_path, SMALL, PLAN) as node,
        Sipp(CallPlan(node.target, "echo", "4002", hold_s=15.0)) as sipp,
    ):
        eventually(lambda: _check_calls(node, 1))
        node.signal()
        node.logged("draining")
        began = time.monotonic()
        node.signal()
        assert node.wait() == 0
        assert time.monotonic() - began < 5.0
        counts = sipp.wait()
    assert (counts.hung_up_on, counts.failed) == (1, 0), counts
    (record,) = node.records("4002")
    assert record["end_reason"] == "drained"


def _check_calls(node: Node, calls: int) -> None:
    assert len(node.calls()) == calls


def _check_refused(node: Node, reason: str, calls: int) -> None:
    assert node.metrics().get(f'offhook_calls_refused_total{{reason="{reason}"}}') == calls


def _refusals(node: Node) -> dict[str, float]:
    return {name: value for name, value in node.metrics().items() if "refused" in name and value}


def _check_ready(node: Node) -> None:
    answer = node.get("/ready")
    assert answer.status_code == 200, answer.text


def _check_not_ready(node: Node, part: str) -> None:
    answer = node.get("/ready")
    failing = [check["name"] for check in answer.json()["checks"] if not check["ok"]]
    assert answer.status_code == 503 and part in failing
