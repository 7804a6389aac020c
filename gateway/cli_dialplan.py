"""`offhook dialplan ...`: check plans, ask them, test them, compare them."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli_run import load as _load
from gateway.cli_run import run as _run

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.dialplan.plan import Dialplan

dialplan_app = typer.Typer(help="Check, ask, test and compare dialplans.", no_args_is_help=True)

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="OFFHOOK_CONFIG",
        help="YAML file; without one the defaults hold. OFFHOOK_<SECTION>__<FIELD> overrides single fields.",
    ),
]
AnyAgent = Annotated[
    bool, typer.Option("--any-agent", help="Take every agent's name for good, whatever is configured")
]


@dialplan_app.command("check")
def check(
    files: Annotated[list[Path] | None, typer.Argument(help="Dialplans; default: those configured")] = None,
    any_agent: AnyAgent = False,
    config: ConfigFile = None,
) -> None:
    """Say everything that is wrong with the dialplans, and everything worth a look.

    Beside mistakes in the file: routes and answers that are never reached, `goto`s that go round for ever,
    actions without a fallback, calls that anybody could make at your cost, agents, trunks and variables that
    do not exist. Each with file, line, field and cure.

    Exit code 0 when there is nothing to say, 1 for findings, 2 when the dialplan cannot be used.
    """
    from gateway.dialplan.check import Known, findings
    from gateway.problems import listing

    settings = _run(lambda: _load(config))
    plan = _run(lambda: _plan(settings, files, any_agent=any_agent))
    trunks = [trunk.name for trunk in settings.sip.trunks] or None
    known = Known(trunks, bool(settings.dialplan.secret) if config is not None else None)
    found = findings(plan, known)
    if found:
        typer.echo(listing(found))
    typer.echo(f"{'found: ' + str(len(found)) if found else 'good'}: {len(plan.routes)} routes")
    if plan.skipped:
        typer.echo(f"left out, because their agents are not configured: {', '.join(plan.skipped)}")
    raise typer.Exit(1 if found else 0)


@dialplan_app.command("route")
def route(
    called: Annotated[str, typer.Argument(help="Called number")],
    caller: Annotated[str, typer.Option(help="Calling number")] = "",
    trunk: Annotated[str, typer.Option(help="Trunk the call comes through")] = "local",
    at: Annotated[str, typer.Option(help="When, like '2026-12-24 10:00 Europe/Berlin'; default: now")] = "",
    config: ConfigFile = None,
) -> None:
    """Say which route a call would take, or how it would be refused.

    \b
    Example:
      offhook dialplan route 1000 --caller +4930123 --trunk carrier --at "2026-12-24 10:00 Europe/Berlin"

    Exit code 0 when a route takes it, 1 when none does, 2 when the dialplan cannot be used.
    """
    from gateway.dialplan.match import Arrival
    from gateway.errors import DialplanError, verdict
    from gateway.rehearsal.case import read_moment
    from media.legs.base import Parties

    settings = _run(lambda: _load(config))
    plan = _run(lambda: _plan(settings, None))
    try:
        moment = read_moment(at) if at else datetime.now(UTC)
    except ValueError:
        raise typer.BadParameter(
            "write it like '2026-12-24 10:00 Europe/Berlin'", param_hint="--at"
        ) from None
    try:
        found = plan.route(Arrival(Parties(caller, called, trunk), moment))
    except DialplanError as error:
        typer.echo(f"refused with {verdict(error).sip_code}: {error}")
        raise typer.Exit(1) from None
    typer.echo(f"{found.name}  ({found.source})")


@dialplan_app.command("test")
def test(
    files: Annotated[list[Path], typer.Argument(help="Plans, their *.test.yaml, or folders of them")],
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show every call as it went")] = False,
    config: ConfigFile = None,
) -> None:
    """Play the cases that lie beside a dialplan: whole calls, about a thousand times faster than real ones.

    The route runner is the real one; telephone, recogniser, voice, agents and servers follow the case. A case
    that comes out otherwise is shown with what was expected and the call as it went.

    Exit code 0 when every case holds, 1 when one does not, 2 when a file cannot be used.
    """
    from gateway.rehearsal.report import run_files

    settings = _run(lambda: _load(config))
    began = time.perf_counter()
    report = _run(lambda: run_files(files, settings.session, settings.dialplan.region))
    for line in report.lines(verbose=verbose):
        typer.echo(line)
    spent = time.perf_counter() - began
    typer.echo(
        f"{report.passed} passed, {report.failed} failed: {report.seconds:.0f} s of calls in {spent:.2f} s"
    )
    raise typer.Exit(1 if report.failed or not report.passed else 0)


@dialplan_app.command("diff")
def diff(
    old: Annotated[Path, typer.Argument(help="The plan as it is: a file or a folder")],
    new: Annotated[Path, typer.Argument(help="The plan as it shall be")],
    calls: Annotated[Path, typer.Option(help="Recorded calls: calls.jsonl of node.record_dir")],
    show: Annotated[int, typer.Option(help="Lines of the table at most", min=1)] = 50,
    config: ConfigFile = None,
) -> None:
    """Say which recorded calls would go elsewhere, each judged at the time when it came.

    Exit code 0 when none would, 1 when some would, 2 when a file cannot be used. Calls whose route stays the
    same but does something else now are counted apart.
    """
    from gateway.dialplan.compare import Difference, differences, past_calls
    from gateway.dialplan.plan import Dialplan

    settings = _run(lambda: _load(config))
    region = settings.dialplan.region
    before = _run(lambda: Dialplan.load([old], region=region))
    after = _run(lambda: Dialplan.load([new], region=region))
    elsewhere: list[Difference] = []
    unknown: Counter[str] = Counter()
    seen = unread = changed = 0
    try:
        for call in past_calls(calls):
            if call is None:
                unread += 1
                continue
            seen += 1
            unknown.update(call.unknown(before, after))
            found = differences(before, after, call)
            changed += found is not None and not found.elsewhere
            if found is not None and found.elsewhere:
                elsewhere.append(found)
    except OSError as error:
        typer.echo(f"{calls}: {(error.strerror or 'cannot be read').lower()}", err=True)
        raise typer.Exit(2) from None
    _table(elsewhere[:show])
    if len(elsewhere) > show:
        typer.echo(f"... and {len(elsewhere) - show} more")
    typer.echo(f"{len(elsewhere)} of {seen} calls would go elsewhere; {changed} stay on a route that changed")
    for name, calls_without in sorted(unknown.items()):
        typer.echo(f"{calls_without} calls are judged as if no {name} had come: their records do not tell")
    if unread:
        typer.echo(f"{unread} lines are no records")
    raise typer.Exit(1 if elsewhere else 0)


def _table(rows: list) -> None:  # type: ignore[type-arg]
    if not rows:
        return
    cells = [("call", "at", "caller", "called", "old", "new")]
    for row in rows:
        arrival = row.call.arrival
        at = arrival.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
        parties = arrival.parties
        cells.append((row.call.call_id[:16], at, parties.caller, parties.called, row.old, row.new))
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    for row in cells:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _plan(settings: Config, files: list[Path] | None, *, any_agent: bool = False) -> Dialplan:
    from gateway.dialplan.plan import BUILT_IN, Dialplan

    paths = files or list(settings.dialplan.files) or [BUILT_IN]
    agents = None if any_agent else frozenset(settings.agents)
    return Dialplan.load(paths, agents, settings.dialplan.region)
