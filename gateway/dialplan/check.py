"""What a plan that can be read would still do wrong: what never happens, what never ends, what costs money.

Each finding is a `Problem` with its line, its field and the cure. A finding may be meant as it is; a mistake
that makes a plan unusable is told by `Dialplan.load` instead.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from gateway.dialplan import cover, variables
from gateway.dialplan.actions import ConnectAgent, GoToRoute, SetVariables
from gateway.dialplan.actions_ask import Gather, Menu, Record, Voicemail
from gateway.dialplan.actions_reach import Bridge, Transfer, Webhook
from gateway.dialplan.match import Route
from gateway.dialplan.plan import Dialplan
from gateway.dialplan.steps import Step, Steps, walk
from gateway.problems import Problem, nearest

_WAITS = (Gather, Menu, ConnectAgent, Bridge, Record, Voicemail)
"""Actions in which a caller may end, or change, what goes on."""
_REACHES = (ConnectAgent, Transfer, Bridge, Webhook)
"""Actions that need somebody beyond this node."""
_CALLERS = frozenset({"caller", "called", "gathered", "digits", "transcript"})
"""Variables that a caller chooses."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the configuration has; None: not known, so not looked at."""

    trunks: Collection[str] | None = None
    webhooks: bool | None = None
    """Whether a secret signs them."""


def findings(plan: Dialplan, known: Known | None = None) -> list[Problem]:
    """Everything worth a look, in the order of the file."""
    known = known or Known()
    found = [
        *_never_reached(plan),
        *_circles(plan),
        *_uncovered(plan),
        *_paid(plan),
        *_branches(plan),
        *_variables(plan),
        *_settings(plan, known),
    ]
    return sorted(set(found), key=lambda one: (one.source, one.line, one.field, one.what))


# -- routes that never happen, and calls that never end ----------------------------------------------------


def _never_reached(plan: Dialplan) -> Iterator[Problem]:
    jumped = _reachable(plan, [route.name for route in plan.routes if not route.match.never])
    for number, route in enumerate(plan.routes):
        if route.match.never:
            if route.name not in jumped:
                yield _of(route, "match", "no `goto` leads here, and no call can", "remove it, or go to it")
            continue
        for earlier in plan.routes[:number]:
            if cover.covers(earlier.match, route.match):
                what = f'never taken: the route "{earlier.name}" before it takes every such call'
                yield _of(route, "match", what, "move it up, or narrow the other")
                break


def _reachable(plan: Dialplan, names: list[str]) -> frozenset[str]:
    """These routes, and those that they lead to."""
    seen: set[str] = set()
    waiting = [*names, *_targets(plan.fallback)]  # any call may come to the fallback
    while waiting:
        name = waiting.pop()
        route = plan.named(name)
        if name not in seen and route is not None:
            seen.add(name)
            waiting += _targets(route.steps)
    return frozenset(seen)


def _targets(steps: Steps) -> list[str]:
    return [step.action.route for step in walk(steps) if isinstance(step.action, GoToRoute)]


def _circles(plan: Dialplan) -> Iterator[Problem]:
    """Routes that lead back to themselves without ever waiting for a caller."""
    leads = {route.name: dict(_unwaited(route.steps)) for route in plan.routes}
    for route in plan.routes:
        for target, step in leads[route.name].items():
            if _leads_to(leads, target, route.name):
                what = f'goes round for ever: "{target}" comes back here, and nothing waits for the caller'
                yield step.spot.problem(what, "ask something on the way, or end it with `hangup`")


def _unwaited(steps: Steps) -> Iterator[tuple[str, Step]]:
    """`goto`s that are reached without having waited."""
    for step in steps:
        if isinstance(step.action, GoToRoute):
            yield step.action.route, step
        # Its lists come after it has waited, but for the fallback of one that could not even begin to.
        inner = [step.fallback] if isinstance(step.action, _WAITS) else list(step.lists())
        for one in inner:
            yield from _unwaited(one)
        if isinstance(step.action, _WAITS):
            return


def _leads_to(leads: Mapping[str, Mapping[str, Step]], start: str, end: str) -> bool:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name == end:
            return True
        if name not in seen:
            seen.add(name)
            waiting += leads.get(name, {})
    return False


# -- failures, and money -----------------------------------------------------------------------------------


def _uncovered(plan: Dialplan) -> Iterator[Problem]:
    """Whoever else is needed may be away; the plan's own fallback covers all."""
    if plan.fallback:
        return
    for route in plan.routes:
        for step in walk(route.steps):
            if isinstance(step.action, _REACHES) and not step.fallback:
                what = f"`{step.word}` may fail, and nothing is said of what happens then"
                cure = "write a `fallback:` beside it, or one for the whole plan at the top of the file"
                yield step.spot.problem(what, cure)


def _paid(plan: Dialplan) -> Iterator[Problem]:
    """Calls that we pay for, and that anybody may bring about."""
    for route in plan.routes:
        if route.match.never or not _anybody(route):
            continue
        for name in sorted(_reachable(plan, [route.name])):
            target = plan.named(name)
            for step in walk(target.steps) if target is not None else ():
                if isinstance(step.action, Transfer | Bridge):
                    yield from _paid_step(route, step, step.action.to)


def _paid_step(route: Route, step: Step, to: str) -> Iterator[Problem]:
    chosen = sorted(name for name in variables.names(to) if name in _CALLERS or name.startswith("header."))
    cure = "narrow `caller` or `trunk` in its match; the rules of `outbound` still decide"
    if chosen:
        what = f'any caller of the route "{route.name}" chooses whom we call, by ${{{chosen[0]}}}'
        yield step.spot.problem(what, cure)
    elif cover.everybody(route.match.called):
        what = f'anybody may call any number by the route "{route.name}", and we pay for `{step.word}`'
        yield step.spot.problem(what, cure)


def _anybody(route: Route) -> bool:
    match = route.match
    return cover.everybody(match.caller) and cover.everybody(match.trunk) and not match.headers


# -- details -----------------------------------------------------------------------------------------------


def _branches(plan: Dialplan) -> Iterator[Problem]:
    """Answers that can never be given."""
    for step in _all(plan):
        if not isinstance(step.action, Gather | Menu | Webhook):
            continue
        keys: dict[str, str] = {}
        for number, branch in enumerate(step.on):
            when = branch.when
            if any(earlier.when.anything for earlier in step.on[:number]):
                what = f'the answer "{when.written}" is never reached: "*" before it takes every answer'
                yield step.spot.problem(what, 'move "*" to the end')
            for key in sorted(when.keys):
                if key in keys:
                    what = f'the key {key} of "{when.written}" belongs to "{keys[key]}" already'
                    yield step.spot.problem(what, "give it another key")
                keys.setdefault(key, when.written)
                if isinstance(step.action, Gather):
                    yield from _key(step, step.action, key)
            if isinstance(step.action, Gather) and not step.action.hears_speech and when.phrases:
                what = f'the words of "{when.written}" are never heard: `input` is digits'
                yield step.spot.problem(what, "write `input: both`")


def _key(step: Step, gather: Gather, key: str) -> Iterator[Problem]:
    digits = gather.digits
    if not digits.min <= len(key) <= digits.max and key != digits.terminator:
        what = f"the answer {key} cannot be keyed: {digits.min} to {digits.max} digits are asked for"
        yield step.spot.problem(what, "change `digits`, or the answer")


def _variables(plan: Dialplan) -> Iterator[Problem]:
    """Names that nothing sets."""
    known = set(variables.BUILT_IN)
    asks = False
    for step in _all(plan):
        if isinstance(step.action, SetVariables):
            known |= set(step.action.values)
        elif isinstance(step.action, Gather):
            known.add(step.action.into)
        asks = asks or isinstance(step.action, Webhook)
    if asks:
        return  # a webhook may set any
    for step in _all(plan):
        for text in _texts(step):
            for name in sorted(variables.names(text) - known):
                if not name.startswith(variables.HEADER):
                    yield step.spot.problem(f"nothing sets the variable {name}", nearest(name, known))


def _texts(step: Step) -> Iterator[str]:
    for name in type(step.action).__dataclass_fields__:
        value = getattr(step.action, name)
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            yield from (text for text in value.values() if isinstance(text, str))


def _settings(plan: Dialplan, known: Known) -> Iterator[Problem]:
    """What the configuration lacks."""
    for step in _all(plan):
        action = step.action
        if isinstance(action, Transfer | Bridge) and known.trunks is not None:
            if action.trunk and action.trunk not in known.trunks:
                what = f'no trunk is called "{action.trunk}"'
                yield step.spot.problem(what, nearest(action.trunk, known.trunks))
        asks = isinstance(action, Webhook) or (isinstance(action, Voicemail) and action.webhook)
        if asks and known.webhooks is False:
            what = "is never sent: nothing signs it"
            yield step.spot.problem(what, "set dialplan.secret; `offhook batch secret` makes one")
    if known.trunks is not None:
        for route in plan.routes:
            for pattern in route.match.trunk:
                if pattern.exact and pattern.written.lower() not in {"local", *map(str.lower, known.trunks)}:
                    what = f'no trunk is called "{pattern.written}"'
                    yield _of(route, "match.trunk", what, nearest(pattern.written, known.trunks))


def _all(plan: Dialplan) -> Iterator[Step]:
    for route in plan.routes:
        yield from walk(route.steps)
    yield from walk(plan.fallback)


def _of(route: Route, field: str, what: str, cure: str) -> Problem:
    source, _, line = route.source.rpartition(":")
    return Problem(source, int(line or 0), f"{route.name}.{field}", what, cure)
