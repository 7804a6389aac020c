"""What a caller heard and when, from the packets at his end of the line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from callers.pcap import Datagram
from callers.rtp import RtpStream, streams
from callers.sipp import Sipp
from callers.speech import Spoken

_PAUSE_NS = 450_000_000
"""A longer silence parts two utterances; the pauses within ours are shorter."""
_NS = 1e9


@dataclass(frozen=True)
class Overheard:
    """One call's packets at the caller's side."""

    invited_ns: int
    """When his INVITE was on the wire."""
    answered_ns: int
    """When the 200 to it was."""
    caller: RtpStream | None
    reply: RtpStream

    def end_of_speech_ns(self, spoken: Spoken) -> int:
        """When the last voiced sample of a prompt had been spoken."""
        assert self.caller is not None
        return self.caller.sound.spoken_ns(spoken.end - 1) + 125_000

    def utterances(self, since_ns: int) -> list[tuple[float, float]]:
        """First and last sounding packet of each stretch that he heard, in seconds after a moment."""
        at = self.reply.arrived_ns[self.reply.audible_packets()]
        at = at[at >= since_ns]
        cuts = np.flatnonzero(np.diff(at) > _PAUSE_NS) + 1
        return [
            (float(part[0] - since_ns) / _NS, float(part[-1] - since_ns) / _NS)
            for part in np.split(at, cuts)
            if len(part)
        ]


def overheard(sipp: Sipp, packets: list[Datagram]) -> Overheard:
    """A call's part of a capture that has its ports, those of SIP too."""
    port = sipp.sip_port
    invites = [one.at_ns for one in packets if one.source.port == port and one.payload[:7] == b"INVITE "]
    answers = [
        one.at_ns
        for one in packets
        if one.destination.port == port
        and one.payload.startswith(b"SIP/2.0 200")
        and b"INVITE" in one.payload.partition(b"CSeq:")[2][:20]
    ]
    media = sipp.media_port
    mine = streams(one for one in packets if media in (one.source.port, one.destination.port))
    sent = [stream for stream in mine if stream.source.port == media]
    (came,) = [stream for stream in mine if stream.destination.port == media]
    return Overheard(invites[0], answers[0], sent[0] if sent else None, came)
