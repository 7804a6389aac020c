"""What the proxy tells local services: a signed, short-lived statement. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from license.entitlement import Answer, BadTerms, Terms, read_answer
from license.signature import derived_key, public_of, seal, unseal

GRANT_SECONDS = 300.0
"""How long a grant counts as an answer; what it says is remembered for the grace period."""

_KIND = "offhook-grant+jwt"
_PURPOSE = "offhook licence grants"


@dataclass(frozen=True, slots=True)
class Grant:
    """The proxy's word at one moment. Times are seconds since 1970."""

    answer: Answer | None
    """The last good answer of the vendor, or a licence file's terms; None: there is none yet."""
    connected: bool
    """Whether the vendor can be reached."""
    used_seconds: float
    """Sound of this calendar month, of the whole site."""
    at: float
    until: float


def grant_key(licence_key: str) -> str:
    """The private key with which the proxy signs; whoever has the licence key can make it."""
    return derived_key(licence_key, _PURPOSE)


def issue_grant(grant: Grant, answer_text: str, private: str) -> str:
    """The grant, signed. `answer_text`: the vendor's own signed words; "" for a licence file's terms."""
    terms = grant.answer.terms.claims() if grant.answer and not answer_text else None
    claims = {
        "answer": answer_text,
        "terms": terms,
        "connected": grant.connected,
        "used_seconds": grant.used_seconds,
        "at": grant.at,
        "until": grant.until,
    }
    return seal(_KIND, claims, private)


def read_grant(text: str, private: str, vendor_public: str) -> Grant:
    """The grant, with the vendor's words in it checked too. Raises `BadSignature`, `BadTerms`."""
    claims = unseal(_KIND, text, public_of(private))
    try:
        at, until = float(claims["at"]), float(claims["until"])
        used = float(claims.get("used_seconds", 0.0))
    except (KeyError, TypeError, ValueError):
        raise BadTerms("the grant says no time") from None
    answer, terms = None, claims.get("terms")
    if words := claims.get("answer"):
        answer = read_answer(str(words), vendor_public)
    elif isinstance(terms, dict):
        answer = Answer(Terms.read(terms), checked_at=at)
    return Grant(answer, claims.get("connected") is True, used, at, until)
