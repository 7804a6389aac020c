"""What somebody means who wants a number or an address called, and whether it costs extra. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType, shortnumberinfo

_USER = re.compile(r"[A-Za-z0-9+*#_.\-]{1,64}")
"""Users that can stand in a URI as they are, and mean nothing else there."""
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.\-]{1,253})(:\d{1,5})?")
_SEPARATORS = re.compile(r"[\s.()/\-]+")
_COSTLY_TYPES = frozenset(
    {
        PhoneNumberType.PREMIUM_RATE,
        PhoneNumberType.SHARED_COST,
        PhoneNumberType.PERSONAL_NUMBER,
        PhoneNumberType.PAGER,
    }
)
_COSTLY_CODES = frozenset({870, 878, 881, 882, 883, 979})
"""Satellites, universal personal numbers, networks without a country, international premium (ITU-T E.164)."""
_EMERGENCY = frozenset({"112", "911"})
"""Where no region says what its own are."""


class NotDiallable(ValueError):
    """Neither a number nor a SIP or tel URI that we would write into a request."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to call."""

    user: str
    """What is dialled: E.164 with its plus where it is a number, else as it was written."""
    is_number: bool
    """A number that exists by its country's plan; all else is an extension or a name."""
    host: str = ""
    """Host, or `host:port`, where the address named one."""
    costly: bool = False
    """Premium, shared-cost, personal, satellite and the like."""
    emergency: bool = False


def read_target(written: str, region: str = "") -> Target:
    """Read a number, or a SIP or tel URI; parameters and headers of a URI are not taken over.

    `region`: ISO 3166 code of the country whose national numbers may be written without a country code; ""
    reads only numbers that begin with a plus. Raises `NotDiallable`.
    """
    scheme, colon, rest = written.strip().partition(":")
    kind = scheme.lower() if colon else ""
    if kind in ("sip", "sips"):
        user, at, host = rest.partition("?")[0].rpartition("@")
        if not at:
            raise NotDiallable("a SIP URI needs somebody before its host: sip:number@host")
        user, host = user.partition(";")[0].partition(":")[0], host.partition(";")[0]
        if not _HOST.fullmatch(host):
            raise NotDiallable("the URI's host is none")
        return _target(unquote(user), region, host)
    if kind == "tel":
        number, _, parameters = rest.partition(";")
        context = re.search(r"(?:^|;)phone-context=(\+[\d.\-]+)", parameters, re.IGNORECASE)
        prefix = context.group(1) if context and not number.startswith("+") else ""
        return _target(prefix + unquote(number), region)
    if colon:
        raise NotDiallable("not a number, nor a SIP or tel URI")
    return _target(written.strip(), region)


def _target(user: str, region: str, host: str = "") -> Target:
    bare = _SEPARATORS.sub("", user)
    number = _number(bare, region)
    emergency = _is_emergency(bare, region)
    if number is not None and not emergency:
        e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        return Target(e164, True, host, _is_costly(number))
    digits = bare if re.fullmatch(r"\+?[\d*#]+", bare) else user
    if not _USER.fullmatch(digits):
        raise NotDiallable("holds characters that no number or name has; use letters, digits, + * # - _ .")
    return Target(digits, False, host, False, emergency)


def _number(bare: str, region: str) -> PhoneNumber | None:
    if not re.fullmatch(r"\+?\d{3,20}", bare) or not bare.isascii():
        return None
    try:
        number = phonenumbers.parse(bare, region or None)
    except phonenumbers.NumberParseException:
        return None
    return number if phonenumbers.is_valid_number(number) else None


def _is_costly(number: PhoneNumber) -> bool:
    return number.country_code in _COSTLY_CODES or phonenumbers.number_type(number) in _COSTLY_TYPES


def _is_emergency(bare: str, region: str) -> bool:
    if bare in _EMERGENCY:
        return True
    return bool(region) and bare.isdigit() and shortnumberinfo.connects_to_emergency_number(bare, region)
