"""What a licence grants, and what its vendor says of it. Pure: signatures in, facts out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from license.signature import seal, unseal

LICENCE = "offhook-licence+jwt"
"""Kind of the statement that is a licence file."""
ANSWER = "offhook-licence-answer+jwt"
"""Kind of the vendor's answer to a check."""
DAY = 86_400.0


class BadTerms(ValueError):
    """Signed, but nothing that grants anything."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is granted. Times are seconds since 1970."""

    licence_id: str
    expires: float
    """No new work from then on."""
    grace_seconds: float = DAY
    """How long new work is taken although the vendor cannot be reached; 0 to 30 days."""
    features: tuple[str, ...] = ()
    """What may be done: `calls`, `streams` (requests and sockets of the speech APIs); empty: everything.
    Other names grant nothing."""
    max_calls: int = 0
    """Calls at once; 0: as many as the node carries."""
    max_streams: int = 0
    """Requests and sockets of the speech APIs at once; 0: as many as the node carries."""
    hours: float = 0.0
    """Hours of calls, of sound heard and of sound spoken, of the whole site in a calendar month (UTC); 0: no
    limit."""

    def claims(self) -> dict[str, Any]:
        """As they are signed."""
        return asdict(self)

    @classmethod
    def read(cls, claims: Mapping[str, Any]) -> Terms:
        """The terms in signed claims. Raises `BadTerms`."""
        licence_id = claims.get("licence_id")
        if not isinstance(licence_id, str) or not 1 <= len(licence_id) <= 128:
            raise BadTerms("licence_id: a name of 1 to 128 characters is needed")
        features = claims.get("features", ())
        if not isinstance(features, list | tuple) or not all(isinstance(one, str) for one in features):
            raise BadTerms("features: a list of names is needed")
        return cls(
            licence_id=licence_id,
            expires=_number(claims, "expires", 0, 1e11, None),
            grace_seconds=_number(claims, "grace_seconds", 0, 30 * DAY, DAY),
            features=tuple(features),
            max_calls=int(_number(claims, "max_calls", 0, 1e9, 0)),
            max_streams=int(_number(claims, "max_streams", 0, 1e9, 0)),
            hours=_number(claims, "hours", 0, 1e9, 0),
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What the vendor said at one moment."""

    terms: Terms
    checked_at: float
    """By the vendor's clock."""
    revoked: bool = False
    nonce: str = ""
    """What the asker sent: a fresh answer carries it, a replayed one cannot."""


def issue_licence(terms: Terms, vendor_key: str) -> str:
    """A licence file's text."""
    return seal(LICENCE, terms.claims(), vendor_key)


def read_licence(text: str, vendor_public: str) -> Terms:
    """The terms of a licence file. Raises `BadSignature`, `BadTerms`."""
    return Terms.read(unseal(LICENCE, text, vendor_public))


def issue_answer(answer: Answer, vendor_key: str) -> str:
    """The vendor's answer, signed."""
    claims = {
        "terms": answer.terms.claims(),
        "checked_at": answer.checked_at,
        "revoked": answer.revoked,
        "nonce": answer.nonce,
    }
    return seal(ANSWER, claims, vendor_key)


def read_answer(text: str, vendor_public: str) -> Answer:
    """The vendor's answer. Raises `BadSignature`, `BadTerms`."""
    claims = unseal(ANSWER, text, vendor_public)
    terms, nonce = claims.get("terms"), claims.get("nonce", "")
    if not isinstance(terms, dict) or not isinstance(nonce, str):
        raise BadTerms("the answer holds no terms")
    return Answer(
        Terms.read(terms), _number(claims, "checked_at", 0, 1e11, None), claims.get("revoked") is True, nonce
    )


def _number(claims: Mapping[str, Any], name: str, low: float, high: float, default: float | None) -> float:
    value = claims.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadTerms(f"{name}: a number is needed")
    if not low <= value <= high:
        raise BadTerms(f"{name}: must lie between {low:g} and {high:g}")
    return float(value)
