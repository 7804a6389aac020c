"""A host of models with its certificate, and a store that believes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engines.models.outside import Outside
from engines.models.progress import nobody
from engines.models.settings import ModelSettings
from engines.models.store import ModelStore
from tests.fakes.model_host import ModelHost, make_certificate, model_host


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def host(certificate: tuple[Path, Path]) -> Iterator[ModelHost]:
    with model_host(*certificate) as serving:
        yield serving


@pytest.fixture
def store(tmp_path: Path, certificate: tuple[Path, Path]) -> Iterator[Callable[..., ModelStore]]:
    """Makes stores over one folder; they are impatient and do not pause between tries."""
    made: list[ModelStore] = []

    def make(watch: Any = nobody, outside: Outside | None = None, **settings: Any) -> ModelStore:
        usual = {
            "folder": str(tmp_path / "cache"),
            "ca_file": str(certificate[0]),
            "stall_seconds": 0.4,
            "keep_free_gb": 0.0,
            "tries": 3,
        }
        quick = outside or Outside(sleep=lambda seconds: None)
        made.append(ModelStore(ModelSettings(**{**usual, **settings}), watch, quick))
        return made[-1]

    yield make
    for each in made:
        each.close()
