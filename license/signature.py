"""Signed statements: JSON Web Signatures in the compact form (RFC 7515) with Ed25519 (RFC 8037)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

_LONGEST = 65_536


class BadSignature(ValueError):
    """Not signed by whom it should be, altered, or no statement at all."""


def new_key() -> str:
    """A private key, base64url."""
    key = Ed25519PrivateKey.generate()
    return _text(key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))


def derived_key(secret: str, purpose: str) -> str:
    """A private key that whoever knows the secret can make again (RFC 5869); one for each purpose."""
    kdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=purpose.encode())
    return _text(kdf.derive(secret.encode()))


def public_of(private: str) -> str:
    """The public key that goes with a private one. Raises `BadSignature` for what is no key."""
    return _text(_private(private).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def seal(kind: str, claims: Mapping[str, Any], private: str) -> str:
    """The claims as a signed statement of this kind."""
    head = _text(json.dumps({"alg": "EdDSA", "typ": kind}, separators=(",", ":")).encode())
    body = _text(json.dumps(claims, separators=(",", ":"), sort_keys=True).encode())
    return f"{head}.{body}.{_text(_private(private).sign(f'{head}.{body}'.encode()))}"


def unseal(kind: str, statement: str, public: str) -> dict[str, Any]:
    """The claims of a statement of this kind that this key signed. Raises `BadSignature`."""
    if len(statement) > _LONGEST or statement.count(".") != 2:
        raise BadSignature("not a signed statement")
    signed, _, signature = statement.strip().rpartition(".")
    head, _, body = signed.partition(".")
    try:
        Ed25519PublicKey.from_public_bytes(_octets(public)).verify(_octets(signature), signed.encode())
        header, claims = json.loads(_octets(head)), json.loads(_octets(body))
    except (InvalidSignature, ValueError, RecursionError):
        raise BadSignature("the statement is not signed by this key, or was altered") from None
    if not isinstance(header, dict) or header.get("alg") != "EdDSA" or header.get("typ") != kind:
        raise BadSignature(f"the statement is no {kind}")
    if not isinstance(claims, dict):
        raise BadSignature("the statement holds no claims")
    return claims


def _private(written: str) -> Ed25519PrivateKey:
    try:
        return Ed25519PrivateKey.from_private_bytes(_octets(written))
    except ValueError:
        raise BadSignature("not an Ed25519 key") from None


def _text(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _octets(text: str) -> bytes:
    """Strictly: one text for each sequence of octets, so that nobody can alter a statement unseen."""
    try:
        octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise BadSignature("not base64url") from None
    if _text(octets) != text:
        raise BadSignature("not base64url")
    return octets
