"""Small random voices, made once for the run where Coqui's library is installed."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def vits_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VITS voice of three speakers."""
    from benchmarks import coqui_models

    return coqui_models.vits(tmp_path_factory.mktemp("vits"), speakers=3)


@pytest.fixture(scope="session")
def xtts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An XTTS model with one speaker."""
    from benchmarks import coqui_models

    return coqui_models.xtts(tmp_path_factory.mktemp("xtts"))
