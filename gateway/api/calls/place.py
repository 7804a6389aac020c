"""From what was asked to the call that is placed."""

from __future__ import annotations

from gateway.api.calls.bodies import PlaceCall
from gateway.api.calls.parts import CallControl
from gateway.control.originate import PARKED, Detect, Originate
from gateway.dialplan.actions import Answer, ConnectAgent, HangUpCall, SayText
from gateway.dialplan.match import Match, Route
from gateway.dialplan.plan import Dialplan
from gateway.dialplan.steps import plain
from gateway.errors import RequestUnfit


def order_of(body: PlaceCall, parts: CallControl) -> Originate:
    """The call. Raises `RequestUnfit` with the field."""
    given = [name for name in ("route", "agent", "say") if getattr(body, name)]
    if len(given) > 1:
        raise RequestUnfit(f"give one of route, agent and say, not {' and '.join(given)}", field=given[1])
    plan = parts.plan()
    detection = body.detection
    return Originate(
        to=body.to,
        route=_route(body, parts, plan),
        plan=plan,
        trunk=body.trunk,
        caller=body.from_,
        ring_seconds=body.ring_seconds,
        detect=Detect(detection.mode) if detection is not None else Detect.OFF,
        hangs_up=detection is not None and detection.hang_up,
    )


def _route(body: PlaceCall, parts: CallControl, plan: Dialplan) -> Route:
    if body.agent:
        if body.agent not in parts.agents():
            raise RequestUnfit("no agent is called so", field="agent")
        return Route(body.agent, Match(), plain(Answer(), ConnectAgent(body.agent)))
    if body.say:
        return Route("say", Match(), plain(Answer(), SayText(body.say), HangUpCall()))
    if body.route:
        found = plan.named(body.route)
        if found is None:
            raise RequestUnfit("no route of the dialplan is called so", field="route")
        return found
    return PARKED
