"""Models that lie on this machine already."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from engines.models.base import ModelError, ModelUnfit
from engines.models.local import LocalModels, local_path


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("/models/a.nemo", Path("/models/a.nemo")),
        ("./a.nemo", Path("a.nemo")),
        ("~/a.nemo", Path.home() / "a.nemo"),
        ("file:///models/a%20b.nemo", Path("/models/a b.nemo")),
        ("file:/models/a.nemo", Path("/models/a.nemo")),
        ("file://localhost/models/a.nemo", Path("/models/a.nemo")),
        ("parakeet", None),
        ("https://host/a.nemo", None),
        ("s3://bucket/a.nemo", None),
    ],
)
def test_a_source_is_a_path_or_not(source: str, path: Path | None) -> None:
    assert local_path(source) == path


def test_a_file_is_given_once_its_digest_is_right(tmp_path: Path) -> None:
    model = tmp_path / "a.nemo"
    model.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    models = LocalModels()
    assert models.path(str(model)) == model
    assert models.path(model.as_uri(), digest.upper()) == model
    with pytest.raises(ModelUnfit, match=digest):
        models.path(str(model), "0" * 64)
    with pytest.raises(ModelError, match="64 hexadecimal"):
        models.path(str(model), "abc")
    with pytest.raises(ModelError, match="folder"):
        models.path(str(tmp_path), digest)


@pytest.mark.parametrize(
    "source", ["parakeet", "https://host/a.nemo", "file://elsewhere/a.nemo", "/no/model"]
)
def test_what_is_not_here_is_refused(source: str) -> None:
    with pytest.raises(ModelError):
        LocalModels().path(source)
