"""The guard against toll fraud: which calls of ours are allowed, and how many. Pure; time comes in.

A stolen key or a bent dialplan must not buy premium numbers, nor more than a day's money of any. So each
minute of a call is paid before it begins, out of what the day has left; what cannot be paid is not talked.
"""

from __future__ import annotations

import fnmatch
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from gateway.control.numbers import NotDiallable, Target, read_target
from gateway.control.outbound_settings import OutboundRule, OutboundSettings
from gateway.errors import DialDenied

_MINUTE = 60.0
_UNITS = 10_000
"""Money is counted in ten-thousandths, as whole numbers: nothing is lost by rounding sums."""


@dataclass(slots=True)
class Spent:
    """What a trunk has used of a day."""

    minutes: int = 0
    cost: int = 0
    """In ten-thousandths."""


@dataclass(slots=True)
class Permit:
    """One call that may be placed. `Guard.release` it when it is over."""

    rule: OutboundRule
    target: Target
    price: int
    """Of a minute, in ten-thousandths."""
    held: bool = True
    """Its first minute is laid aside, and not used yet."""
    over: bool = False


@dataclass(slots=True)
class _Line:
    """What is counted of one trunk."""

    begun: deque[float] = field(default_factory=deque)
    running: int = 0
    held_minutes: int = 0
    held_cost: int = 0
    days: dict[str, Spent] = field(default_factory=dict)


class Guard:
    """Judges every call of ours and every transfer. Counts refusals by reason."""

    def __init__(self, settings: OutboundSettings) -> None:
        self._settings = settings
        self._lines: dict[str, _Line] = defaultdict(_Line)
        self.denied: Counter[str] = Counter()
        """By reason: a closed list, fit for metrics."""

    def admit(self, trunk: str, written: str, caller: str, now: float, day: str) -> Permit:
        """A permit for a call. `day`: the date, UTC. Raises `DialDenied`."""
        if not trunk:
            return self._first(written, caller, now, day)
        with self._counted():
            rule, target = self._judge(trunk, written)
            if caller and not rule.shows(caller):
                raise DialDenied(f"trunk {trunk} may not show this calling number", reason="caller")
            price = self._price(rule, target)
            line = self._lines[trunk]
            self._room(rule, line, now)
            self._payable(rule, line, price, day)
        line.begun.append(now)
        line.running += 1
        line.held_minutes += 1
        line.held_cost += price
        return Permit(rule, target, price)

    def may_send(self, trunk: str, written: str, now: float) -> Target:
        """Whether we may send a far end there by REFER. Counts as a call begun. Raises `DialDenied`."""
        with self._counted():
            rule, target = self._judge(trunk, written)
            if not rule.transfer:
                told = f"the rule of trunk {trunk} does not say transfer: true"
                raise DialDenied(told, reason="transfer")
            line = self._lines[trunk]
            self._rate(rule, line, now)
        line.begun.append(now)
        return target

    def may_be_asked(self, trunk: str, written: str, now: float, day: str) -> Target:
        """Whether a far end may have us call somebody: as `admit`, which follows and counts it.

        Raises `DialDenied`.
        """
        with self._counted():
            rule, target = self._judge(trunk, written)
            self._asks(rule)
            price = self._price(rule, target)
            line = self._lines[trunk]
            self._room(rule, line, now)
            self._payable(rule, line, price, day)
        return target

    def may_be_asked_here(self, trunk: str, now: float) -> None:
        """Whether a far end may have somebody sent to a number of our own dialplan.

        No call of ours follows, so its prefixes do not count, and its rate does. Raises `DialDenied`.
        """
        with self._counted():
            rule = self._rule(trunk)
            self._asks(rule)
            line = self._lines[trunk]
            self._rate(rule, line, now)
        line.begun.append(now)

    def answered(self, permit: Permit, day: str) -> None:
        """The first minute begins; it was laid aside before."""
        if permit.held and not permit.over:
            self._unhold(permit)
            self._spend(permit, day)

    def another(self, permit: Permit, day: str) -> bool:
        """Pay one more minute; False when the day's money or minutes do not reach: end the call."""
        line = self._lines[permit.rule.trunk]
        try:
            with self._counted():
                self._payable(permit.rule, line, permit.price, day)
        except DialDenied:
            return False
        self._spend(permit, day)
        return True

    def release(self, permit: Permit) -> None:
        """The call is over. Idempotent."""
        if permit.over:
            return
        permit.over = True
        self._lines[permit.rule.trunk].running -= 1
        if permit.held:
            self._unhold(permit)

    def spent(self, trunk: str, day: str) -> Spent:
        """What was used of that day."""
        return self._lines[trunk].days.get(day) or Spent()

    def learn(self, trunk: str, day: str, spent: Spent) -> None:
        """What all nodes together have used of the day, or this one before it started again."""
        known = self._day(self._lines[trunk], day)
        known.minutes = max(known.minutes, spent.minutes)
        known.cost = max(known.cost, spent.cost)

    def trunks(self, trunk: str) -> Sequence[str]:
        """The trunks that a call may be sent through: the one named, or all that have rules."""
        return [trunk] if trunk else [rule.trunk for rule in self._settings.rules]

    def stats(self) -> dict[str, float]:
        """Refusals by reason."""
        return {name: float(count) for name, count in self.denied.items()}

    # ------------------------------------------------------------------------------------------- the rules

    def _first(self, written: str, caller: str, now: float, day: str) -> Permit:
        """By the first trunk whose rule allows it."""
        last = DialDenied("nothing may be called: no rule under outbound.rules", reason="no_rule")
        for rule in self._settings.rules:
            try:
                return self.admit(rule.trunk, written, caller, now, day)
            except DialDenied as denied:
                last = denied
        if not self._settings.rules:
            self.denied[last.reason] += 1
        raise last

    def _rule(self, trunk: str) -> OutboundRule:
        rule = self._settings.rule(trunk)
        if rule is None:
            told = f"trunk {trunk} has no rule under outbound.rules that lets it place calls"
            raise DialDenied(told, reason="no_rule")
        return rule

    def _judge(self, trunk: str, written: str) -> tuple[OutboundRule, Target]:
        rule = self._rule(trunk)
        try:
            target = read_target(written, rule.region)
        except NotDiallable as unfit:
            raise DialDenied(f"cannot be called: {unfit}", reason="unfit") from None
        if target.emergency and not rule.emergency:
            raise DialDenied("emergency numbers are not called from here", reason="emergency")
        if target.is_number:
            self._number(rule, target)
        elif not any(fnmatch.fnmatchcase(target.user, pattern) for pattern in rule.extensions):
            told = f"no rule of trunk {trunk} lets this extension be called, and it is no country's number"
            raise DialDenied(told, reason="extension")
        return rule, target

    def _number(self, rule: OutboundRule, target: Target) -> None:
        allowed, denied = _longest(rule.allow, target.user), _longest(rule.deny, target.user)
        if allowed is None:
            raise DialDenied(f"no rule of trunk {rule.trunk} allows this number", reason="prefix")
        if denied is not None and len(denied.lstrip("*")) >= len(allowed.lstrip("*")):
            raise DialDenied(f"trunk {rule.trunk} may not call numbers that begin so", reason="denied_prefix")
        if target.costly and not rule.premium:
            raise DialDenied("the number costs extra; the rule does not say premium: true", reason="premium")

    def _price(self, rule: OutboundRule, target: Target) -> int:
        prefix = _longest(rule.prices, target.user)
        if prefix is not None:
            return round(rule.prices[prefix] * _UNITS)
        if rule.daily_cost:
            raise DialDenied("the number has no price, and the day's money is limited", reason="no_price")
        return 0

    def _room(self, rule: OutboundRule, line: _Line, now: float) -> None:
        if line.running >= rule.at_once:
            told = f"trunk {rule.trunk} may have {rule.at_once} calls at once"
            raise DialDenied(told, reason="at_once", retry_after=10)
        self._rate(rule, line, now)

    def _rate(self, rule: OutboundRule, line: _Line, now: float) -> None:
        while line.begun and line.begun[0] <= now - _MINUTE:
            line.begun.popleft()
        if len(line.begun) >= rule.per_minute:
            wait = max(1, round(line.begun[0] + _MINUTE - now + 0.5))
            told = f"trunk {rule.trunk} may begin {rule.per_minute} calls a minute"
            raise DialDenied(told, reason="rate", retry_after=wait)

    def _asks(self, rule: OutboundRule) -> None:
        if not rule.refer:
            raise DialDenied(f"the rule of trunk {rule.trunk} does not say refer: true", reason="refer")

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count what is denied, by its reason."""
        try:
            yield
        except DialDenied as denied:
            self.denied[denied.reason] += 1
            raise

    # ------------------------------------------------------------------------------------------- the money

    def _payable(self, rule: OutboundRule, line: _Line, price: int, day: str) -> None:
        """Whether one more minute fits into the day, beside those that are laid aside."""
        spent = self._day(line, day)
        if spent.minutes + line.held_minutes + 1 > rule.daily_minutes:
            told = f"trunk {rule.trunk} has used its {rule.daily_minutes} minutes of today"
            raise DialDenied(told, reason="daily_minutes")
        if rule.daily_cost and spent.cost + line.held_cost + price > round(rule.daily_cost * _UNITS):
            raise DialDenied(f"trunk {rule.trunk} has used its money of today", reason="daily_cost")

    def _spend(self, permit: Permit, day: str) -> None:
        spent = self._day(self._lines[permit.rule.trunk], day)
        spent.minutes += 1
        spent.cost += permit.price

    def _unhold(self, permit: Permit) -> None:
        permit.held = False
        line = self._lines[permit.rule.trunk]
        line.held_minutes -= 1
        line.held_cost -= permit.price

    def _day(self, line: _Line, day: str) -> Spent:
        if day not in line.days:
            for old in [known for known in line.days if known < day][:-1]:
                del line.days[old]
            line.days[day] = Spent()
        return line.days[day]


def _longest(prefixes: Iterable[str], number: str) -> str | None:
    """The longest beginning that the number has; `*` is the shortest of all."""
    fitting = [prefix for prefix in prefixes if prefix == "*" or number.startswith(prefix)]
    return max(fitting, key=lambda prefix: len(prefix.lstrip("*")), default=None)
