"""The chat agent against an OpenAI-compatible endpoint, from a caller's ear: answers, waits, failures."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from callers.sipp import CallPlan, Sipp
from tests.fakes.chat_endpoint import Answer, ChatEndpoint, Pause, chat_endpoint
from tests.live.gateway.listening import Listener, prompt, same_words, speech
from tests.live.gateway.node import Node
from tests.live.gateway.threaded import threaded

pytestmark = pytest.mark.live

PLAN = "routes:\n" + "".join(
    f"  - {{name: {name}, match: {{called: {name}}}, actions: [answer, agent: {name}]}}\n"
    for name in ("good", "slow", "broken")
)
ANSWER = "Of course. You can dial again in ten minutes."


def served(*answers: Answer) -> AbstractContextManager[tuple[ChatEndpoint, str]]:
    """The endpoint in a thread with a loop of its own."""
    return threaded(lambda: chat_endpoint(*answers))


def _agent(url: str) -> dict[str, object]:
    return {
        "kind": "chat", "base_url": url, "api_key": "secret-key", "model": "m", "greeting": "",
        "first_token_seconds": 2.5, "retries": 0,
    }  # fmt: skip


def test_callers_hear_answers_fillers_and_fallbacks(listener: Listener, tmp_path: Path) -> None:
    with ExitStack() as stack:
        good, good_url = stack.enter_context(
            served(Answer(("Of course. ", "You can dial again ", "in ten minutes.")))
        )
        _, slow_url = stack.enter_context(served(Answer((Pause(30.0), "Too late."))))
        _, broken_url = stack.enter_context(served(Answer(status=500)))
        agents = {"good": _agent(good_url), "slow": _agent(slow_url), "broken": _agent(broken_url)}
        guards = {"filler_after": 1.0, "dead_air": 3.5}
        settings = {"agents": agents, "session": {"turns": {"guards": guards}}}
        node = stack.enter_context(Node(tmp_path, settings, PLAN))
        audio = speech(tmp_path, "check-number-dial-again", room=9.0)
        calls = [
            stack.enter_context(Sipp(CallPlan(node.target, name, name, audio=audio, hold_s=10.0)))
            for name in agents
        ]
        assert [call.wait().answered for call in calls] == [1, 1, 1]
        heard = {}
        for name in agents:
            (record,) = node.records(name)
            heard[name] = listener.heard_by_caller(node.recording(record))
            assert record["end_reason"] == "caller_hung_up", record
        assert "secret-key" not in str(node.log)
    assert same_words(ANSWER, heard["good"]) >= 0.8
    asked = good.requests[0]["messages"][-1]
    assert asked["role"] == "user"
    assert same_words(prompt("check-number-dial-again").text, asked["content"]) >= 0.8
    assert good.keys[0] == "Bearer secret-key"
    apology = "I'm sorry, something went wrong. Please say that again."
    assert same_words("One moment, please. " + apology, heard["slow"]) >= 0.8
    assert same_words(apology, heard["broken"]) >= 0.8
