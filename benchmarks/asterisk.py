"""Asterisk in a chroot as the other arm of the capacity curve: `Echo()` behind one SIP port on loopback."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

from callers.sipp import free_port

_START_LIMIT = 30.0
_MODULES = (
    "res_sorcery_config", "res_sorcery_memory", "res_sorcery_astdb", "res_pjproject", "res_pjsip",
    "res_pjsip_session", "res_pjsip_pubsub", "res_pjsip_sdp_rtp", "res_pjsip_endpoint_identifier_ip",
    "res_pjsip_endpoint_identifier_anonymous", "res_pjsip_endpoint_identifier_user", "res_rtp_asterisk",
    "chan_pjsip", "codec_ulaw", "pbx_config", "app_echo", "bridge_simple", "res_timing_timerfd",
)  # fmt: skip


class AsteriskMissing(RuntimeError):
    """There is no Asterisk to compare with; the message says why."""


class Asterisk:
    """One Asterisk process out of a chroot."""

    def __init__(self, chroot: Path) -> None:
        self._chroot = chroot.resolve()
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it with a configuration of our own. Raises AsteriskMissing."""
        if not (self._chroot / "usr/sbin/asterisk").exists():
            raise AsteriskMissing(f"no Asterisk in {self._chroot}; python -m benchmarks.asterisk_chroot")
        self.port = free_port()
        self._configure()
        # chroot(8) replaces itself, so this is Asterisk's own process number.
        program = ["chroot", str(self._chroot), "/usr/sbin/asterisk", "-f", "-n"]
        self._process = subprocess.Popen(
            [*program, "-C", "/etc/offhook/asterisk.conf"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + _START_LIMIT
        while "PJSIP" not in self._ask("core show channeltypes"):
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise AsteriskMissing("it did not start; run the same command by hand to see why")
            time.sleep(0.3)

    def version(self) -> str:
        """What it calls itself."""
        return self._ask("core show version").partition(" built")[0].strip()

    def stop(self) -> None:
        """End it; idempotent."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _ask(self, command: str) -> str:
        asked = subprocess.run(
            [
                "chroot",
                str(self._chroot),
                "/usr/sbin/asterisk",
                "-C",
                "/etc/offhook/asterisk.conf",
                "-rx",
                command,
            ],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        return asked.stdout

    def _configure(self) -> None:
        folder = self._chroot / "etc/offhook"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in ("run/asterisk", "var/spool/asterisk", "var/log/asterisk", "var/lib/asterisk"):
            (self._chroot / name).mkdir(parents=True, exist_ok=True)
        loads = "\n".join(f"load = {module}.so" for module in _MODULES)
        files = {
            "asterisk.conf": "[directories]\nastetcdir => /etc/offhook\nastrundir => /run/asterisk\n"
            "[options]\nmaxcalls = 0\nhighpriority = no\n",
            "modules.conf": f"[modules]\nautoload = no\n{loads}\n",
            "logger.conf": "[general]\n[logfiles]\nconsole =\n",
            "rtp.conf": "[general]\nrtpstart=20000\nrtpend=28000\nstrictrtp=no\n",
            "extensions.conf": "[default]\nexten => echo,1,Answer()\n"
            " same => n,Echo()\n same => n,Hangup()\n",
            "pjsip.conf": f"[udp]\ntype=transport\nprotocol=udp\nbind=127.0.0.1:{self.port}\n"
            "[anonymous]\ntype=endpoint\ncontext=default\ndisallow=all\nallow=ulaw\ndirect_media=no\n"
            "rtp_symmetric=yes\nmedia_address=127.0.0.1\n",
        }
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        # It looks its own host's name up for calls; a name server out of reach would cost five seconds each.
        hosts = f"127.0.0.1 localhost {socket.gethostname()}\n"
        (self._chroot / "etc/hosts").write_text(hosts, encoding="utf-8")
        (self._chroot / "etc/nsswitch.conf").write_text("hosts: files\n", encoding="utf-8")
