"""Memory goes back when it is freed."""

from __future__ import annotations

import subprocess
import sys

from engines.heap import keep_heap_small

CHURN = """
import numpy as np, random
from engines.heap import keep_heap_small
assert keep_heap_small()

def held():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])

rng = random.Random(1)
before = held()
for _ in range(40):
    kept = [np.ones(rng.randint(100_000, 1_000_000)) for _ in range(20)]
    small = [np.ones(100) for _ in range(100)]
del kept
print(held() - before)
"""


def test_arrays_of_all_sizes_leave_nothing_behind() -> None:
    done = subprocess.run([sys.executable, "-c", CHURN], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 4096, "kilobytes"


def test_another_c_library_is_left_as_it_is() -> None:
    assert keep_heap_small(object()) is False
