from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from benchmarks.processes import core_share, thread_shares, usage

BUSY = "import time; end = time.monotonic() + 30\nwhile time.monotonic() < end: pass"


def test_a_busy_process_uses_cpu_and_a_waiting_one_does_not() -> None:
    with subprocess.Popen([sys.executable, "-c", BUSY]) as busy:
        try:
            time.sleep(0.1)
            first, mine = usage(busy.pid), usage(os.getpid())
            threads = thread_shares(busy.pid, 0.4)
            second, mine_later = usage(busy.pid), usage(os.getpid())
        finally:
            busy.kill()
    assert core_share(first, second) > core_share(mine, mine_later)
    assert sum(threads.values()) > 5.0
    assert second.threads == 1
    assert second.rss_mib > 1.0
    assert second.descriptors >= 3


def test_a_process_that_is_gone_is_said_to_be_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    with pytest.raises(ProcessLookupError):
        usage(process.pid)
