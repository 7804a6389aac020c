"""When an agent counts as down, and for how long."""

from __future__ import annotations

from gateway.plan_health import MISSES, REST, AgentHealth


def test_an_agent_that_fails_again_and_again_rests_for_a_while() -> None:
    at, told = [0.0], list[str]()
    health = AgentHealth(lambda: at[0], lambda kind, name, outcome, seconds: told.append(outcome))
    for _ in range(MISSES - 1):
        health.done("agent", "desk", "AgentError", 0.1)
    assert health.down() == frozenset()
    health.done("agent", "desk", "AgentError", 0.1)
    assert health.down() == {"desk"} and told == ["AgentError"] * MISSES
    at[0] = REST
    assert health.down() == frozenset(), "it may be tried again"
    health.done("agent", "desk", "AgentError", 0.1)
    assert health.down() == {"desk"}, "and one more failure is enough"
    health.done("agent", "desk", "ok", 0.1)
    assert health.down() == frozenset()


def test_what_nobody_wanted_any_more_and_what_engines_do_is_no_failure() -> None:
    health = AgentHealth(lambda: 0.0, lambda *outcome: None)
    for _ in range(MISSES):
        health.done("agent", "desk", "cancelled", 0.1)
        health.done("tts", "desk", "EngineFailed", 0.1)
    assert health.down() == frozenset()
