"""`offhook batch` on the command line."""

from __future__ import annotations

import typer

batch_app = typer.Typer(
    help="Recordings that are recognised later, and the callbacks with their results.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@batch_app.callback()
def batch() -> None:
    """Keeps `secret` a command of its own."""


@batch_app.command("secret")
def secret() -> None:
    """Print a new secret that signs callbacks.

    Put it into the configuration as batch.callback.secret (better: batch.callback.secret_file) and give it to
    whoever receives the callbacks; gateway/batch/README.md shows how they are checked.
    """
    from gateway.webhook_signature import new_secret

    typer.echo(new_secret())
