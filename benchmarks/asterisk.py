"""Asterisk as the other arm of the capacity curve: `Echo()` behind one SIP port on loopback."""

from __future__ import annotations

from pathlib import Path

from callers.asterisk import Asterisk
from callers.sipp import free_port


class EchoAsterisk(Asterisk):
    """One Asterisk that sends everybody's packets back."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.port = free_port()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start_echo(self) -> None:
        """Start it. Raises AsteriskMissing."""
        self.start(
            {
                "rtp.conf": "[general]\nrtpstart=20000\nrtpend=28000\nstrictrtp=no\n",
                "extensions.conf": "[default]\nexten => echo,1,Answer()\n"
                " same => n,Echo()\n same => n,Hangup()\n",
                "pjsip.conf": f"[udp]\ntype=transport\nprotocol=udp\nbind=127.0.0.1:{self.port}\n"
                "[anonymous]\ntype=endpoint\ncontext=default\ndisallow=all\nallow=ulaw\ndirect_media=no\n"
                "rtp_symmetric=yes\nmedia_address=127.0.0.1\n",
            }
        )
