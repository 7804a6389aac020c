"""The model store as the configuration wants it, and `offhook models`."""

from __future__ import annotations

from engines.models.base import Report
from engines.models.progress import in_words
from engines.models.store import ModelStore
from gateway.config import Config


def _silent(detail: str) -> None: ...


def models_of(config: Config, report: Report = _silent) -> ModelStore:
    """Where the engines of this process get their model files from."""
    return ModelStore(config.models, in_words(report))
