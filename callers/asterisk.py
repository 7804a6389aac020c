"""Asterisk, a telephone exchange that is not ours, installed here or in a chroot, with files of our own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_START_LIMIT = 30.0
_PROGRAM = "usr/sbin/asterisk"
_BASE_MODULES = (
    "res_sorcery_config", "res_sorcery_memory", "res_sorcery_astdb", "res_pjproject", "res_pjsip",
    "res_pjsip_session", "res_pjsip_pubsub", "res_pjsip_sdp_rtp", "res_pjsip_endpoint_identifier_ip",
    "res_pjsip_endpoint_identifier_anonymous", "res_pjsip_endpoint_identifier_user", "res_rtp_asterisk",
    "chan_pjsip", "codec_ulaw", "pbx_config", "app_echo", "bridge_simple", "res_timing_timerfd",
)  # fmt: skip
"""What any call over SIP needs."""


class AsteriskMissing(RuntimeError):
    """There is no Asterisk that could run; the message says why."""


class Asterisk:
    """One Asterisk process with a folder of its own; a context manager that leaves nothing behind."""

    def __init__(self, root: Path) -> None:
        """`root`: the chroot's folder, which needs root's rights, or `/` for an installed Asterisk.

        Raises AsteriskMissing.
        """
        self._root = root.resolve()
        if not (self._root / _PROGRAM).exists():
            raise AsteriskMissing(
                f"no Asterisk in {self._root}; cure: python -m callers.asterisk_chroot FOLDER"
            )
        (self._root / "tmp").mkdir(exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="offhook-", dir=self._root / "tmp"))
        """Its files, as we see them: sounds for it and what it records."""
        self.inside = Path("/") / self.folder.relative_to(self._root)
        """The same folder as Asterisk sees it."""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, files: Mapping[str, str], modules: Sequence[str] = ()) -> None:
        """Start it with these configuration files and modules beside those of every SIP call.

        Raises AsteriskMissing.
        """
        self._configure(files, modules)
        # chroot(8) replaces itself, so this is Asterisk's own process number.
        with (self.folder / "console").open("wb") as console:
            self._process = subprocess.Popen(
                [*self._program(), "-f", "-n"], stdin=subprocess.DEVNULL, stdout=console, stderr=console
            )
        until = time.monotonic() + _START_LIMIT
        while "has fully booted" not in self.ask("core waitfullybooted"):
            if self._process.poll() is not None or time.monotonic() > until:
                told = (self.folder / "console").read_text(encoding="utf-8", errors="replace")[-500:]
                self.stop()
                raise AsteriskMissing(f"it did not start: {told}")
            time.sleep(0.3)

    def ask(self, command: str) -> str:
        """What its command line answers."""
        asked = subprocess.run(
            [*self._program(), "-rx", command], capture_output=True, text=True, timeout=20, check=False
        )
        return asked.stdout

    def version(self) -> str:
        """What it calls itself."""
        return self.ask("core show version").partition(" built")[0].strip()

    def stop(self) -> None:
        """End it and remove its folder; idempotent."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _program(self) -> list[str]:
        enter = [] if self._root == Path("/") else ["chroot", str(self._root)]
        return [*enter, f"/{_PROGRAM}", "-C", f"{self.inside}/asterisk.conf"]

    def _configure(self, files: Mapping[str, str], modules: Sequence[str]) -> None:
        places = {
            "astetcdir": "", "astrundir": "run", "astlogdir": "log", "astspooldir": "spool", "astdbdir": "db",
            "astvarlibdir": "lib",
        }  # fmt: skip
        for place in places.values():
            (self.folder / place).mkdir(exist_ok=True)
        directories = "".join(f"{name} => {self.inside / place}\n" for name, place in places.items())
        loads = "".join(f"load = {module}.so\n" for module in (*_BASE_MODULES, *modules))
        ours = {
            "asterisk.conf": f"[directories]\n{directories}[options]\nmaxcalls = 0\nhighpriority = no\n",
            "modules.conf": f"[modules]\nautoload = no\n{loads}",
            "logger.conf": "[general]\n[logfiles]\nconsole = warning,error\n",
        }
        for name, text in {**ours, **files}.items():
            (self.folder / name).write_text(text, encoding="utf-8")
        if self._root != Path("/"):
            # It looks its own host's name up for calls; a name server out of reach would cost 5 s each.
            hosts = f"127.0.0.1 localhost {socket.gethostname()}\n"
            (self._root / "etc/hosts").write_text(hosts, encoding="utf-8")
            (self._root / "etc/nsswitch.conf").write_text("hosts: files\n", encoding="utf-8")
