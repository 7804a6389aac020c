"""What passes between the gateway and a decoder process, over the process's own pipes.

Asked: one line of JSON per file. Answered: packets of kind (1 octet), length (4 octets, big-endian) and
content. One `INFO`, then `SOUND` as long as there is some, then `DONE`; or at any point `ERROR`, the last.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass

HEADER = struct.Struct(">cI")
INFO, SOUND, DONE, ERROR = b"i", b"s", b"d", b"e"
BLOCK_SECONDS = 1.0
"""Sound in a packet; the last may be shorter."""


@dataclass(frozen=True, slots=True)
class RawFormat:
    """Sound without a container."""

    encoding: str
    """`linear16`, `linear32` (floating point), both little-endian, `mulaw` or `alaw`."""
    sample_rate: int
    channels: int = 1


@dataclass(frozen=True, slots=True)
class DecodeAsk:
    """What is wanted of a file."""

    sample_rate: int = 16000
    """Rate of the sound that comes out."""
    split: bool = False
    """Keep two channels apart, interleaved; otherwise all are mixed to one."""
    raw: RawFormat | None = None
    """How to read a file without a container; None lets the file say what it is."""


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What a file says of itself."""

    format: str
    """Its container: `wav`, `mp3`, `flac`, `ogg`, `m4a`, `webm`, `aac` or `raw`."""
    codec: str
    sample_rate: int
    channels: int
    """Channels in the file."""
    out_channels: int
    """Channels that come out, interleaved."""
    claimed_seconds: float | None
    """Its length by its own header; None when that does not say."""


@dataclass(frozen=True, slots=True)
class Order:
    """One file for the decoder process."""

    path: str
    ask: DecodeAsk
    max_seconds: float

    def line(self) -> bytes:
        """As it goes over the pipe."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Order:
        """The order in a line that `line` made."""
        fields = json.loads(line)
        ask = fields["ask"]
        raw = RawFormat(**ask.pop("raw")) if ask["raw"] else ask.pop("raw")
        return cls(fields["path"], DecodeAsk(**ask, raw=raw), fields["max_seconds"])


def packet(kind: bytes, content: bytes = b"") -> bytes:
    """One packet."""
    return HEADER.pack(kind, len(content)) + content
