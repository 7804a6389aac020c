"""What was there at the start costs no pass of the collector any more; new cycles are still found."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref

from gateway.collector import settle


class Knot:
    """Refers to itself."""

    def __init__(self) -> None:
        self.me = self


def test_a_cycle_made_afterwards_is_still_found() -> None:
    before = gc.get_threshold()
    try:
        settle()
        assert gc.get_freeze_count() > 1000
        gone = weakref.ref(Knot())
        gc.collect()
        assert gone() is None
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


def test_thousands_of_new_objects_bring_no_full_pass() -> None:
    program = (
        "import gc\nfrom gateway.collector import settle\nsettle()\n"
        "before = gc.get_stats()[2]['collections']\nkept = [[n] for n in range(300_000)]\n"
        "print(gc.get_stats()[2]['collections'] - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
