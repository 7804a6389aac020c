"""Delivers a message: the sound and what is known of it, side by side, and a word to a server."""

from __future__ import annotations

import asyncio
import json
import os
import re
from datetime import UTC
from pathlib import Path
from typing import Any

from gateway.actions.line import Line
from gateway.actions.taping import Recording

SCHEMA = 1
"""Grows when a field of a message changes its meaning or goes."""
FOLDER = "voicemail"
"""Within the folder of records."""


def place(line: Line, folder: str) -> Path:
    """Where a recording of this call lies that begins now: `<folder>/<time>-<call>.wav`."""
    at = line.wall().astimezone(UTC).strftime("%Y%m%dT%H%M%S")
    call = re.sub(r"[^A-Za-z0-9_-]+", "_", line.call.call_id)[-48:]
    base = line.folder / folder
    names = (f"{at}-{call}{f'-{number}' if number else ''}.wav" for number in range(1000))
    return next(path for name in names if not (path := base / name).exists())


async def deliver(line: Line, mailbox: str, recording: Recording) -> dict[str, Any]:
    """Write the message's JSON beside its sound; returns it. Raises `OSError`."""
    parties = line.call.leg.parties
    message: dict[str, Any] = {
        "schema": SCHEMA,
        "mailbox": mailbox,
        "call_id": line.call.call_id,
        "caller": parties.caller,
        "called": parties.called,
        "trunk": parties.trunk,
        "at": line.wall().astimezone(UTC).isoformat(timespec="seconds"),
        "seconds": round(recording.seconds, 2),
        "sound": recording.path.name,
        "transcript": recording.text,
        "transcript_complete": recording.written_down,
        "ending": recording.ending,
    }
    await asyncio.to_thread(_write, recording.path.with_suffix(".json"), message)
    return message


async def discard(recording: Recording) -> None:
    """A message in which nobody spoke is none."""
    await asyncio.to_thread(recording.path.unlink, missing_ok=True)


def _write(path: Path, message: dict[str, Any]) -> None:
    staged = path.with_name(f".{path.name}")
    staged.write_text(json.dumps(message, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    os.chmod(staged, 0o600)
    os.replace(staged, path)
