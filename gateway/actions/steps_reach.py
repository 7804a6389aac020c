"""The actions that reach somebody else: another telephone, or a server."""

from __future__ import annotations

import re
from typing import Any

from gateway.actions.connected import connect
from gateway.actions.line import Line, StepFailed
from gateway.actions.reach import dial, failure_word
from gateway.actions.webhook import PlanHooks
from gateway.control.dialer import Dialer
from gateway.dialplan import variables
from gateway.dialplan.actions_reach import Bridge, Webhook
from gateway.dialplan.answers import Heard
from gateway.dialplan.steps import Step, Steps
from gateway.webrtc_settings import TRUNK

__all__ = ["bridge", "failure_word", "target", "webhook"]


def target(line: Line, written: str) -> str:
    """The address that a plan wants called. Raises `StepFailed` when a variable holds none."""
    try:
        filled = variables.fill(written, line.values, variables.dialled).strip()
    except ValueError as error:
        raise StepFailed(str(error), "target") from None
    return filled if ":" in filled or "@" in filled else re.sub(r"[\s()]+", "", filled)


async def bridge(line: Line, dialer: Dialer | None, action: Bridge) -> None:
    """Dial, connect, and come back when the other side hung up.

    Raises `CallerGone`, `StepFailed`, `DialDenied`, `DialFailed`.
    """
    if dialer is None:
        raise StepFailed("no calls can be placed here", "denied")
    shown = variables.fill(action.caller, line.values, variables.dialled) if action.caller else ""
    other = await dial(
        line, dialer, target(line, action.to), trunk=action.trunk or _own_trunk(line),
        caller=shown, seconds=action.ring_seconds, music=action.play,
    )  # fmt: skip
    await connect(line, other)


async def webhook(line: Line, step: Step, action: Webhook, hooks: PlanHooks | None) -> Steps | None:
    """Ask a server, and do what it decided. Raises `CallerGone`, `StepFailed`."""
    if hooks is None:
        raise StepFailed("webhooks need dialplan.secret to be set", "webhook")
    url = variables.fill(action.url, line.values, variables.in_url)
    answer = await line.announcer.until(hooks.ask(url, _body(line, action), action.seconds))
    for name, value in answer.values.items():
        line.set(name, variables.plain(value))
    line.set("answer", variables.plain(answer.choose))
    if not answer.choose or not step.on:
        return None
    chosen = Heard(answer.choose, keyed=False)
    fits = (one for one in step.on if one.when.written == answer.choose or one.when.fits(chosen))
    branch = next(fits, None)
    if branch is None:
        raise StepFailed("the webhook chose a branch that the plan does not have", "webhook")
    return branch.steps


def _body(line: Line, action: Webhook) -> dict[str, Any]:
    parties = line.call.leg.parties
    return {
        "call_id": line.call.call_id,
        "caller": parties.caller,
        "called": parties.called,
        "trunk": parties.trunk,
        "route": line.values.get("route", ""),
        "at": line.wall().isoformat(timespec="milliseconds"),
        "values": {
            name: variables.fill(text, line.values, variables.plain) for name, text in action.send.items()
        },
    }


def _own_trunk(line: Line) -> str:
    """The trunk that the caller came through; "" for a page's, which has none: the first that may."""
    trunk = line.call.leg.parties.trunk
    return "" if trunk == TRUNK else trunk
