"""Whom a route can reach for a caller: another telephone, or a server that knows more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gateway.dialplan import variables
from gateway.dialplan.actions import between
from gateway.dialplan.actions_ask import check_url

_FIXED = re.compile(r"(?:(?:sips?|tel):)?[A-Za-z0-9+*#._@:;=\[\]() -]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Transfer:
    """Send the caller to somebody else, and be done with the call."""

    to: str
    """A number, or a SIP or tel URI; variables may stand for a number or a name."""
    how: Literal["refer", "bridge"] = "refer"
    """`refer`: the caller's own network calls the target, and we are out of it (REFER, RFC 3515);
    `bridge`: we call the target and stay between the two until one of them hangs up."""
    trunk: str = ""
    """Trunk of the configuration to dial through, for `bridge`; "" takes the one the call came through."""
    caller: str = ""
    """Number to show, for `bridge`; "" shows the caller's own where the trunk allows it."""
    ring_seconds: float = 30.0
    """How long the target may ring, 1 to 180, before that counts as failure."""

    def __post_init__(self) -> None:
        check_target(self.to)
        variables.check(self.caller)
        between("ring_seconds", self.ring_seconds, 1, 180)


@dataclass(frozen=True, slots=True)
class Bridge:
    """Dial somebody and connect the two; when they have done, the next action follows."""

    to: str
    """A number, or a SIP or tel URI; variables may stand for a number or a name."""
    trunk: str = ""
    """Trunk of the configuration to dial through; "" takes the one the call came through."""
    caller: str = ""
    """Number to show; "" shows the caller's own where the trunk allows it."""
    ring_seconds: float = 30.0
    """How long it may ring, 1 to 180, before that counts as failure."""
    play: Path | None = None
    """WAV file that the caller hears meanwhile, again and again; without one he hears it ring."""

    def __post_init__(self) -> None:
        check_target(self.to)
        variables.check(self.caller)
        between("ring_seconds", self.ring_seconds, 1, 180)


@dataclass(frozen=True, slots=True)
class Webhook:
    """Ask a server. Its JSON answer may set variables (`set`) and choose a branch of `on` (`choose`)."""

    url: str
    """http or https; variables may stand after the host, and are escaped."""
    seconds: float = 3.0
    """Within which the whole answer must be there, 0.1 to 30: the caller waits for it."""
    send: Mapping[str, str] = field(default_factory=dict)
    """What the body carries beside the facts of the call, by name; texts with `${name}`."""

    def __post_init__(self) -> None:
        check_url("url", self.url)
        between("seconds", self.seconds, 0.1, 30)
        if len(self.send) > 50:
            raise ValueError("send: carries at most 50 values")
        for text in self.send.values():
            variables.check(text)


@dataclass(frozen=True, slots=True)
class Twiml:
    """Let an app have the call that answers with TwiML, as it would at Twilio. When it cannot be asked, or
    answers what cannot be run, the fallback follows."""

    url: str = ""
    """The app; variables may stand after the host, and are escaped."""
    method: Literal["GET", "POST"] = "POST"
    """How it is asked."""
    fallback_url: str = ""
    """Asked when anything of the app fails, before the plan's own fallback; "" for none."""
    fallback_method: Literal["GET", "POST"] = "POST"
    """How that is asked."""
    status_callback: str = ""
    """Told how the call goes; "" for nobody."""
    status_callback_method: Literal["GET", "POST"] = "POST"
    """How it is told."""
    status_events: tuple[Literal["initiated", "ringing", "answered", "completed"], ...] = ("completed",)
    """What it is told."""
    document: str = ""
    """TwiML itself, in place of `url`."""

    def __post_init__(self) -> None:
        if bool(self.url) == bool(self.document):
            raise ValueError("url: give the app's address, or a `document` in its place")
        for name in ("url", "fallback_url", "status_callback"):
            if getattr(self, name):
                check_url(name, getattr(self, name))


def check_target(to: str) -> None:
    """Raises `ValueError` for what cannot be dialled, whatever its variables hold."""
    try:
        variables.check(to)
    except ValueError as error:
        raise ValueError(f"to: {error}") from None
    fixed = variables.fill(to, {}, str)
    if not to.strip() or len(to) > 256 or not _FIXED.fullmatch(fixed):
        raise ValueError('to: must be a number or an address, like "+49 30 1234" or sip:desk@pbx.example')
