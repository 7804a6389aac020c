"""`offhook models` on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from engines.models.settings import ModelSettings

models_app = typer.Typer(
    help="""Fetch, list, check and remove model files.

Models that do not come with an engine are fetched once and kept for all workers of this machine
(models.folder). A source is a name that `offhook models list` shows, or an https:// or s3://bucket/key
address. What comes from elsewhere needs its SHA-256, so that nobody can slip you another file. Workers
fetch by themselves what their settings name; pulling beforehand saves them the wait.

\b
  offhook models list
  offhook models pull https://models.example.com/en.nemo --sha256 9f86d0…
  offhook models pull s3://voices/en.zip --sha256 60303a…
  offhook models verify
  offhook models rm en.nemo
""",
    no_args_is_help=True,
    rich_markup_mode=None,
)

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", envvar="OFFHOOK_CONFIG", help="YAML file; its section `models` counts here."
    ),
]
Meant = "source, file name, or first characters (6 or more) of the key"


@models_app.command("list")
def list_(config: ConfigFile = None) -> None:
    """Show the models that are kept, unfinished downloads, and the models known by name. Exit code 0."""
    from gateway.models_command import list_models

    raise typer.Exit(list_models(_settings(config), _console(to_stdout=True)))


@models_app.command()
def pull(
    source: Annotated[str, typer.Argument(help="Name, https:// address or s3://bucket/key")],
    sha256: Annotated[str, typer.Option(help="SHA-256 of the file; else that of models.pins")] = "",
    config: ConfigFile = None,
) -> None:
    """Fetch a model, check it, and print its path.

    A download that was cut goes on where it stopped, today or tomorrow; two pulls of one model share one
    download. Archives (.zip, .tar, .tar.gz, …) are unpacked. Files that would run code when they
    are loaded are refused.

    Exit code 0 when the model is there, 1 when it cannot be had or is not what its SHA-256 says, 2 when the
    configuration cannot be used.
    """
    from gateway.models_command import pull_model

    raise typer.Exit(pull_model(_settings(config), source, sha256, _console(to_stdout=False)))


@models_app.command()
def verify(
    models: Annotated[list[str] | None, typer.Argument(help=f"Each a {Meant}; default: all")] = None,
    config: ConfigFile = None,
) -> None:
    """Read models again and compare every file. Exit code 0 when all are good, 1 when not."""
    from gateway.models_command import verify_models

    raise typer.Exit(verify_models(_settings(config), models or [], _console(to_stdout=True)))


@models_app.command()
def rm(
    models: Annotated[list[str], typer.Argument(help=f"Each a {Meant}")], config: ConfigFile = None
) -> None:
    """Remove models and unfinished downloads; what a running worker uses stays.

    Exit code 0 when all are gone, 1 when one is in use or is not there.
    """
    from gateway.models_command import remove_models

    raise typer.Exit(remove_models(_settings(config), models, _console(to_stdout=True)))


def _settings(config: Path | None) -> ModelSettings:
    from gateway.cli_run import load, run

    return run(lambda: load(config)).models


def _console(*, to_stdout: bool) -> Console:
    from rich.console import Console

    return Console(highlight=False, stderr=not to_stdout)
