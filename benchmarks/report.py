"""What a benchmark hands over: a table to read, a JSON file to compare, an exit code to trust."""

from __future__ import annotations

import datetime
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

OUTPUT = Path("build/benchmarks")


@dataclass(frozen=True, slots=True)
class Bar:
    """One promise and what was measured against it."""

    what: str
    value: float
    limit: float
    unit: str = ""
    at_least: bool = False
    """The limit is a floor, not a ceiling."""

    @property
    def kept(self) -> bool:
        """A figure that could not be measured (NaN) keeps no promise."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def machine() -> dict[str, str | int | float]:
    """The class of this machine and how busy it was: a figure without it says nothing."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": model,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_1min_at_start": round(os.getloadavg()[0], 2),
    }


def quantiles(samples: Sequence[float] | np.ndarray[Any, Any], *shares: float) -> list[float]:
    """Percentiles over all samples; NaN when there is none."""
    if not len(samples):
        return [float("nan")] * len(shares)
    return [float(value) for value in np.quantile(np.asarray(samples, dtype=np.float64), shares)]


@dataclass
class Report:
    """Collects rows and bars, then prints and stores them."""

    name: str
    columns: Sequence[str]
    rows: list[Sequence[float | int | str]] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    machine: Mapping[str, str | int | float] = field(default_factory=machine)

    def row(self, *values: float | int | str) -> None:
        self.rows.append(values)

    def bar(self, what: str, value: float, limit: float, unit: str = "", *, at_least: bool = False) -> None:
        self.bars.append(Bar(what, value, limit, unit, at_least))

    def note(self, text: str) -> None:
        """Something that the reader of the figures must know."""
        self.notes.append(text)

    def finish(self) -> int:
        """Print everything and write `build/benchmarks/NAME.json`; 0 when every bar was kept, else 1."""
        console = Console(width=None if sys.stdout.isatty() else 170)
        console.print(self._table())
        if self.bars:
            console.print(self._bar_table())
        for note in self.notes:
            console.print(f"note: {note}", highlight=False)
        facts = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        console.print(f"machine: {facts}", highlight=False)
        console.print(f"written: {self.store()}", highlight=False)
        return 0 if all(bar.kept for bar in self.bars) else 1

    def store(self) -> Path:
        """Write the JSON file and return its path."""
        OUTPUT.mkdir(parents=True, exist_ok=True)
        path = OUTPUT / f"{self.name}.json"
        content = {
            "name": self.name,
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "machine": dict(self.machine),
            "columns": list(self.columns),
            "rows": [list(row) for row in self.rows],
            "bars": [{**asdict(bar), "kept": bar.kept} for bar in self.bars],
            "notes": self.notes,
            "details": self.details,
        }
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        return path

    def _table(self) -> Table:
        table = Table(title=self.name)
        for column in self.columns:
            table.add_column(column, justify="right", overflow="fold")
        for row in self.rows:
            table.add_row(*(shown(value) for value in row))
        return table

    def _bar_table(self) -> Table:
        table = Table(title="bars")
        for column in ("what", "measured", "limit", "kept"):
            table.add_column(column, justify="left" if column == "what" else "right")
        for bar in self.bars:
            sign = "≥" if bar.at_least else "≤"
            limit = f"{sign} {shown(bar.limit)} {bar.unit}".strip()
            verdict = "yes" if bar.kept else "[bold red]NO[/]"
            table.add_row(bar.what, f"{shown(bar.value)} {bar.unit}".strip(), limit, verdict)
        return table


def shown(value: float | int | str) -> str:
    """A figure with three significant digits, whole numbers as they are."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)
