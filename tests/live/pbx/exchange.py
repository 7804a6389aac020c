"""The exchange of these tests: Asterisk with two trunks to us, extensions that answer and others."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from callers.asterisk import Asterisk
from callers.sipp import free_port
from tests.live.gateway.listening import SPEECH

NUMBER, PASSWORD = "4930100", "f7Wq-not-for-use"
"""Our account at the exchange."""
SPOKEN = "conf-now-recording"
"""What its extensions play, a name of `tests/data/speech`."""
ON_HOLD = "tt-monkeysintro"
"""Its music on hold: words, so that they are told from others."""
_HOSTS = "127.0.0.1", "127.0.0.2"
"""Where its two transports listen; the second is told from ours by its address."""
_MODULES = (
    "app_dial", "app_mixmonitor", "app_playback", "app_transfer", "app_stack", "bridge_native_rtp",
    "bridge_softmix", "codec_alaw", "format_wav", "format_pcm", "func_callerid", "func_channel",
    "func_global", "res_clioriginate", "res_musiconhold", "res_pjsip_authenticator_digest",
    "res_pjsip_caller_id",
    "res_pjsip_dtmf_info", "res_pjsip_outbound_authenticator_digest", "res_pjsip_refer",
    "res_pjsip_registrar", "res_pjsip_rfc3326", "res_timing_timerfd",
)  # fmt: skip

_PJSIP = """
[global]
type=global
endpoint_identifier_order=username,ip
[registered]
type=transport
protocol=udp
bind={hosts[0]}:{ports[0]}
[by-address]
type=transport
protocol=udp
bind={hosts[1]}:{ports[1]}

[{number}]
type=endpoint
transport=registered
context=pbx
aors={number}
auth={number}
disallow=all
allow=ulaw,alaw
direct_media=no
rtp_symmetric=yes
[{number}]
type=auth
auth_type=userpass
username={number}
password={password}
[{number}]
type=aor
max_contacts=1

[offhook]
type=endpoint
transport=by-address
context=pbx
aors=offhook
disallow=all
allow=ulaw
direct_media=yes
[offhook]
type=aor
contact=sip:{hosts[0]}:{gateway}
[offhook]
type=identify
endpoint=offhook
match={hosts[0]}

[1001]
type=endpoint
transport=registered
context=pbx
disallow=all
allow=ulaw
direct_media=yes
"""
_EXTENSIONS = """
[pbx]
exten => 100,1,Answer()
 same => n,MixMonitor({folder}/heard-100.wav,r({folder}/in-100.wav))
 same => n,Playback({folder}/{spoken})
 same => n,Wait(9)
 same => n,Hangup()
exten => 101,1,Answer()
 same => n,MixMonitor({folder}/mixed-101.wav,r({folder}/in-101.wav))
 same => n,Playback({folder}/music/{on_hold})
 same => n,Wait(12)
exten => 102,1,Busy(3)
exten => 103,1,Ringing()
 same => n,Wait(30)
exten => 104,1,Answer()
 same => n,Wait(1)
 same => n,Transfer(PJSIP/sip:101@{hosts[1]}:{ports[1]})
 same => n,Set(GLOBAL(TRANSFERRED)=${{TRANSFERSTATUS}})
 same => n,Playback({folder}/{spoken})
 same => n,Wait(8)
exten => 107,1,Answer()
 same => n,Wait(1)
 same => n,Transfer(PJSIP/sip:102@{hosts[1]}:{ports[1]})
 same => n,Set(GLOBAL(TRANSFERRED)=${{TRANSFERSTATUS}})
 same => n(again),Playback({folder}/{spoken})
 same => n,Wait(2)
 same => n,Goto(again)
exten => 105,1,Dial(PJSIP/1001/sip:1001@${{PHONE}},20)
exten => 106,1,Answer()
 same => n(again),Wait(2)
 same => n,Playback({folder}/{spoken})
 same => n,Wait(4)
 same => n,Goto(again)

[to-us]
exten => _90XX,1,Set(CALLERID(num)=${{EXTEN}})
 same => n,Dial(PJSIP/{number},20)
 same => n,Hangup()
exten => _91XX,1,Set(CALLERID(num)=${{EXTEN}})
 same => n,Dial(PJSIP/echo@offhook,20)
 same => n,Hangup()

[speaks]
exten => talk,1,MixMonitor({folder}/mixed-talk.wav,r({folder}/in-talk.wav))
 same => n,Wait(1)
 same => n,Playback({folder}/{spoken})
 same => n,Wait(7)
 same => n,Hangup()
exten => on,1,MixMonitor({folder}/mixed-on.wav,r({folder}/in-on.wav))
 same => n(again),Wait(1)
 same => n,Playback({folder}/{spoken})
 same => n,Wait(5)
 same => n,Goto(again)
"""


class Exchange(Asterisk):
    """The Asterisk that is called and calls."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.ports = free_port(_HOSTS[0]), free_port(_HOSTS[1])
        self.gateway = free_port()
        """The UDP port where we shall listen."""

    @property
    def registrar(self) -> str:
        return f"{_HOSTS[0]}:{self.ports[0]}"

    @property
    def by_address(self) -> str:
        return f"{_HOSTS[1]}:{self.ports[1]}"

    def begin(self) -> None:
        """Start with the configuration of these tests."""
        rtp = free_port()
        for name in (SPOKEN, ON_HOLD):
            (self.folder / "music").mkdir(exist_ok=True)
            shutil.copy(SPEECH / f"{name}.wav", self.folder / ("music" if name == ON_HOLD else ""))
        values = {
            "hosts": _HOSTS, "ports": self.ports, "number": NUMBER, "password": PASSWORD, "spoken": SPOKEN,
            "on_hold": ON_HOLD,
            "gateway": self.gateway, "folder": self.inside,
        }  # fmt: skip
        files = {
            "pjsip.conf": _PJSIP.format(**values),
            "extensions.conf": _EXTENSIONS.format(**values),
            "rtp.conf": f"[general]\nrtpstart={rtp}\nrtpend={rtp + 400}\n",
            "musiconhold.conf": f"[default]\nmode=files\ndirectory={self.inside}/music\n",
        }
        self.start(files, _MODULES)

    def call_us(self, caller: str, *, speaks: str = "talk") -> None:
        """Have somebody in the exchange call us and speak: 90xx by our registration, 91xx by our address."""
        told = self.ask(f"channel originate Local/{caller}@to-us/n extension {speaks}@speaks")
        assert "No such command" not in told, told

    def channels(self) -> list[str]:
        """The names of the channels that are up."""
        lines = self.ask("core show channels concise").splitlines()
        return [line.partition("!")[0] for line in lines if "!" in line]

    def hang_up(self) -> None:
        """End whatever runs."""
        self.ask("channel request hangup all")
        until = time.monotonic() + 5.0
        while self.channels() and time.monotonic() < until:
            time.sleep(0.1)

    def variable(self, name: str) -> str:
        """A global variable."""
        found = re.search(rf"{name}=(.*)", self.ask("dialplan show globals"))
        return found[1].strip() if found else ""

    def recording(self, name: str) -> Path:
        """What a channel heard from its far end: `100`, `101`, `talk` or `on`."""
        return self.folder / f"in-{name}.wav"


def root_of_asterisk() -> Path | None:
    """Where Asterisk is: as the environment says, else where it is installed; None for nowhere."""
    if told := os.environ.get("OFFHOOK_ASTERISK"):
        return Path(told)
    return Path("/") if Path("/usr/sbin/asterisk").exists() else None


def wait_until(true: Callable[[], bool], seconds: float, what: str) -> None:
    """Raises AssertionError when it does not come true."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, f"{what} within {seconds} s"
        time.sleep(0.1)
