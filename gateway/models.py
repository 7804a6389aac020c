"""The model store as the configuration wants it."""

from __future__ import annotations

from engines.models.base import Models, Report
from engines.models.local import LocalModels
from gateway.config import Config


def _silent(detail: str) -> None: ...


def models_of(config: Config, report: Report = _silent) -> Models:
    """Where the engines of this process get their model files from."""
    return LocalModels()
