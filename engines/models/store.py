"""The model store: sources in, paths out. Downloads once per machine, whoever asks, and checks everything."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import structlog

from engines.models.archive import is_archive, unpack
from engines.models.base import ModelError, ModelUnfit, ModelUnreachable
from engines.models.catalogue import KNOWN, Known
from engines.models.claim import Claim
from engines.models.content import check_content
from engines.models.digest import digest_of
from engines.models.download import LOOK_EVERY, PartFile, check_room, disk_told, download, fetch_text
from engines.models.local import checked, local_path
from engines.models.machine import need_memory
from engines.models.outside import Outside
from engines.models.progress import Progress, Watch, nobody
from engines.models.settings import GB, ModelSettings
from engines.models.shelf import About, Entry, Shelf
from engines.models.source import Remote, resolve

log = structlog.get_logger(__name__)

_LOOK = 0.25
"""Seconds between looks at a lock that another process holds."""
_PART_DAYS = 14
"""What came of a download that nobody went on with is kept so long."""
_CHUNK = 4 << 20


class ModelStore:
    """Serves `Models` from a folder that all workers of a machine share.

    What `path` gives stays in its place until `close`, or until the process ends. Usable from any thread.
    """

    def __init__(
        self,
        settings: ModelSettings,
        watch: Watch = nobody,
        outside: Outside | None = None,
        known: Mapping[str, Known] = KNOWN,
    ) -> None:
        self._settings = settings
        self._watch = watch
        self._outside = outside or Outside()
        self._known = known
        self._shelf = Shelf(_folder(settings), self._outside.wall)
        self._held: list[Claim] = []
        self._guard = threading.Lock()

    @property
    def folder(self) -> Path:
        """Where everything lies."""
        return self._shelf.folder

    def path(self, source: str, sha256: str = "") -> Path:
        """See `Models`."""
        local = local_path(source)
        if local is not None:
            self._watch(Progress("loading"))
            found = checked(local, sha256)
            _told_apart(found)
        else:
            found = self._obtain(resolve(source, sha256, self._settings, self._known), self._outside).model
        need_memory(str(source) if local else found.name, _size(found), self._outside.ram())
        self._watch(Progress("loading"))
        return found

    def warming(self) -> None:
        """See `engines.models.base.warming`."""
        self._watch(Progress("warming"))

    def pull(self, source: str, sha256: str = "") -> Entry:
        """As `path`, for whoever does not load it: memory does not matter. Raises `ModelError`."""
        if local_path(source) is not None:
            raise ModelError(f"{source}: lies on this machine already; engines take the path itself")
        plenty = replace(self._outside, ram=lambda: sys.maxsize)
        return self._obtain(resolve(source, sha256, self._settings, self._known), plenty)

    def entries(self) -> list[Entry]:
        """All models that are whole, the longest unused first."""
        return self._shelf.entries()

    def parts(self) -> list[tuple[str, int]]:
        """Key and octets so far of those that are not."""
        return list(self._shelf.parts())

    def find(self, text: str) -> list[Entry]:
        """The models that a source, a file's name, or the first characters of a key (6 or more) mean."""
        found = [entry for entry in self.entries() if text in (entry.about.source, entry.model.name)]
        return found or [
            entry for entry in self.entries() if len(text) >= 6 and entry.key.startswith(text.lower())
        ]

    def used_now(self, entry: Entry) -> bool:
        """Whether a process, perhaps this one, was given it and lives."""
        return self._shelf.used_now(entry.key)

    def verify(self, entry: Entry) -> list[str]:
        """Its files that are missing or are not what they were; none when it is whole. Raises OSError."""
        bad, done = [], 0
        for name, digest in entry.about.files.items():
            path = entry.content / name
            if not path.is_file() or digest_of(path) != digest:
                bad.append(name)
            else:
                done += path.stat().st_size
            self._watch(Progress("checking", done, entry.about.size))
        known = {entry.content / name for name in entry.about.files}
        others = [path for path in entry.content.rglob("*") if path.is_file() and path not in known]
        return bad + [str(path.relative_to(entry.content)) for path in others]

    def remove(self, key: str) -> bool:
        """Remove a model or what came of one; False when somebody uses it. Raises OSError."""
        return self._shelf.remove(key)

    def close(self) -> None:
        """Let others remove what `path` gave. Idempotent."""
        with self._guard:
            held, self._held = self._held, []
        for claim in held:
            claim.close()

    def _obtain(self, remote: Remote, outside: Outside) -> Entry:
        """The model's entry, downloaded where it must be, and held for this process. Raises `ModelError`."""
        claim = self._claim(remote)
        if claim is None:
            return self._unclaimed(remote)
        try:
            entry = self._held_entry(remote, claim, outside)
        except BaseException:
            claim.close()
            raise
        self._shelf.touch(entry)
        with self._guard:
            self._held.append(claim)
        return entry

    def _held_entry(self, remote: Remote, claim: Claim, outside: Outside) -> Entry:
        key, until = remote.key, outside.clock() + self._settings.total_seconds
        while True:
            self._wait_for(remote, claim, until, shared=True)
            entry = self._shelf.entry(key)
            if entry is not None:
                return entry
            self._wait_for(remote, claim, until, shared=False)
            if self._shelf.entry(key) is None:
                self._fetch(remote, outside)
            # From one kind of hold to the other there is a gap in which somebody may remove it: look again.

    def _claim(self, remote: Remote) -> Claim | None:
        """The model's lock; None where the folder can only be read, but holds the model."""
        try:
            self._shelf.open()
            return self._shelf.claim(remote.key)
        except OSError as error:
            if self._shelf.entry(remote.key) is not None:
                return None
            raise ModelError(
                f"{error.filename}: cannot be used for models: {error.strerror}; "
                "set models.folder to a folder that this user may write to"
            ) from None

    def _unclaimed(self, remote: Remote) -> Entry:
        entry = self._shelf.entry(remote.key)
        if entry is None:
            raise ModelError(f"{remote.shown}: is gone from {self.folder}")
        return entry

    def _wait_for(self, remote: Remote, claim: Claim, until: float, *, shared: bool) -> None:
        """Hold the claim; meanwhile tell how far its holder is. Raises `ModelUnreachable` in the end."""
        part = PartFile(self._shelf.part(remote.key))
        while not claim.take(shared=shared):
            if self._outside.clock() >= until:
                raise ModelUnreachable(
                    f"{remote.shown}: another process has been busy with it for "
                    f"{self._settings.total_seconds:g} s; stop that one, or raise models.total_seconds"
                )
            _, total = part.known()
            self._watch(Progress("waiting", part.size, total))
            self._outside.sleep(_LOOK)

    def _fetch(self, remote: Remote, outside: Outside) -> None:
        """Download, check, unpack, publish. Whoever calls holds the claim alone."""
        self._tidy()
        part = PartFile(self._shelf.part(remote.key))
        began = outside.clock()
        pieced = download(remote, part, self._settings, outside, self._watch)
        wrong = self._wrong(remote, part, outside)
        if wrong is not None and pieced:
            # Put together from two versions, perhaps: once more, from the beginning.
            log.warning("the pieces do not fit", source=remote.shown)
            download(remote, part, self._settings, outside, self._watch)
            wrong = self._wrong(remote, part, outside)
        if wrong is not None:
            raise wrong
        with disk_told(part.path):
            entry = self._publish(remote, part)
        seconds = round(outside.clock() - began, 1)
        log.info("a model came", source=remote.shown, octets=entry.about.size, seconds=seconds)
        self._evict(entry.key)

    def _wrong(self, remote: Remote, part: PartFile, outside: Outside) -> ModelUnfit | None:
        """What is wrong with the file, if anything; then it is thrown away."""
        total = part.size

        def seen(done: int) -> None:
            self._watch(Progress("checking", done, total))

        try:
            if remote.sha256:
                _check_digest(part.path, remote, seen)
            else:
                self._check_signature(part.path, remote, outside, seen)
        except ModelUnfit as error:
            part.discard()
            return error
        return None

    def _check_signature(
        self, path: Path, remote: Remote, outside: Outside, seen: Callable[[int], None]
    ) -> None:
        try:
            from engines.models import minisign
        except ImportError:
            raise ModelError(
                "models.signer: needs the package cryptography: pip install cryptography"
            ) from None
        text = fetch_text(remote.signature, self._settings, outside, minisign.LONGEST)
        minisign.check(path, text, minisign.read_key(remote.signer), remote.shown, seen)

    def _publish(self, remote: Remote, part: PartFile) -> Entry:
        staged = self._shelf.staging(remote.key)
        content, came = staged / "content", staged / remote.file_name
        content.mkdir()
        sha256 = remote.sha256 or digest_of(part.path)
        os.replace(part.path, came)
        part.discard()
        try:
            if is_archive(remote.file_name):
                unpack(came, content, round(self._settings.largest_gb * GB), self._looking(staged))
                came.unlink()
            else:
                os.rename(came, content / remote.file_name)
            check_content(content)
        except ModelError as error:
            shutil.rmtree(staged, ignore_errors=True)
            raise type(error)(f"{remote.shown}: {error}") from None
        files = {
            str(path.relative_to(content)): digest_of(path)
            for path in sorted(content.rglob("*"))
            if path.is_file()
        }
        about = About(remote.shown, sha256, _size(content), files)
        return self._shelf.publish(remote.key, staged, about)

    def _looking(self, folder: Path) -> Watch:
        """Watches, and looks now and then whether the disk has room."""
        looked = 0

        def watch(progress: Progress) -> None:
            nonlocal looked
            if progress.done - looked >= LOOK_EVERY:
                looked = progress.done
                check_room(folder, 0, self._settings, self._outside, "unpacking")
            self._watch(progress)

        return watch

    def _evict(self, newest: str) -> None:
        """Remove what was used least lately until the rest is within the limit."""
        limit = self._settings.limit_gb * GB
        entries = self._shelf.entries()
        total = sum(entry.about.size for entry in entries)
        for entry in entries:
            if not limit or total <= limit:
                return
            if entry.key != newest and self._shelf.remove(entry.key):
                total -= entry.about.size
                log.info("a model was removed to make room", source=entry.about.source)

    def _tidy(self) -> None:
        """Remove parts that nobody went on with."""
        oldest = self._outside.wall() - _PART_DAYS * 86_400
        for key, _ in self.parts():
            path = self._shelf.part(key)
            if path.stat().st_mtime < oldest and self._shelf.entry(key) is None:
                self._shelf.remove(key)


def _check_digest(path: Path, remote: Remote, seen: Callable[[int], None]) -> None:
    """Raises `ModelUnfit`."""
    done, digest = 0, hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            seen(done)
    if digest.hexdigest() != remote.sha256:
        raise ModelUnfit(
            f"{remote.shown}: its content is not that of the given sha256 ({remote.sha256}); "
            "check both with the publisher"
        )


def _folder(settings: ModelSettings) -> Path:
    if settings.folder:
        return Path(settings.folder).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if cache.startswith("/") else Path.home() / ".cache") / "offhook" / "models"


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _told_apart(path: Path) -> None:
    try:
        check_content(path)
    except ModelUnfit as error:
        raise ModelUnfit(f"{path}: {error}") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
