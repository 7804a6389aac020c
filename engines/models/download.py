"""One model's file from elsewhere into a part file, in as many tries as it takes; a later process goes on."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO

import structlog

from engines.models.base import ModelError, ModelUnreachable
from engines.models.machine import need_memory
from engines.models.outside import Outside
from engines.models.progress import MB, Progress, Watch
from engines.models.settings import GB, ModelSettings
from engines.models.source import Remote
from engines.models.transfer import Broken, Part, Stale, Transfer

log = structlog.get_logger(__name__)

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_NAP = 0.5
"""Seconds of a pause in one piece."""
LOOK_EVERY = 64 * MB
"""Octets between looks at the free disk."""


class PartFile:
    """What came of a file so far, and what the server calls that version; lives on after this process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._note = path.with_suffix(".json")

    @property
    def size(self) -> int:
        """Octets so far."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def known(self) -> tuple[str, int]:
        """Validator and total as noted; ("", 0) where nothing of use was."""
        try:
            told = json.loads(self._note.read_text(encoding="utf-8"))
            return str(told["validator"]), int(told["total"])
        except (OSError, ValueError, KeyError, TypeError):
            return "", 0

    def begin(self, part: Part) -> BinaryIO:
        """Open for what comes next; whatever is not before it goes."""
        if part.offset == 0:
            self._note.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)
            staged = self._note.with_suffix(".note")
            staged.write_text(
                json.dumps({"validator": part.validator, "total": part.total}), encoding="utf-8"
            )
            os.replace(staged, self._note)
        file = self.path.open("ab")
        file.truncate(part.offset)
        return file

    def discard(self) -> None:
        """Forget it."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


def download(remote: Remote, part: PartFile, settings: ModelSettings, outside: Outside, watch: Watch) -> bool:
    """Complete the part file; says whether it was put together from more than one try.

    Raises `ModelUnreachable` when the tries are used up, `ModelError` where no try can help.
    """
    work = _Download(remote, part, settings, outside, watch)
    with disk_told(part.path):
        return work.run()


class _Download:
    def __init__(
        self, remote: Remote, part: PartFile, settings: ModelSettings, outside: Outside, watch: Watch
    ) -> None:
        self._remote = remote
        self._part = part
        self._settings = settings
        self._outside = outside
        self._watch = watch
        self._until = outside.clock() + settings.total_seconds

    def run(self) -> bool:
        size, (_, total) = self._part.size, self._part.known()
        if total and size == total:
            return True
        pieced, most, barren = size > 0, size, 0
        settings, outside = self._settings, self._outside
        with closing(Transfer(self._remote, settings, outside.clock, outside.wall)) as transfer:
            while True:
                try:
                    self._try(transfer)
                    return pieced
                except Broken as error:
                    if isinstance(error, Stale):
                        self._part.discard()
                    gained, most = self._part.size > most, max(most, self._part.size)
                    barren = 0 if gained else barren + 1
                    pieced = True
                    self._pause(error, barren)

    def _try(self, transfer: Transfer) -> None:
        size, (validator, _) = self._part.size, self._part.known()
        with transfer.part(size if validator else 0, validator) as part:
            if part.total:
                self._check_room(part.total - part.offset, part.total)
            with self._part.begin(part) as file:
                for _ in self._filled(file, part):
                    if self._outside.clock() >= self._until:
                        seconds = self._settings.total_seconds
                        raise ModelUnreachable(
                            f"{self._remote.shown}: not complete after {seconds:g} s; what came is kept; "
                            "try again, or raise models.total_seconds"
                        )
                os.fsync(file.fileno())

    def _filled(self, file: BinaryIO, part: Part) -> Iterator[None]:
        done, unlooked = part.offset, 0
        self._watch(Progress("downloading", done, part.total))
        for chunk in part.chunks:
            file.write(chunk)
            file.flush()  # a process that is killed loses nothing, and others see how far it is
            done += len(chunk)
            unlooked += len(chunk)
            if unlooked >= LOOK_EVERY:
                self._check_room(0, done)
                unlooked = 0
            self._watch(Progress("downloading", done, part.total))
            yield

    def _check_room(self, need: int, size: int) -> None:
        """Raises `ModelError` where the model is too large, for the settings or for the disk."""
        shown, settings = self._remote.shown, self._settings
        if size > settings.largest_gb * GB:
            raise ModelError(f"{shown}: is larger than models.largest_gb ({settings.largest_gb:g} GB)")
        need_memory(shown, size, self._outside.ram())
        check_room(self._part.path.parent, need, settings, self._outside, shown)

    def _pause(self, error: Broken, barren: int) -> None:
        if barren >= self._settings.tries:
            told = f"{error}; given up after {barren} tries that brought nothing"
            raise ModelUnreachable(f"{told}; what came is kept, the next download goes on there") from None
        pause = max(error.pause, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0**barren))
        left = self._until - self._outside.clock()
        log.warning("a download is tried again", why=str(error), in_seconds=pause, have=self._part.size)
        if left <= pause:
            raise ModelUnreachable(f"{error}; no time is left for another try") from None
        _, total = self._part.known()
        naps = math.ceil(pause / _NAP)
        for _ in range(naps):  # whoever watches may end it at any time
            self._watch(Progress("downloading", self._part.size, total))
            self._outside.sleep(pause / naps)


def check_room(folder: Path, need: int, settings: ModelSettings, outside: Outside, shown: str) -> None:
    """Raises `ModelError` unless the folder's disk can take `need` octets and keep what it must keep free."""
    free = outside.free(folder)
    if free - need < settings.keep_free_gb * GB:
        raise ModelError(
            f"{shown}: needs {need / GB:.2f} GB, and {settings.keep_free_gb:g} GB must stay free; "
            f"{folder} has {free / GB:.2f} GB. Free some (`offhook models rm`), or set models.folder"
        )


@contextmanager
def disk_told(path: Path) -> Iterator[None]:
    """The disk's errors as `ModelError`, with their cures."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ModelError(
                f"{path.parent}: the disk is full; free some (`offhook models rm`), or set models.folder"
            ) from None
        raise ModelError(f"{path}: cannot be written: {error.strerror}") from None


def fetch_text(remote: Remote, settings: ModelSettings, outside: Outside, most: int) -> str:
    """A small text from elsewhere, in one try. Raises `ModelError`."""
    with closing(Transfer(remote, settings, outside.clock, outside.wall)) as transfer:
        with transfer.part(0, "") as part:
            octets = b""
            for chunk in part.chunks:
                octets += chunk
                if len(octets) > most:
                    raise ModelError(f"{remote.shown}: is larger than {most} octets")
    return octets.decode("utf-8", "replace")
