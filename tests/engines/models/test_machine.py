"""Memory, as the system tells it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.models.base import ModelError
from engines.models.machine import free_memory, need_memory


def test_a_container_has_no_more_than_its_limit_leaves(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9000 kB\nMemAvailable: 4000 kB\n")
    assert free_memory(meminfo, tmp_path) == 4_096_000
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("3000000\n")
    assert free_memory(meminfo, tmp_path) == 4_096_000
    (tmp_path / "memory.max").write_text("4000000\n")
    (tmp_path / "memory.stat").write_text("anon 7\ninactive_file 500000\n")
    assert free_memory(meminfo, tmp_path) == 1_500_000


def test_who_cannot_tell_stands_in_nobodys_way(tmp_path: Path) -> None:
    assert free_memory(tmp_path / "none", tmp_path) > 1 << 50


def test_this_machine_has_memory() -> None:
    assert 1 << 20 < free_memory() < 1 << 50


def test_what_is_missing_is_said_with_the_cure() -> None:
    with pytest.raises(ModelError, match=r"4\.0 GB cannot be loaded: 1\.0 GB of memory.*smaller model"):
        need_memory("a.nemo", 4_000_000_000, 1_000_000_000)
    need_memory("a.nemo", 4, 4)
