"""Identifiers in Twilio's form: two letters that tell the kind, and 32 hexadecimal digits.

Twilio's clients check the form and use the identifiers as keys. Ours are hashes of names that we have anyway,
so that every part of the node comes to the same one without a table, and a record's call id leads to the
identifier that an app was given.
"""

from __future__ import annotations

import hashlib
import re

_SID = re.compile(r"[A-Z]{2}[0-9a-f]{32}")


def account_sid(node: str) -> str:
    """AccountSid (AC...) of everything that the node of this name (`node.name`) serves."""
    return _sid("AC", node)


def call_sid(call_id: str) -> str:
    """CallSid (CA...) of a call."""
    return _sid("CA", call_id)


def stream_sid(call_id: str, number: int = 0) -> str:
    """StreamSid (MZ...) of a call's media stream; `number` tells several streams of one call apart."""
    return _sid("MZ", f"{call_id}/{number}")


def session_sid(call_id: str, number: int = 0) -> str:
    """SessionId (VX...) of a call's ConversationRelay session; `number` as for `stream_sid`."""
    return _sid("VX", f"{call_id}/{number}")


def recording_sid(call_id: str, number: int = 0) -> str:
    """RecordingSid (RE...) of a call's recording; `number` as for `stream_sid`."""
    return _sid("RE", f"{call_id}/{number}")


def is_sid(text: str, kind: str) -> bool:
    """Whether `text` has the form of an identifier of this kind, `CA` say."""
    return text.startswith(kind) and _SID.fullmatch(text) is not None


def _sid(kind: str, name: str) -> str:
    digest = hashlib.blake2b(name.encode(), digest_size=16, person=b"offhook " + kind.encode())
    return kind + digest.hexdigest()
