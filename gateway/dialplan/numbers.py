"""Addresses as patterns see them: without decoration, and as E.164 numbers where they are such."""

from __future__ import annotations

import functools
import re

import phonenumbers

_SEPARATORS = re.compile(r"[\s.()\-]+")
_NUMBER = re.compile(r"\+?[\d*#]+")
_DIALLED = re.compile(r"\+?[0-9]{6,20}")
"""What may be a number of the telephone network; extensions are shorter."""


def normalise(address: str) -> str:
    """An address as patterns see it.

    Scheme, host and parameters of a SIP or tel URI go, the visual separators of a number go (RFC 3966
    section 5.1.1), letters become small.
    """
    text = re.sub(r"^(sips?|tel):", "", address.strip(), flags=re.IGNORECASE)
    text = text.partition("@")[0].partition(";")[0].strip().lower()
    bare = _SEPARATORS.sub("", text)
    return bare if _NUMBER.fullmatch(bare) else text


@functools.lru_cache(maxsize=4096)
def e164(normalised: str, region: str) -> str:
    """The number as `+49301234567`, when it is one that exists as dialled in this region; else "".

    `region`: ISO 3166 alpha-2, such as DE; without one only numbers that begin with + are known.
    """
    if not _DIALLED.fullmatch(normalised):
        return ""
    try:
        number = phonenumbers.parse(normalised, region or None)
    except phonenumbers.NumberParseException:
        return ""
    if not phonenumbers.is_valid_number(number):
        return ""
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def spellings(address: str, region: str) -> tuple[str, ...]:
    """Every form of an address that a pattern may mean: as it came, and as an E.164 number."""
    plain = normalise(address)
    number = e164(plain, region)
    return (plain, number) if number and number != plain else (plain,)


def is_region(region: str) -> bool:
    """Whether numbers of this region (ISO 3166 alpha-2) are known."""
    return region in phonenumbers.SUPPORTED_REGIONS
