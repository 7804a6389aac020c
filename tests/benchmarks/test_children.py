"""Whatever happens, a child of a benchmark is gone afterwards."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.children import Child


class Sleeper(Child[str]):
    """Sleeps; `ready` says whether it comes up, `obeys` whether it ends when asked."""

    def __init__(self, *, ready: bool = True, obeys: bool = True) -> None:
        super().__init__()
        self.ready, self.obeys, self.tidied = ready, obeys, 0
        self.seen: list[subprocess.Popen[str]] = []

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(60)"], stdin=subprocess.PIPE, text=True
        )
        self.seen.append(process)
        return process

    def _await_ready(self) -> None:
        if not self.ready:
            raise RuntimeError("it did not come up")

    def _stop(self, process: subprocess.Popen[str]) -> None:
        if self.obeys:
            process.terminate()
        process.communicate(timeout=5.0 if self.obeys else 0.05)

    def _tidy(self) -> None:
        self.tidied += 1


@pytest.mark.parametrize("obeys", [True, False])
def test_it_is_gone_after_the_block(obeys: bool) -> None:
    child = Sleeper(obeys=obeys)
    with pytest.raises(KeyError), child as running:
        assert running.pid == child.seen[0].pid
        raise KeyError
    assert child.seen[0].returncode is not None and child.tidied == 1
    with pytest.raises(AssertionError, match="over"):
        child.pid  # noqa: B018


def test_it_is_gone_when_it_does_not_come_up() -> None:
    child = Sleeper(ready=False)
    with pytest.raises(RuntimeError, match="come up"):
        with child:
            raise AssertionError("entered")
    assert child.seen[0].returncode is not None and child.tidied == 1
