"""Reads the dialplan again when its files change, without harm to anybody."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import structlog

from gateway.dialplan.numbers import is_region
from gateway.dialplan.plan import BUILT_IN, Dialplan, files
from gateway.errors import DialplanFileError
from gateway.secret import Secret
from gateway.webhook_signature import secret_octets

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DialplanSettings:
    """Where the dialplan is."""

    files: tuple[Path, ...] = ()
    """Files, or folders of `*.yaml`, read in this order as one list of routes; empty: the built-in one."""
    reload_seconds: float = 2.0
    """Time between two looks for changed files, 0.1 or more; 0 never looks."""

    region: str = ""
    """Country whose numbers are dialled without its code, for files that do not say it; like DE."""

    secret: Secret = Secret()
    """Signs the requests of `webhook` and of voicemails: `whsec_` and base64 of 24 to 64 random octets;
    `offhook batch secret` makes one. Without it none is sent, and those actions fail."""

    def __post_init__(self) -> None:
        if self.secret:
            secret_octets(self.secret.reveal(), "secret")
        if self.region and not is_region(self.region):
            raise ValueError("region: must be a country's two capital letters, like DE")
        if self.reload_seconds != 0 and self.reload_seconds < 0.1:
            raise ValueError("reload_seconds: must be 0.1 or more, or 0 to never look")


class DialplanWatcher:
    """Holds the current plan and swaps it as a whole; a broken file changes nothing but a count."""

    def __init__(
        self,
        settings: DialplanSettings,
        agents: Collection[str],
        on_reload: Callable[[bool], None] = lambda ok: None,
    ) -> None:
        """Read the plan. Raises `DialplanFileError`; `on_reload` hears of later reads, good or bad."""
        self._paths = settings.files or (BUILT_IN,)
        self._period = settings.reload_seconds
        self._agents = frozenset(agents)
        self._region = settings.region
        self._on_reload = on_reload
        self._seen = self._stamps()
        self._plan = Dialplan.load(self._paths, self._agents, self._region)
        self._task: asyncio.Task[None] | None = None
        self.error: DialplanFileError | None = None
        """What is wrong with the files now, while an older plan is in force."""

    @property
    def plan(self) -> Dialplan:
        """The plan for a call that begins now."""
        return self._plan

    def start(self) -> None:
        """Look for changes from now on."""
        if self._period and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._watch(), name="dialplan-watch")

    async def aclose(self) -> None:
        """Stop looking. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def check(self) -> bool:
        """Look now; True when files had changed and were read again."""
        # Stamps first: a file that is still being written changes once more, and is read once more.
        stamps = await asyncio.to_thread(self._stamps)
        if stamps == self._seen:
            return False
        self._seen = stamps
        try:
            plan = await asyncio.to_thread(Dialplan.load, self._paths, self._agents, self._region)
        except DialplanFileError as error:
            self.error = error
            log.error("dialplan refused, the old one stays", problems=[str(p) for p in error.problems])
            self._on_reload(False)
            return True
        self._plan = plan
        self.error = None
        log.info("dialplan read again", routes=len(plan.routes))
        self._on_reload(True)
        return True

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._period)
            try:
                await self.check()
            except OSError as error:
                log.error("dialplan cannot be looked at", why=error.strerror)

    def _stamps(self) -> dict[str, tuple[int, int, int] | None]:
        return {str(path): _stamp(path) for path in files(self._paths)}


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
