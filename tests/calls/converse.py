"""One conversation on one leg, and nothing around it: what a call is without a dialplan."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.agents.base import Agent
from gateway.calls.call import Call
from gateway.calls.observer import SessionObserver
from gateway.calls.record import CallRecord
from gateway.calls.session import CallSession
from gateway.calls.settings import CallFacts, Engines, SessionSettings
from gateway.calls.stage import CallOver
from media.legs.base import EndReason, Leg


async def converse(
    leg: Leg,
    engines: Engines,
    agent: Agent,
    settings: SessionSettings,
    observers: Sequence[SessionObserver] = (),
    meet: Callable[[CallSession, Call], None] = lambda session, call: None,
) -> CallRecord:
    """Serve the leg to its end; `meet` is shown the conversation before it runs."""
    call = Call(leg, CallFacts("call-1"), observers)
    call.open()
    session = CallSession(call, engines, agent, settings)
    meet(session, call)
    reason = EndReason.INTERNAL_ERROR
    try:
        end = await session.run()
        reason = end.reason if isinstance(end, CallOver) else EndReason.AGENT_HUNG_UP
    finally:
        record = await call.close(reason)
    return record
