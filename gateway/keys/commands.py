"""What `offhook keys` does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from gateway.errors import KeyUnknown, RequestUnfit
from gateway.keys.key import Key, Scope, made
from gateway.keys.keyring import Keyring

_SPAN = re.compile(r"(\d{1,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
USUAL = (Scope.LISTEN, Scope.SPEAK)


def create(
    keyring: Keyring,
    name: str,
    scopes: Sequence[str],
    expires: str,
    per_minute: int,
    at_once: int,
    now: datetime,
) -> tuple[Key, str]:
    """A new key, kept, and its text. Raises `RequestUnfit` or `FileUnfit`."""
    key, text = made(
        name,
        _scopes(scopes),
        now,
        expires=_moment(expires, now) if expires else None,
        per_minute=per_minute,
        at_once=at_once,
    )
    keyring.add(key)
    return key, text


def revoke(keyring: Keyring, key_id: str, now: datetime) -> Key:
    """Refuse the key from now on. Raises `KeyUnknown` or `FileUnfit`."""
    found = keyring.revoke(key_id.strip(), now)
    if found is None:
        raise KeyUnknown(f"there is no key {key_id!r}; `offhook keys list` shows those that there are")
    return found


def table(keys: Iterable[Key], now: datetime) -> list[list[str]]:
    """One row for each key: id, name, scopes, created, expires, limits, state."""
    rows = [["id", "name", "scopes", "created", "expires", "per minute", "at once", "state"]]
    for key in sorted(keys, key=lambda key: key.created):
        rows.append(
            [
                key.key_id,
                key.name,
                ",".join(sorted(key.scopes)),
                f"{key.created:%Y-%m-%d %H:%M}",
                f"{key.expires:%Y-%m-%d %H:%M}" if key.expires else "never",
                str(key.per_minute or "-"),
                str(key.at_once or "-"),
                state(key, now),
            ]
        )
    return rows


def state(key: Key, now: datetime) -> str:
    """`good`, `revoked` or `expired`."""
    if key.revoked is not None:
        return "revoked"
    return "expired" if key.expires is not None and key.expires <= now else "good"


def _scopes(names: Sequence[str]) -> list[Scope]:
    known = [scope.value for scope in Scope]
    wrong = [name for name in names if name not in known]
    if wrong:
        raise RequestUnfit(f"{', '.join(wrong)}: no such scope; choose {', '.join(known)}", field="scope")
    return [Scope(name) for name in names] or list(USUAL)


def _moment(text: str, now: datetime) -> datetime:
    """`90d`, or a date such as 2027-01-31, or both with a time."""
    if span := _SPAN.fullmatch(text.strip()):
        return now + timedelta(seconds=int(span.group(1)) * _SECONDS[span.group(2)])
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise RequestUnfit(
            "give a span such as 90d or 12h, or a date such as 2027-01-31", field="expires"
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment <= now:
        raise RequestUnfit(f"{text} is over already", field="expires")
    return moment
