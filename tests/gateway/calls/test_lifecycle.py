from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.calls.lifecycle import TRANSITIONS, CallState, Lifecycle
from media.legs.base import EndReason


def test_a_call_from_ring_to_end() -> None:
    call = Lifecycle()
    assert call.ringing() and call.answered() and call.claim(EndReason.CALLER_HUNG_UP)
    assert call.ended() is EndReason.CALLER_HUNG_UP and call.state is CallState.ENDED


def test_the_first_reason_stays() -> None:
    call = Lifecycle()
    assert call.claim(EndReason.NO_INPUT)
    assert not call.claim(EndReason.CALLER_HUNG_UP)
    assert call.ended() is EndReason.NO_INPUT


def test_no_end_without_a_reason() -> None:
    with pytest.raises(RuntimeError, match="claimed"):
        Lifecycle().ended()


@given(st.lists(st.sampled_from(["ringing", "answered", "claim", "claim again"])))
def test_nothing_goes_back_and_one_claim_wins(steps: list[str]) -> None:
    call, order, claims = Lifecycle(), list(CallState), 0
    for step in steps:
        before = call.state
        match step:
            case "ringing":
                call.ringing()
            case "answered":
                call.answered()
            case _:
                claims += call.claim(EndReason.CANCELLED if step == "claim" else EndReason.REJECTED)
        assert order.index(call.state) >= order.index(before)
    assert claims == (1 if any(step.startswith("claim") for step in steps) else 0)


def test_every_state_leads_to_the_end() -> None:
    for state in CallState:
        seen, todo = set[CallState](), [state]
        while todo:
            seen.add(now := todo.pop())
            todo += [after for after in TRANSITIONS[now] if after not in seen]
        assert CallState.ENDED in seen
