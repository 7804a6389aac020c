"""Signatures as minisign writes them: Ed25519 over a BLAKE2b-512 of the file.

Source: the minisign page, "Signature format" and "Public key format" (jedisct1.github.io/minisign).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from engines.models.base import ModelUnfit

LONGEST = 8192
"""Octets of a signature's file."""
_UNTRUSTED, _TRUSTED = "untrusted comment: ", "trusted comment: "
_CHUNK = 4 << 20


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Whose signatures are believed."""

    number: bytes
    """Eight octets by which a signature names its key."""
    key: bytes


@dataclass(frozen=True, slots=True)
class Signature:
    """What somebody signed."""

    number: bytes
    of_file: bytes
    comment: str
    of_comment: bytes


def read_key(text: str) -> PublicKey:
    """The key in one line, as `minisign -G` prints it. Raises ValueError."""
    octets = _octets(text.strip().splitlines()[-1] if text.strip() else "", 42)
    if octets[:2] != b"Ed":
        raise ValueError("is no minisign public key")
    return PublicKey(octets[2:10], octets[10:])


def read_signature(text: str) -> Signature:
    """A `.minisig` file. Raises ValueError, also for the old kind that signs the file itself."""
    lines = text.splitlines()
    if len(lines) < 4 or not lines[0].startswith(_UNTRUSTED) or not lines[2].startswith(_TRUSTED):
        raise ValueError("is no minisign signature")
    octets = _octets(lines[1], 74)
    if octets[:2] != b"ED":
        raise ValueError("is not made over the file's hash; sign it with a current minisign")
    return Signature(octets[2:10], octets[10:], lines[2].removeprefix(_TRUSTED), _octets(lines[3], 64))


def check(path: Path, signature: str, key: PublicKey, shown: str, seen: Callable[[int], None]) -> None:
    """Raises `ModelUnfit` unless the holder of the key signed this file. `seen`: octets read so far."""
    try:
        read = read_signature(signature)
    except ValueError as error:
        raise ModelUnfit(f"{shown}: its signature {error}") from None
    if read.number != key.number:
        raise ModelUnfit(f"{shown}: is signed by another key than models.signer")
    digest, done = hashlib.blake2b(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            seen(done)
    public = Ed25519PublicKey.from_public_bytes(key.key)
    try:
        public.verify(read.of_file, digest.digest())
        public.verify(read.of_comment, read.of_file + read.comment.encode())
    except InvalidSignature:
        raise ModelUnfit(f"{shown}: its content is not what the holder of models.signer signed") from None


def _octets(text: str, size: int) -> bytes:
    try:
        octets = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        octets = b""
    if len(octets) != size:
        raise ValueError("is broken: a line is not what minisign writes")
    return octets
