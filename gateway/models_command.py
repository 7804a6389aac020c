"""`offhook models`: what lies in the model store, what may come in, what goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from engines.models.base import ModelError
from engines.models.catalogue import KNOWN
from engines.models.progress import Progress, nobody
from engines.models.settings import ModelSettings
from engines.models.shelf import Entry
from engines.models.store import ModelStore
from gateway.logs import LogSettings, start_logs

_SHOWN_KEY = 12
"""Characters of a key that tell models apart."""


def list_models(settings: ModelSettings, console: Console) -> int:
    """Print what is kept and what is known; returns 0."""
    store = ModelStore(settings)
    entries = store.entries()
    console.print(f"kept in {store.folder}", soft_wrap=True)
    if entries:
        console.print(_kept(store, entries))
    else:
        console.print("  nothing yet; `offhook models pull` fetches one")
    for key, size in store.parts():
        console.print(f"  {key[:_SHOWN_KEY]}  {_mb(size)} of an unfinished download; pull it again to go on")
    total = sum(entry.about.size for entry in entries)
    limit = f"{settings.limit_gb:g} GB" if settings.limit_gb else "no limit"
    console.print(f"{_mb(total)} of {limit} (models.limit_gb)\n\nknown by name")
    console.print(_known())
    return 0


def pull_model(settings: ModelSettings, source: str, sha256: str, console: Console) -> int:
    """Fetch a model with a progress bar and print its path; returns 0, or 1 when it cannot be had."""
    secrets = frozenset(filter(None, (settings.token, settings.s3_secret_key)))
    with closing(start_logs(LogSettings(level="warning"), secrets=secrets)), _Shown(console) as shown:
        store = ModelStore(settings, shown.see)
        try:
            entry = store.pull(source, sha256)
        except ModelError as error:
            shown.fail(str(error))
            return 1
        finally:
            store.close()
    print(entry.model)  # noqa: T201  # alone on stdout, for scripts
    return 0


def verify_models(settings: ModelSettings, wanted: list[str], console: Console) -> int:
    """Read every file again; returns 0 when all are what they were, 1 when one is not or is not there."""
    store = ModelStore(settings)
    failed = 0
    for entry, text in _meant(store, wanted or [entry.key for entry in store.entries()]):
        if entry is None:
            console.print(f"{text}: no such model here; `offhook models list` shows them", soft_wrap=True)
            failed = 1
            continue
        bad = _verified(ModelStore(settings, nobody), entry)
        failed |= bool(bad)
        told = f"broken: {', '.join(bad)}; remove it and pull it again" if bad else "good"
        console.print(f"{entry.key[:_SHOWN_KEY]}  {entry.about.source}  {told}", soft_wrap=True)
    return failed


def remove_models(settings: ModelSettings, wanted: list[str], console: Console) -> int:
    """Remove models; returns 0, or 1 when one is in use, is not there or cannot be removed."""
    store = ModelStore(settings)
    failed = 0
    parts = [key for key, _ in store.parts()]
    for entry, text in _meant(store, wanted):
        unfinished = [key for key in parts if len(text) >= 6 and key.startswith(text.lower())]
        key = entry.key if entry else unfinished[0] if len(unfinished) == 1 else ""
        told = _removed(store, key) if key else "no such model here; `offhook models list` shows them"
        failed |= told != "removed"
        console.print(f"{text}: {told}", soft_wrap=True)
    return failed


def _removed(store: ModelStore, key: str) -> str:
    try:
        return "removed" if store.remove(key) else "in use; stop the worker that uses it first"
    except OSError as error:
        return f"cannot be removed: {error.strerror}"


def _verified(store: ModelStore, entry: Entry) -> list[str]:
    try:
        return store.verify(entry)
    except OSError as error:
        return [f"{error.filename} cannot be read ({error.strerror})"]


def _meant(store: ModelStore, wanted: list[str]) -> list[tuple[Entry | None, str]]:
    """The one model that each text means; a text that means several means none."""
    found = []
    for text in wanted:
        entries = store.find(text)
        found.append((entries[0] if len(entries) == 1 else None, text))
    return found


def _kept(store: ModelStore, entries: list[Entry]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("key", "size", "last used", "now", "from"):
        table.add_column(title, overflow="fold")
    for entry in reversed(entries):
        ago = timedelta(seconds=max(0, round(time.time() - entry.used)))
        used = "in use" if store.used_now(entry) else ""
        table.add_row(entry.key[:_SHOWN_KEY], _mb(entry.about.size), f"{ago} ago", used, entry.about.source)
    return table


def _known() -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("name", "engine", "licence", "what"):
        table.add_column(title, overflow="fold")
    for name, known in KNOWN.items():
        table.add_row(name, known.engine, known.licence, known.about)
    return table


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


class _Shown(AbstractContextManager["_Shown"]):
    """A bar on stderr; where that is no terminal, a line for each tenth."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=None)
        self._last = ""
        self.see: Callable[[Progress], None] = self._move if console.is_terminal else self._tell

    def __enter__(self) -> _Shown:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def fail(self, told: str) -> None:
        self._bar.stop()
        self._console.print(f"offhook: {told}", soft_wrap=True, markup=False)

    def _move(self, progress: Progress) -> None:
        total = progress.total or None
        self._bar.update(self._task, description=progress.stage, completed=progress.done, total=total)

    def _tell(self, progress: Progress) -> None:
        tenth = 10 * (10 * progress.done // progress.total) if progress.total else 0
        told = f"{progress.stage} {tenth} %" if progress.total else progress.stage
        if told != self._last:
            self._console.print(told)
            self._last = told
