"""The one clock of the program: the running loop's. Nothing else reads time outside the legs."""

from __future__ import annotations

import asyncio


def now() -> float:
    """Monotonic seconds of the running loop, comparable with `AudioFrame.arrived`.

    Raises `RuntimeError` outside a running loop: code there is to be given the time as an argument.
    """
    return asyncio.get_running_loop().time()
