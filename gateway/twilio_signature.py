"""Twilio's request signature: the proof to an app that a request is ours, and to us that one is Twilio's.

base64(HMAC-SHA1(auth token, URL + every form field's name and value, sorted by name)), in the header
`X-Twilio-Signature` (twilio.com/docs/usage/security#validating-requests). The handshake of a WebSocket is
signed over its `wss://` URL alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping

from gateway.secret import Secret

HEADER = "X-Twilio-Signature"


def signature(token: Secret, url: str, form: Iterable[tuple[str, str]] = ()) -> str:
    """The header's value. `url`: exactly as it is requested, query included; `form`: the body's fields.

    A field that is there twice counts once per different value, as in Twilio's own helper libraries.
    """
    signed = url + "".join(name + value for name, value in sorted(set(form)))
    digest = hmac.new(token.reveal().encode(), signed.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode("ascii")


def headers(token: Secret, url: str, form: Iterable[tuple[str, str]] = ()) -> Mapping[str, str]:
    """What to send along: nothing without a token, since an empty one would prove nothing."""
    return {HEADER: signature(token, url, form)} if token else {}


def is_signed(token: Secret, url: str, form: Iterable[tuple[str, str]], given: str) -> bool:
    """Whether a request that came to `url` was signed with the token; compares in constant time."""
    wanted = signature(token, url, form).encode()
    return bool(token) and hmac.compare_digest(wanted, given.encode("utf-8", "replace"))
