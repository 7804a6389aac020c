"""What every command does: read the configuration, tell what can be mended without a traceback."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Config

T = TypeVar("T")

_NATIVE = ("pjsua2", "framebus")
"""What `make setup` builds, and pip alone does not bring."""


def load(path: Path | None, worker: str = "") -> Config:
    """The configuration of file and environment. `worker`: see `gateway.config.load`."""
    from gateway.config import load as read

    return read(path, os.environ, worker)


def run(work: Callable[[], T]) -> T:
    """Do the work; what the operator can mend becomes a message and exit code 2, not a traceback."""
    from engines.base import EngineError
    from gateway.errors import GatewayError
    from media.legs.base import LegError

    try:
        return work()
    except (GatewayError, LegError, EngineError) as error:
        typer.echo(f"offhook: {error}", err=True)
        raise typer.Exit(2) from None
    except ModuleNotFoundError as error:
        if error.name not in _NATIVE:
            raise
        typer.echo(f"offhook: {error.name} is not installed; build PJSIP with `make setup`", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
