"""Plays the cases of files and tells how they went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from gateway.calls.settings import SessionSettings
from gateway.dialplan.plan import TESTS, Dialplan
from gateway.errors import DialplanFileError
from gateway.metrics import Metrics
from gateway.problems import Problem
from gateway.rehearsal.case import Case, CaseFile, read_cases
from gateway.rehearsal.judge import mismatches, timeline
from gateway.rehearsal.perform import Outcome, rehearse

_SILENT = 50
"""The level `critical`: a rehearsal is told by its report, not by the log."""


@dataclass(frozen=True, slots=True)
class Played:
    """One case and what came of it."""

    where: str
    case: Case
    outcome: Outcome
    wrong: Sequence[str]


@dataclass(slots=True)
class Report:
    """All cases."""

    played: list[Played] = field(default_factory=list)

    @property
    def passed(self) -> int:
        return sum(not one.wrong for one in self.played)

    @property
    def failed(self) -> int:
        return sum(bool(one.wrong) for one in self.played)

    @property
    def seconds(self) -> float:
        """How long the calls were, for those who had them."""
        return sum(one.outcome.seconds for one in self.played)

    def lines(self, *, verbose: bool = False) -> Iterator[str]:
        """Every case that failed, with its call; with `verbose` all of them."""
        for one in self.played:
            if one.wrong or verbose:
                yield f"{'FAILED' if one.wrong else 'passed'}  {one.where}  {one.case.name}"
                yield from (f"    {told}" for told in one.wrong)
                yield from (f"  {told}" for told in timeline(one.outcome))


def run_files(paths: Sequence[Path], session: SessionSettings, region: str = "") -> Report:
    """Play every case beside these plans. Raises `DialplanFileError`, also where there is no case."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(_SILENT))
    try:
        report, metrics = Report(), Metrics()
        for file in _files(paths):
            plan = Dialplan.load(file.plan, region=region)
            for line, case in file.cases:
                outcome = rehearse(case, plan, session, metrics)
                wrong = mismatches(case.expect, outcome)
                report.played.append(Played(f"{file.path}:{line}", case, outcome, wrong))
        return report
    finally:
        structlog.configure(**before)


def _files(paths: Sequence[Path]) -> Iterator[CaseFile]:
    for path in paths:
        if path.is_dir():
            found = sorted(path.glob(f"*{TESTS}"))
        elif path.name.endswith(TESTS):
            found = [path]
        else:
            found = [path.with_name(path.name.removesuffix(".yaml") + TESTS)]
        if not found or not all(file.exists() for file in found):
            cure = f"write the cases into {found[0].name if found else '*' + TESTS} beside the plan"
            raise DialplanFileError([Problem(str(path), 0, "", "has no tests", cure)])
        yield from map(read_cases, found)
