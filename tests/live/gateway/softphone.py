"""Baresip, unmodified, as the softphone of a test: speaks a recording, writes down what it decodes."""

from __future__ import annotations

import subprocess
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from callers.sipp import free_port
from callers.speech import silence
from media.frame import Pcm
from tests.live.gateway.listening import prompt

_CONFIG = """
poll_method epoll
sip_listen {host}:{sip}
{certificate}
sip_verify_server no
audio_player aubridge,nil
audio_source aufile,{folder}/said.wav
audio_alert aufile,{folder}/alert.wav
snd_path {folder}
ausrc_srate {rate}
auplay_srate {rate}
rtp_ports {rtp}-{rtp_end}
module_path {modules}
module g711.so
module g722.so
module opus.so
module srtp.so
module aubridge.so
module sndfile.so
module aufile.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
"""
_FORMATS = {"opus/48000/2": (48_000, 2), "G722/16000/1": (16_000, 1)}
"""Rate and channels that baresip wants of a file for a codec; the rest are 8000 Hz mono."""


@dataclass(frozen=True, slots=True)
class Line:
    """How a softphone calls."""

    codec: str = "PCMA"
    """As baresip names it."""
    transport: str = "udp"
    encryption: str = ""
    """`srtp` offers it, `srtp-mand` insists."""
    name: str = "phone"


class Softphone:
    """One call to echo; a context manager that leaves no process behind."""

    def __init__(self, folder: Path, line: Line, target: str, said: str, *, seconds: int = 8) -> None:
        modules = sorted(Path("/usr/lib").glob("**/baresip/modules/aufile.so"))
        assert modules, "baresip is not installed; cure: apt-get install baresip-core"
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        rate, channels = _FORMATS.get(line.codec, (8_000, 1))
        _write(folder / "said.wav", np.concatenate([prompt(said).pcm, silence(8.0)]), rate, channels)
        encryption = f";mediaenc={line.encryption}" if line.encryption else ""
        account = f"<sip:{line.name}@127.0.0.1;transport={line.transport}>"
        (folder / "accounts").write_text(f"{account};regint=0;audio_codecs={line.codec}{encryption}\n")
        (folder / "contacts").touch()
        rtp = free_port()
        values = {
            "host": "127.0.0.1",
            "sip": free_port(),
            "certificate": f"sip_certificate {folder.parent}/tls.pem" if line.transport == "tls" else "",
            "folder": folder,
            "rate": rate,
            "rtp": rtp,
            "rtp_end": rtp + 3,
            "modules": modules[0].parent,
        }
        (folder / "config").write_text(_CONFIG.format(**values))
        uri = f"sip:echo@{target};transport={line.transport}"
        self._command = ["baresip", "-f", str(folder), "-e", f"/dial {uri}", "-t", str(seconds)]

    def __enter__(self) -> Softphone:
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()

    def wait(self, seconds: float = 20.0) -> int:
        """Its exit code, once it hung up."""
        return self._process.wait(seconds)

    def heard(self) -> Pcm:
        """What it decoded of our audio, at whatever rate."""
        (path,) = self._folder.glob("*-dec.wav")
        with wave.open(str(path), "rb") as file:
            return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def _write(path: Path, pcm: Pcm, rate: int, channels: int) -> None:
    """A file in the format that baresip wants; held samples are good enough for speech."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(pcm, rate // 8_000 * channels).astype("<i2").tobytes())
