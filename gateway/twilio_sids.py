"""Names in the shape that Twilio's clients expect: two letters and 32 hexadecimal digits."""

from __future__ import annotations

import hashlib


def sid(prefix: str, name: str) -> str:
    """The SID that stands for `name`, always the same: `CA` a call, `AC` an account, `VX` a relay session.

    It cannot be turned back; whoever needs the way back keeps a table.
    """
    return prefix + hashlib.sha256(f"{prefix} {name}".encode()).hexdigest()[:32]
