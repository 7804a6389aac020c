"""SHA-256 of files, and what a written digest looks like."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

_DIGEST = re.compile(r"[0-9a-fA-F]{64}")


def is_digest(text: str) -> bool:
    """Whether the text is a SHA-256 in hexadecimal."""
    return _DIGEST.fullmatch(text) is not None


def digest_of(path: Path) -> str:
    """The file's SHA-256, lower case. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
