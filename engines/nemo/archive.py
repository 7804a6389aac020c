"""Looks into a `.nemo` archive before anything in it is trusted: its members, its configuration, its weights.

A `.nemo` is a tar of `model_config.yaml`, weights as torch saves them, and the tokenizer's files.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from engines.models.base import ModelUnfit
from engines.models.content import check_content

CONFIG = "model_config.yaml"
_MOST_MEMBERS = 1000
_LARGEST_CONFIG = 16 * 1024 * 1024
"""Octets; vocabularies are in it."""
_SWELLING = 20
"""Times its own size that a compressed archive may unpack to."""
_REFERENCE = "nemo:"
"""In front of a file's name where the configuration means one of the archive."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A `.nemo` that may be unpacked."""

    path: Path
    config: Mapping[str, Any]
    size: int
    """Octets of all members."""


def inspect(path: Path) -> Archive:
    """Read the archive's table and configuration. Raises `ModelUnfit` with the reason.

    Links, paths upwards and weights that would run something when they are loaded are refused first.
    """
    sizes, text = _read(path)
    check_content(path)
    config = _config(path.name, text)
    weights = [name for name in sizes if name.endswith(".ckpt")]
    if len(weights) != 1:
        raise ModelUnfit(f"{path.name}: holds {len(weights)} files of weights, where a NeMo model has one")
    for name in _references(config):
        if name not in sizes:
            raise ModelUnfit(f"{path.name}: lacks {name!r}, which its configuration names; get the file anew")
    return Archive(path, config, sum(sizes.values()))


def _read(path: Path) -> tuple[dict[str, int], bytes]:
    """Sizes of the members by name, and the configuration."""
    sizes: dict[str, int] = {}
    text = b""
    most = path.stat().st_size * _SWELLING
    try:
        with tarfile.open(path, "r:*") as tar:
            for member in filter(tarfile.TarInfo.isfile, tar):
                name = PurePosixPath(member.name).as_posix()
                if name in sizes:
                    raise ModelUnfit(f"{path.name}: holds {name!r} twice; do not use this file")
                sizes[name] = member.size
                if len(sizes) > _MOST_MEMBERS or sum(sizes.values()) > most:
                    raise ModelUnfit(
                        f"{path.name}: unpacks to far more than a model would; do not use this file"
                    )
                if name == CONFIG and (file := tar.extractfile(member)) is not None:
                    text = file.read(_LARGEST_CONFIG)
    except (tarfile.TarError, zlib.error, EOFError, UnicodeDecodeError) as error:
        raise ModelUnfit(f"{path.name}: is no whole .nemo archive; get the file anew") from error
    return sizes, text


def _config(shown: str, text: bytes) -> Mapping[str, Any]:
    if not text:
        raise ModelUnfit(f"{shown}: holds no {CONFIG}: not a NeMo model")
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:100]
        raise ModelUnfit(f"{shown}: its {CONFIG} is not plain YAML: {reason}") from error
    if not isinstance(config, dict):
        raise ModelUnfit(f"{shown}: its {CONFIG} is no mapping: not a NeMo model")
    return config


def _references(value: Any) -> Iterator[str]:
    """Names of the archive's files in any depth of the configuration."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
    elif isinstance(value, str) and value.startswith(_REFERENCE):
        yield value.removeprefix(_REFERENCE)
