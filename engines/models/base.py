"""Where an engine gets its model files from. An engine asks for a source and is given a path; no more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from engines.base import EngineError

Report: TypeAlias = Callable[[str], None]
"""Tells how far loading is, such as "downloading 43 %" or "loading".

May be called from any thread; may raise, and so end the work that reports.
"""


class Models(Protocol):
    """Model files by source."""

    def path(self, source: str, sha256: str = "") -> Path:
        """A file or folder on this machine that holds the model, whole and checked.

        `source` is a path, `file:`, `https:` or `s3:` address, or a name that the store knows. Blocks, for
        minutes where something must be downloaded: call it in the thread that loads the engine. What comes
        from elsewhere needs `sha256` (64 hexadecimal digits), unless the store knows one; what lies on this
        machine is checked where one is given. Nobody removes the path while this process runs.
        Raises `ModelError`, whose text names the cure.
        """


def warming(models: Models) -> None:
    """Tell whoever watches the store that the model is loaded and runs for the first time."""
    if isinstance(models, _Watched):
        models.warming()


@runtime_checkable
class _Watched(Protocol):
    """A store whose progress somebody is shown."""

    def warming(self) -> None: ...


class ModelError(EngineError):
    """A model cannot be had; the same request will fail again until somebody mends the cause."""

    retryable = False


class ModelUnreachable(ModelError):
    """The place that holds the model did not answer, or not to the end; later it may."""

    retryable = True


class ModelUnfit(ModelError):
    """A model's content is not what it should be: another digest, or something that no model needs."""
