"""Small random models, made once for the run where NeMo is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

MakeModel = Callable[..., Path]


@pytest.fixture(scope="session")
def nemo_file(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """`nemo_file("hybrid")`: the path of a tiny model of that kind; made when it is first asked for."""
    from benchmarks.nemo_models import make

    folder = tmp_path_factory.mktemp("models")

    def made(kind: str, punctuation: bool = False) -> Path:
        path = folder / f"{kind}{'-marked' if punctuation else ''}.nemo"
        if not path.exists():
            make(path, "tiny", kind, punctuation=punctuation)
        return path

    return made
