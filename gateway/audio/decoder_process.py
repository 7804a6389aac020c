"""The decoder process: reads files that may be hostile, one after another, where they can harm only it.

Started as `python -m gateway.audio.decoder_process MEGABYTES`. Ends when its input does.
"""

from __future__ import annotations

import json
import resource
import sys
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import av.logging

from gateway.audio.decoder_wire import DONE, ERROR, INFO, SOUND, AudioInfo, Order, packet
from gateway.audio.file_reader import read_file
from gateway.audio.unreadable import Reason, Unreadable

_OPEN_FILES = 64


def serve(orders: BinaryIO, out: BinaryIO) -> None:
    """Answer every order until there are no more."""
    for line in iter(orders.readline, b""):
        _answer(Order.read(line), out)
        out.flush()


def _answer(order: Order, out: BinaryIO) -> None:
    try:
        for item in read_file(Path(order.path), order.ask, order.max_seconds):
            if isinstance(item, AudioInfo):
                out.write(packet(INFO, json.dumps(asdict(item)).encode()))
            else:
                out.write(packet(SOUND, item))
            out.flush()
        out.write(packet(DONE))
    except Unreadable as error:
        out.write(_refusal(error))
    except MemoryError:
        out.write(
            _refusal(Unreadable(Reason.BROKEN, "the audio asks for more memory than a decoder may use"))
        )


def _refusal(error: Unreadable) -> bytes:
    return packet(ERROR, json.dumps({"reason": error.reason, "detail": str(error)}).encode())


def confine(megabytes: int) -> None:
    """Take away what a decoder never needs: memory without end, writing files, many open ones."""
    resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    av.logging.set_level(None)
    confine(int(sys.argv[1]))
    serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
