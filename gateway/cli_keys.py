"""`offhook keys` on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli_run import load as _load
from gateway.cli_run import run as _run

if TYPE_CHECKING:
    from datetime import datetime

    from gateway.keys.keyring import Keyring

keys_app = typer.Typer(
    help="""Make, list and revoke the keys of the speech APIs.

    Keys are kept hashed in `api.keys_file`; a running node sees changes with the next request. Clients send
    one as `Authorization: Token <key>`, `Bearer <key>`, `X-API-Key`, `?api_key=`, or the WebSocket
    sub-protocols `token, <key>`.
    """,
    no_args_is_help=True,
)

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", envvar="OFFHOOK_CONFIG", help="YAML file; its `api.keys_file` counts here."
    ),
]


@keys_app.command("create")
def keys_create(
    name: Annotated[str, typer.Argument(help="Whose key it is, such as a team or an application")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="listen, speak, calls, control, words, web_calls; may be repeated. Default: listen, speak"
        ),
    ] = None,
    expires: Annotated[
        str, typer.Option(help="A span such as 90d, 12h or 2w, or a date such as 2027-01-31")
    ] = "",
    per_minute: Annotated[
        int, typer.Option(help="Requests and sockets begun in a minute; 0: no limit", min=0)
    ] = 0,
    at_once: Annotated[
        int, typer.Option(help="Requests and sockets at the same time; 0: no limit", min=0)
    ] = 0,
    config: ConfigFile = None,
) -> None:
    """Make a key and print it, this once: only its hash is kept.

    \b
    Examples:
      offhook keys create demo
      offhook keys create bot --scope listen --expires 90d --per-minute 600 --at-once 50

    The key stands alone on stdout, what it may do on stderr. Exit code 0, or 2 when it could not be kept.
    """

    def work() -> None:
        from gateway.keys import commands

        keyring, now = _keyring(config)
        key, text = commands.create(keyring, name, scope or (), expires, per_minute, at_once, now)
        typer.echo(text)
        until = f"until {key.expires:%Y-%m-%d %H:%M} UTC" if key.expires else "without end"
        typer.echo(f"{key.key_id}: {', '.join(sorted(key.scopes))}, {until}; it is not shown again", err=True)

    _run(work)


@keys_app.command("list")
def keys_list(config: ConfigFile = None) -> None:
    """Show every key: its id, name, scopes, limits and whether it is good, revoked or expired."""

    def work() -> None:
        from gateway.keys import commands

        keyring, now = _keyring(config)
        rows = commands.table(keyring.keys().values(), now)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    _run(work)


@keys_app.command("revoke")
def keys_revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `offhook keys list` shows it")],
    config: ConfigFile = None,
) -> None:
    """Refuse a key from now on; sockets that it has opened already stay. Exit code 2 when there is none."""

    def work() -> None:
        from gateway.keys import commands

        keyring, now = _keyring(config)
        typer.echo(f"revoked {commands.revoke(keyring, key_id, now).key_id}")

    _run(work)


def _keyring(path: Path | None) -> tuple[Keyring, datetime]:
    """The keys that the configuration names, and the time."""
    from datetime import UTC, datetime

    from gateway.keys.keyring import Keyring

    return Keyring(_load(path).api.keys_file), datetime.now(UTC)
