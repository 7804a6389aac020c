from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from benchmarks.report import Bar, Report, quantiles, shown


def test_a_bar_is_a_ceiling_or_a_floor() -> None:
    assert Bar("x", 2.0, 2.0).kept
    assert not Bar("x", 2.1, 2.0).kept
    assert Bar("x", 2.1, 2.0, at_least=True).kept
    assert not Bar("x", 1.9, 2.0, at_least=True).kept


@pytest.mark.parametrize("at_least", [True, False])
def test_what_could_not_be_measured_keeps_no_promise(at_least: bool) -> None:
    assert not Bar("x", math.nan, 2.0, at_least=at_least).kept


def test_quantiles_use_every_sample() -> None:
    assert quantiles(list(range(101)), 0.5, 0.99, 1.0) == [50.0, 99.0, 100.0]
    assert all(map(math.isnan, quantiles([], 0.5, 0.99)))


def test_report_is_stored_whole_and_its_exit_code_is_honest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    report = Report("trial", ("calls", "ms"))
    report.row(1, 2.5)
    report.bar("good", 1.0, 2.0, "ms")
    assert report.finish() == 0
    report.bar("bad", 3.0, 2.0, "ms")
    assert report.finish() == 1
    stored = json.loads((tmp_path / "build/benchmarks/trial.json").read_text(encoding="utf-8"))
    assert stored["rows"] == [[1, 2.5]]
    assert [bar["kept"] for bar in stored["bars"]] == [True, False]
    assert stored["machine"]["cores"] >= 1


def test_figures_are_shown_short() -> None:
    assert [shown(0.12345), shown(12345.6), shown(7), shown("-")] == ["0.123", "12,346", "7", "-"]
