"""The file of keys: written by `offhook keys`, read again by a running node when it changes."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.errors import FileUnfit
from gateway.keys.key import Key, Scope

SCHEMA = 1


class Keyring:
    """Keys by their ids, in one JSON file that only its owner can read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark: tuple[int, int, int] | None = None
        self._keys: Mapping[str, Key] = {}

    def keys(self) -> Mapping[str, Key]:
        """All of them, revoked ones too. Looks at the file's date, and reads it only when that moved.

        Raises `FileUnfit` with the cure.
        """
        mark = self._looked()
        if mark != self._mark:
            self._keys = self._read()
            self._mark = mark
        return self._keys

    def add(self, key: Key) -> None:
        """Keep a new key. Raises `FileUnfit`."""
        self._change(lambda keys: {**keys, key.key_id: key})

    def revoke(self, key_id: str, at: datetime) -> Key | None:
        """Refuse the key from now on; None when there is none of that id. Raises `FileUnfit`."""
        found: list[Key] = []

        def change(keys: Mapping[str, Key]) -> Mapping[str, Key]:
            key = keys.get(key_id)
            if key is None:
                return keys
            found.append(key if key.revoked else replace(key, revoked=at))
            return {**keys, key_id: found[0]}

        self._change(change)
        return found[0] if found else None

    def _looked(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unfit(error.strerror or str(error)) from None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> Mapping[str, Key]:
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise self._unfit(str(error)) from None
        try:
            return {entry["id"]: _key(entry) for entry in json.loads(text)["keys"]}
        except (ValueError, KeyError, TypeError) as error:
            raise self._unfit(f"it is not a file of keys ({type(error).__name__}: {error})") from None

    def _change(self, change: Callable[[Mapping[str, Key]], Mapping[str, Key]]) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked():
                self._write(change(self._read()))
        except OSError as error:
            raise self._unfit(error.strerror or str(error)) from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Two commands at once do not lose a key."""
        handle = os.open(f"{self._path}.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _write(self, keys: Mapping[str, Key]) -> None:
        """A reader sees the old file or the new one, never half of it."""
        body = json.dumps({"schema": SCHEMA, "keys": [_entry(key) for key in keys.values()]}, indent=1)
        handle, name = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                out.write(body + "\n")
                out.flush()
                os.fsync(out.fileno())
            os.replace(name, self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _unfit(self, why: str) -> FileUnfit:
        where = f"keys cannot be read or written at {self._path}"
        return FileUnfit(f"{where}: {why}; mend it, or set api.keys_file")


def _entry(key: Key) -> dict[str, Any]:
    return {
        "id": key.key_id,
        "name": key.name,
        "sha256": key.digest,
        "scopes": sorted(key.scopes),
        "created": key.created.isoformat(),
        "expires": key.expires.isoformat() if key.expires else None,
        "per_minute": key.per_minute,
        "at_once": key.at_once,
        "revoked": key.revoked.isoformat() if key.revoked else None,
    }


def _key(entry: Mapping[str, Any]) -> Key:
    return Key(
        key_id=str(entry["id"]),
        name=str(entry["name"]),
        digest=str(entry["sha256"]),
        scopes=frozenset(Scope(scope) for scope in entry["scopes"]),
        created=datetime.fromisoformat(entry["created"]),
        expires=_moment(entry["expires"]),
        per_minute=int(entry["per_minute"]),
        at_once=int(entry["at_once"]),
        revoked=_moment(entry["revoked"]),
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
