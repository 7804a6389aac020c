"""`offhook license` on the command line."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

T = TypeVar("T")

license_app = typer.Typer(
    help="""Serve the licence proxy (port 6699), or look after licences.

The proxy asks the vendor's licence server on a schedule, tells the services of this site what they may do,
and goes on through an outage for the grace period. It never ends a call: what runs, runs. Without a licence
Offhook needs none of this.

\b
  offhook license --upstream https://license.example --vendor-key PUBLIC
  offhook license --file licence.jwt --vendor-key PUBLIC     a site without a way out
  offhook license status
  offhook license export > usage.jsonl                       its usage, by hand

\b
For trials, a vendor of your own:
  offhook license keygen > vendor.key
  offhook license serve-upstream --key-file vendor.key --licence lk-trial --days 30
""",
    invoke_without_command=True,
    rich_markup_mode=None,
)

Key = Annotated[str, typer.Option(envvar="LICENSE_KEY", help="The licence key; better given as LICENSE_KEY")]
Folder = Annotated[Path, typer.Option(help="Where the last answer and the usage journal are kept")]
KeyFile = Annotated[Path, typer.Option(help="The vendor's private key, as `keygen` prints it")]


@license_app.callback()
def proxy(
    context: typer.Context,
    key: Key = "",
    vendor_key: Annotated[
        str, typer.Option(envvar="OFFHOOK_LICENSE_VENDOR_KEY", help="The vendor's public key")
    ] = "",
    upstream: Annotated[str, typer.Option(help="The vendor's address")] = "",
    file: Annotated[Path | None, typer.Option(help="A signed licence, for a site without a way out")] = None,
    folder: Folder = Path("licence"),
    host: Annotated[str, typer.Option(help="Address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="PORT", help="TCP port")] = 6699,
) -> None:
    """Serve the licence proxy."""
    if context.invoked_subcommand is not None:
        return

    def work() -> None:
        from license.serving import serve_proxy
        from license.settings import ProxySettings

        settings = ProxySettings(key, vendor_key, folder, upstream, file, host, port)
        asyncio.run(serve_proxy(settings))

    _run(work)


@license_app.command()
def status(
    address: Annotated[str, typer.Argument(help="The proxy")] = "http://127.0.0.1:6699",
) -> None:
    """Ask a running proxy where the licence stands. Exit code 0 while new work is taken, 1 when not."""
    import httpx

    try:
        health = httpx.get(f"{address}/health", timeout=5.0)
        typer.echo(json.dumps(health.json(), indent=2))
    except (httpx.HTTPError, ValueError) as error:
        told = f"no proxy at {address} ({type(error).__name__}); start it with `offhook license`"
        typer.echo(f"offhook: {told}", err=True)
        raise typer.Exit(1) from None
    raise typer.Exit(0 if health.status_code == 200 else 1)


@license_app.command()
def export(folder: Folder = Path("licence")) -> None:
    """Print usage that was not delivered, one JSON object a line, and count it as delivered.

    For sites without a way out. Stop the proxy first: a journal has one owner.
    """

    def work() -> None:
        from license.journal import Journal

        journal = Journal(folder / "usage")
        while (batch := journal.next_batch()) is not None:
            for event in batch.events:
                typer.echo(event.line())
            sys.stdout.flush()
            journal.delivered(batch)
        journal.close()

    _run(work)


@license_app.command()
def keygen() -> None:
    """Print a new private key of a vendor; the public one goes to stderr."""
    from license.signature import new_key, public_of

    key = new_key()
    typer.echo(key)
    typer.echo(f"public key: {public_of(key)}", err=True)


@license_app.command()
def issue(
    key_file: KeyFile,
    licence_id: Annotated[str, typer.Option(help="Name of the licence")],
    days: Annotated[float, typer.Option(help="How long it lasts", min=0)] = 365.0,
    grace_hours: Annotated[float, typer.Option(help="Grace period", min=0, max=720)] = 24.0,
    calls: Annotated[int, typer.Option(help="Calls at once; 0: no limit", min=0)] = 0,
    streams: Annotated[int, typer.Option(help="Streams at once; 0: no limit", min=0)] = 0,
    hours: Annotated[float, typer.Option(help="Hours of sound in a month; 0: no limit", min=0)] = 0.0,
    feature: Annotated[
        list[str] | None, typer.Option(help="`calls` or `streams`; may be repeated; none: everything")
    ] = None,
) -> None:
    """Print a signed licence file."""

    def work() -> None:
        from license.entitlement import DAY, Terms, issue_licence

        ends, features = time.time() + days * DAY, tuple(feature or ())
        terms = Terms(licence_id, ends, grace_hours * 3600, features, calls, streams, hours)
        typer.echo(issue_licence(terms, key_file.read_text(encoding="utf-8").strip()))

    _run(work)


@license_app.command("serve-upstream")
def serve_upstream(
    key_file: KeyFile,
    licence: Annotated[list[str], typer.Option(help="A licence key that is known; may be repeated")],
    days: Annotated[float, typer.Option(help="How long each lasts from now", min=0)] = 30.0,
    grace_hours: Annotated[float, typer.Option(help="Grace period", min=0, max=720)] = 24.0,
    calls: Annotated[int, typer.Option(help="Calls at once; 0: no limit", min=0)] = 0,
    hours: Annotated[float, typer.Option(help="Hours of sound in a month; 0: no limit", min=0)] = 0.0,
    revoked: Annotated[list[str] | None, typer.Option(help="A licence key that is revoked")] = None,
    seconds: Annotated[float, typer.Option(help="How slowly it answers", min=0)] = 0.0,
    broken: Annotated[bool, typer.Option(help="Answers 500")] = False,
    wrong_key: Annotated[bool, typer.Option(help="Signs with a key nobody trusts")] = False,
    host: Annotated[str, typer.Option(help="Address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="TCP port", min=0, max=65535)] = 6700,
) -> None:
    """A small vendor's licence server for trials and tests; it can be slow, broken or wrong."""

    def work() -> None:
        from license.entitlement import DAY, Terms
        from license.serving import serve_vendor
        from license.signature import new_key, public_of
        from license.vendor import Office

        private = key_file.read_text(encoding="utf-8").strip()
        typer.echo(f"public key: {public_of(private)}", err=True)
        ends = time.time() + days * DAY
        terms = [
            Terms(f"trial-{number}", ends, grace_hours * 3600, (), calls, hours=hours)
            for number in range(len(licence))
        ]
        books = dict(zip(licence, terms, strict=True))
        office = Office(private, time.time, books, set(revoked or ()), seconds=seconds, broken=broken)
        office.wrong_key = new_key() if wrong_key else ""
        asyncio.run(serve_vendor(office, host, port))

    _run(work)


def _run(work: Callable[[], T]) -> T:
    """What the operator can mend becomes a message and exit code 2."""
    try:
        return work()
    except (ValueError, OSError) as error:
        typer.echo(f"offhook: {error}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
