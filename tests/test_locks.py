"""The locked versions cover what the project says that it needs; else an environment lacks a package."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BY_SETUP = {"torch"}
"""Chosen by `deploy/setup_gpu.sh`, for the machine."""


def named(requirement: str) -> str:
    """A requirement's package, as PEP 503 writes it."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found.group()).lower()


def locked(path: str) -> set[str]:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    return {named(line) for line in lines if re.match(r"[A-Za-z0-9._-]+==", line)}


@pytest.mark.parametrize(
    ("lock", "extra", "cure"),
    [("requirements.lock", "dev", "make lock"), ("deploy/requirements-gpu.lock", "gpu", "make lock-gpu")],
)
def test_every_dependency_is_locked(lock: str, extra: str, cure: str) -> None:
    wanted = {*PROJECT["dependencies"], *PROJECT["optional-dependencies"][extra]}
    missing = {named(requirement) for requirement in wanted} - locked(lock) - BY_SETUP
    assert not missing, f"{lock} lacks {sorted(missing)}: run `{cure}`"
