"""Digest authentication of incoming requests (RFC 3261 section 22, RFC 7616 with MD5). Pure."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from media.legs.sip_settings import TrunkSettings

_PAIR = re.compile(r'([a-zA-Z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_NONCE_LIFE_S = 60.0
"""Seconds that a challenge may be answered: long for a slow peer, short for a replayed one."""


class DigestGate:
    """Challenges INVITEs and checks the answers. Nonces carry their own age and proof, so nothing is kept."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)

    def challenge(self, realm: str, now: float, *, stale: bool = False) -> str:
        """Value of a WWW-Authenticate header; `now` is monotonic seconds."""
        tail = ", stale=true" if stale else ""
        return f'Digest realm="{realm}", nonce="{self._nonce(now)}", algorithm=MD5, qop="auth"{tail}'

    def accepts(self, authorization: str, method: str, trunk: TrunkSettings, now: float) -> bool:
        """Whether an Authorization value proves the trunk's inbound user for this method."""
        fields = parse_digest(authorization)
        if fields.get("username") != trunk.inbound_user or fields.get("realm") != trunk.realm:
            return False
        if not self._fresh(fields.get("nonce", ""), now):
            return False
        expected = digest_response(fields, method, trunk.inbound_password)
        return hmac.compare_digest(expected.encode(), fields.get("response", "").lower().encode())

    def is_stale(self, authorization: str, now: float) -> bool:
        """Whether the nonce was ours but too old: the peer may try again without asking its user."""
        nonce = parse_digest(authorization).get("nonce", "")
        return self._genuine(nonce) and not self._fresh(nonce, now)

    def _nonce(self, now: float) -> str:
        stamp = f"{int(now * 1000):x}-{secrets.token_hex(8)}"
        return f"{stamp}-{self._sign(stamp)}"

    def _sign(self, stamp: str) -> str:
        return hmac.new(self._key, stamp.encode(), hashlib.sha256).hexdigest()[:32]

    def _genuine(self, nonce: str) -> bool:
        stamp, _, proof = nonce.rpartition("-")
        return bool(stamp) and hmac.compare_digest(self._sign(stamp).encode(), proof.encode())

    def _fresh(self, nonce: str, now: float) -> bool:
        return self._genuine(nonce) and 0 <= now - int(nonce.partition("-")[0], 16) / 1000 <= _NONCE_LIFE_S


def parse_digest(value: str) -> dict[str, str]:
    """Fields of a Digest Authorization value, names in lower case; {} for another scheme or none."""
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() != "digest":
        return {}
    return {
        name.lower(): re.sub(r"\\(.)", r"\1", quoted) if quoted or not plain else plain
        for name, quoted, plain in _PAIR.findall(rest)
    }


def digest_response(fields: dict[str, str], method: str, password: str) -> str:
    """The `response` that these fields demand (RFC 7616 section 3.4.1, MD5, with and without qop=auth)."""
    secret = _md5(f"{fields.get('username', '')}:{fields.get('realm', '')}:{password}")
    request = _md5(f"{method}:{fields.get('uri', '')}")
    if fields.get("qop") == "auth":
        middle = f"{fields.get('nonce', '')}:{fields.get('nc', '')}:{fields.get('cnonce', '')}:auth"
    else:
        middle = fields.get("nonce", "")
    return _md5(f"{secret}:{middle}:{request}")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
