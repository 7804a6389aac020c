"""Recordings that apps asked for: where they lie, and where they are fetched.

A recording is a WAV file named by its RecordingSid, so an address leads to its file without a table, also
after a restart and from any node that shares the folder.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable
from datetime import datetime
from email.utils import format_datetime
from pathlib import Path

from gateway.secret import Secret
from gateway.twilio_ids import is_sid, recording_sid
from gateway.twiml.host import Recording

FOLDER = "twiml"
"""Within `node.record_dir`."""


class RecordingShelf:
    """One per node."""

    def __init__(self, record_dir: Path, account: str, token: Secret, base: Callable[[], str]) -> None:
        """`base`: where this node's API is reached, without a slash at its end."""
        self._folder = record_dir / FOLDER
        self._account = account
        self._token = token
        self._base = base

    def path(self, sid: str) -> Path:
        """Where a recording lies, or will lie. Raises `ValueError` for what is no RecordingSid."""
        if not is_sid(sid, "RE"):
            raise ValueError("not a RecordingSid")
        return self._folder / f"{sid}.wav"

    def url(self, sid: str) -> str:
        """Where an app fetches it, with the account's name and token."""
        return f"{self._base()}/2010-04-01/Accounts/{self._account}/Recordings/{sid}"

    def find(self, account: str, name: str) -> Path | None:
        """The file of an address's last part, `RE…` or `RE….wav`; None when there is none."""
        sid = name.removesuffix(".wav")
        if account != self._account or not is_sid(sid, "RE"):
            return None
        path = self.path(sid)
        return path if path.is_file() else None

    def admits(self, authorization: str) -> bool:
        """Whether Basic authorization names the account and its token; never without a token."""
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic" or not self._token:
            return False
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        wanted = f"{self._account}:{self._token.reveal()}".encode()
        return hmac.compare_digest(given, wanted)


class CallRecordings:
    """Those of one call, numbered."""

    def __init__(self, shelf: RecordingShelf, call_id: str, wall: Callable[[], datetime]) -> None:
        self._shelf = shelf
        self._call_id = call_id
        self._wall = wall
        self._count = 0

    def new(self, channels: int = 1) -> Recording:
        """One that begins now."""
        self._count += 1
        sid = recording_sid(self._call_id, self._count)
        return Recording(sid, self._shelf.url(sid), 0.0, format_datetime(self._wall()), channels)

    def path(self, recording: Recording) -> Path:
        """Where its sound goes."""
        return self._shelf.path(recording.sid)
