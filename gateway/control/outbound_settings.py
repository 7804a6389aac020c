"""Which calls may be placed, how many and how dear. Without a rule: none."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import phonenumbers


@dataclass(frozen=True, slots=True)
class OutboundRule:
    """What may be called through one trunk. The trunk itself must have `outbound: true` as well."""

    trunk: str
    """Name of a trunk of `sip.trunks`."""
    allow: tuple[str, ...] = ()
    """Beginnings of the numbers that may be called, with their country code, such as `+4930`; `*` for every
    number. Numbers that cost extra are no part of it (see `premium`). The longest that fits decides."""
    deny: tuple[str, ...] = ()
    """Beginnings of numbers that may not be called; of two that are as long, this one counts."""
    extensions: tuple[str, ...] = ()
    """What may be called that is no number of a country's plan: patterns such as `1???` or `desk`. `*` lets
    everything through, also prefixes that make a number dear: only for a PBX that has rules of its own."""
    premium: bool = False
    """Let numbers through that cost extra: premium, shared-cost, personal and satellite numbers. They must
    be in `allow`, too."""
    emergency: bool = False
    """Let emergency numbers through. A machine that calls them by mistake is an offence in most countries."""
    region: str = ""
    """Country (ISO 3166, such as `DE`) whose national numbers may be dialled without a country code; where
    none is given, what has no plus is an extension."""
    plus: bool = True
    """Dial numbers with a plus; off for a carrier that wants bare digits."""
    caller: str = ""
    """Calling number shown where nobody names one; "" is the trunk's `user`."""
    callers: tuple[str, ...] = ()
    """Calling numbers that may be shown: patterns such as `+4930123*`; none named: any."""
    per_minute: int = 10
    """Calls begun in any minute, 1 to 6,000; transfers count."""
    at_once: int = 5
    """Calls at once, 1 to 1,900."""
    daily_minutes: int = 600
    """Minutes in a day (UTC), begun ones count whole; 0 to 1,000,000. Calls end when they are used up."""
    daily_cost: float = 0.0
    """Money for a day (UTC), 0 to 1,000,000; 0: not counted. Calls are ended when it is used up."""
    prices: Mapping[str, float] = field(default_factory=dict)
    """Price of a minute by beginning of the number, the longest counts; `*` for all others. A call without a
    price is refused where `daily_cost` is set."""
    transfer: bool = True
    """Let us send a far end of this trunk elsewhere by REFER, as far as the numbers above go."""
    refer: bool = False
    """Let a far end of this trunk ask us to call somebody in its place (inbound REFER), as far as the
    numbers above go. The trunk itself must have `refer: ask` as well."""
    refer_ring_seconds: float = 30.0
    """Seconds, 1 to 180, for whoever is called so to answer."""

    def __post_init__(self) -> None:
        for name in ("allow", "deny"):
            for prefix in getattr(self, name):
                if prefix != "*" and not re.fullmatch(r"\+[1-9]\d{0,14}", prefix):
                    raise ValueError(f"{name}: {prefix!r} is no beginning of a number; write +49 or *")
        for prefix, price in self.prices.items():
            if prefix != "*" and not re.fullmatch(r"\+[1-9]\d{0,14}", prefix):
                raise ValueError(f"prices: {prefix!r} is no beginning of a number; write +49 or *")
            if not 0 <= price <= 10_000:
                raise ValueError("prices: must lie between 0 and 10000 a minute")
        if self.region and self.region not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError(f"region: {self.region!r} is no country; write DE, US, ...")
        limits: dict[str, tuple[float, float]] = {
            "per_minute": (1, 6_000),
            "at_once": (1, 1_900),
            "daily_minutes": (0, 1_000_000),
            "daily_cost": (0, 1_000_000),
            "refer_ring_seconds": (1, 180),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: must lie between {low:g} and {high:g}")

    def shows(self, caller: str) -> bool:
        """Whether this calling number may be shown."""
        return not self.callers or any(fnmatch.fnmatchcase(caller, pattern) for pattern in self.callers)


@dataclass(frozen=True, slots=True)
class OutboundSettings:
    """Calls of ours. Nothing may be called, and nobody sent elsewhere, until a rule allows it."""

    rules: tuple[OutboundRule, ...] = ()
    """One for each trunk that may place calls; tried in this order where a call names no trunk."""

    def __post_init__(self) -> None:
        names = [rule.trunk for rule in self.rules]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"rules: trunk {min(twice)!r} has two; put them into one")

    def rule(self, trunk: str) -> OutboundRule | None:
        """The rule of that trunk."""
        return next((rule for rule in self.rules if rule.trunk == trunk), None)
