"""Whole calls in virtual time over a chat backend that fails: what is heard, when, and what is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import openai
import pytest

from gateway.agents.chat import ChatAgent
from gateway.agents.chat_settings import ChatSettings
from gateway.agents.tools.http_tools import HttpTools, ToolFailed
from gateway.agents.tools.settings import HttpTool, ToolSettings
from gateway.calls.call_events import AgentFault
from gateway.calls.settings import PhraseSettings
from tests.calls.place_call import Outcome, place_call
from tests.fakes.chat_backend import Line, ScriptedBackend, SlowTools, wish

PHRASES = PhraseSettings()
ASK = (0.5, 1.5, "I want a table.")
FILLER_WITHIN, FALLBACK_WITHIN = 1.5, 4.0
"""Seconds after the caller's last word, as callers hear it."""
LOOK = HttpTool("look", "Looks for a table.", "http://127.0.0.1:9/look", "GET")
REFUSED = openai.APIConnectionError(request=cast(Any, None))


def ask(*scripts: Sequence[Line], http: HttpTools | None = None, until: float = 11.0) -> Outcome:
    tools = ToolSettings(http=(LOOK,)) if http is not None else ToolSettings()
    settings = ChatSettings(base_url="http://127.0.0.1:9/v1", greeting="", tools=tools)
    agent = ChatAgent("desk", ScriptedBackend(settings, *scripts, http=http))
    return place_call([ASK], agent=agent, until=until)


def faults(call: Outcome) -> list[tuple[str, str]]:
    assert all(event.agent == "desk" for event in call.record.events if isinstance(event, AgentFault))
    return [(event.kind, event.action) for event in call.record.events if isinstance(event, AgentFault)]


def after_turn(call: Outcome) -> list[float]:
    """When sound began, in seconds after the caller's last word; a pause of 0.1 s ends a stretch."""
    began: list[float] = []
    last = -1.0
    for start, end in call.audible:
        if start - last > 0.1:
            began.append(start - ASK[1])
        last = end
    return began


def test_a_backend_that_refuses_is_asked_again_and_then_apologised_for() -> None:
    call = ask([REFUSED])
    assert call.watcher.said == [PHRASES.apology]
    assert after_turn(call)[0] < FILLER_WITHIN
    assert faults(call)[-1] == ("refused", "fallback")


def test_a_backend_that_is_slow_gets_a_filler_and_then_the_fallback() -> None:
    call = ask([30.0, "Too late."])
    assert call.watcher.said == [PHRASES.filler, PHRASES.apology]
    filler, fallback = after_turn(call)
    assert filler == pytest.approx(1.4, abs=0.1) and filler <= FILLER_WITHIN
    assert fallback <= FALLBACK_WITHIN
    assert faults(call)[0] == ("slow", "filler") and faults(call)[-1] == ("slow", "fallback")


def test_a_backend_that_is_slow_but_comes_is_heard_after_the_filler() -> None:
    call = ask([3.0, "You can have it."])
    assert call.watcher.said == [PHRASES.filler, "You can have it."]
    assert after_turn(call)[0] <= FILLER_WITHIN
    assert faults(call) == [("slow", "filler")]


def test_a_backend_that_breaks_off_in_mid_sentence_is_heard_so_far() -> None:
    call = ask(["I have found a table. It is by the ", OSError("reset")])
    assert call.watcher.said == ["I have found a table.", PHRASES.apology]
    assert faults(call) == [("cut", "fallback")]


def test_a_backend_that_falls_silent_in_mid_sentence_gets_a_filler_and_then_the_fallback() -> None:
    call = ask(["I have found a table. It is by the ", 30.0])
    assert call.watcher.said == ["I have found a table.", PHRASES.filler, PHRASES.apology]
    first, filler, apology = call.audible
    assert filler[0] - first[1] <= FILLER_WITHIN and apology[0] - first[1] <= FALLBACK_WITHIN
    assert faults(call) == [("slow", "filler"), ("cut", "fallback")]


def test_a_backend_that_sends_garbage_is_apologised_for() -> None:
    call = ask([ValueError("no JSON")])
    assert call.watcher.said == [PHRASES.apology]
    assert after_turn(call)[0] < FILLER_WITHIN
    assert faults(call)[-1] == ("garbage", "fallback")


@pytest.mark.parametrize("text", ["and then there was ", "a", "Here is one more of them. "])
def test_a_backend_that_does_not_stop_is_stopped(text: str) -> None:
    call = ask([text * 50] * 2000, until=600.0)
    assert after_turn(call)[0] < FILLER_WITHIN
    assert sum(map(len, call.watcher.said)) < 300 * 12 + 100
    assert faults(call) == [("endless", "fallback")]
    assert PHRASES.apology in call.watcher.said


def test_a_tool_that_dies_is_told_to_the_model_and_the_caller_is_asked_for_patience() -> None:
    call = ask([wish("look")], ["It cannot be looked up."], http=SlowTools(5.0, ToolFailed("gone")))
    assert call.watcher.said == [PHRASES.filler, "It cannot be looked up."]
    assert after_turn(call)[0] <= FILLER_WITHIN
    assert ("tool", "filler") in faults(call) and faults(call)[-1] == ("tool", "told")


def test_a_backend_that_dies_while_a_tool_works_is_apologised_for() -> None:
    call = ask([wish("look")], [REFUSED], http=SlowTools(0.2, "free"))
    assert call.watcher.said[-1] == PHRASES.apology
    assert after_turn(call)[-1] <= FALLBACK_WITHIN
    assert faults(call)[-1] == ("refused", "fallback")


def test_a_backend_that_always_fails_ends_the_call() -> None:
    settings = ChatSettings(base_url="http://127.0.0.1:9/v1", greeting="", retries=0)
    agent = ChatAgent("desk", ScriptedBackend(settings, [REFUSED]))
    says = [(0.5 + 8 * n, 1.5 + 8 * n, "I want a table.") for n in range(4)]
    call = place_call(says, agent=agent, until=60.0)
    assert call.record.end_reason == "dead_air"
    assert [fault for fault in faults(call) if fault[1] != "retried"] == [
        ("refused", "fallback"), ("refused", "fallback"), ("refused", "ended"),
    ]  # fmt: skip
