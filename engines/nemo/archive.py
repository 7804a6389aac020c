"""Looks into a `.nemo` archive before anything in it is trusted: its members, its configuration, its weights.

A `.nemo` is a tar of `model_config.yaml`, weights as torch saves them, and the tokenizer's files. Torch's
weights are a zip with a pickle in it, and a pickle can call anything: only what rebuilds tensors is let
through, and that without unpickling it.
"""

from __future__ import annotations

import io
import pickletools
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import yaml

from engines.models.base import ModelUnfit

CONFIG = "model_config.yaml"
_MOST_MEMBERS = 1000
_LARGEST_CONFIG = 16 * 1024 * 1024
"""Octets; vocabularies are in it."""
_SWELLING = 20
"""Times its own size that a compressed archive may unpack to."""
_REFERENCE = "nemo:"
"""In front of a file's name where the configuration means one of the archive."""

_HARMLESS = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "torch Size",
    *(f"torch {kind}Storage" for kind in (
        "Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool")),
}  # fmt: skip
"""What a file of weights calls when it is loaded, as pickle's protocol 2 names it."""
_NEVER_BY_TORCH = {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"}
"""Other ways for a pickle to name or call something."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A `.nemo` that may be unpacked."""

    path: Path
    config: Mapping[str, Any]
    size: int
    """Octets of all members."""


def inspect(path: Path) -> Archive:
    """Read the archive's table, configuration and weights' pickle. Raises `ModelUnfit` with the reason."""
    try:
        with tarfile.open(path, "r:*") as tar:
            members = _members(tar, path)
            config = _config(tar, members)
            _check_references(config, members)
            _check_weights(tar, members)
            return Archive(path, config, sum(member.size for member in members.values()))
    except (tarfile.TarError, EOFError, zipfile.BadZipFile) as error:
        raise ModelUnfit(
            f"{path.name}: not a whole .nemo archive ({_reason(error)}); get the file anew"
        ) from error


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:100]


def _members(tar: tarfile.TarFile, path: Path) -> dict[str, tarfile.TarInfo]:
    """Files by name; folders are let through, all else is refused."""
    found: dict[str, tarfile.TarInfo] = {}
    total, limit = 0, path.stat().st_size * _SWELLING
    for member in tar:
        place = PurePosixPath(member.name)
        if member.isdir() and ".." not in place.parts and not place.is_absolute():
            continue
        if not member.isfile() or ".." in place.parts or place.is_absolute():
            raise ModelUnfit(
                f"{path.name}: holds {member.name[:80]!r}, no plain file inside it; do not use this"
            )
        total += member.size
        if len(found) >= _MOST_MEMBERS or total > limit:
            raise ModelUnfit(
                f"{path.name}: unpacks to far more than a model would hold; do not use this file"
            )
        name = place.as_posix()
        if name in found:
            raise ModelUnfit(f"{path.name}: holds {name!r} twice; do not use this file")
        found[name] = member
    return found


def _config(tar: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo]) -> Mapping[str, Any]:
    member = members.get(CONFIG)
    if member is None or member.size > _LARGEST_CONFIG:
        raise ModelUnfit(f"no {CONFIG} in it: not a NeMo model")
    try:
        config = yaml.safe_load(_open(tar, member).read())
    except yaml.YAMLError as error:
        raise ModelUnfit(f"{CONFIG} in it is not plain YAML: {_reason(error)}") from error
    if not isinstance(config, dict):
        raise ModelUnfit(f"{CONFIG} in it is no mapping: not a NeMo model")
    return config


def _check_references(config: Mapping[str, Any], members: Mapping[str, tarfile.TarInfo]) -> None:
    for name in _references(config):
        if name not in members:
            raise ModelUnfit(f"{name!r} is missing in it, which its configuration names; get the file anew")


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
    elif isinstance(value, str) and value.startswith(_REFERENCE):
        yield value.removeprefix(_REFERENCE)


def _check_weights(tar: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo]) -> None:
    weights = [member for name, member in members.items() if name.endswith(".ckpt")]
    if len(weights) != 1:
        raise ModelUnfit(f"{len(weights)} files of weights in it, where a NeMo model has one")
    stream = _open(tar, weights[0])
    if not zipfile.is_zipfile(stream):
        raise ModelUnfit(
            "its weights are in torch's old format, which is not loaded; save them with torch 1.6 or later"
        )
    with zipfile.ZipFile(stream) as archive:
        pickles = [name for name in archive.namelist() if name.endswith(".pkl")]
        if len(pickles) != 1:
            raise ModelUnfit(f"{len(pickles)} pickles in its weights, where torch writes one")
        check_pickle(archive.read(pickles[0]))


def check_pickle(content: bytes) -> None:
    """Raises `ModelUnfit` for a pickle that names anything but what rebuilds tensors."""
    try:
        for code, argument, _ in pickletools.genops(io.BytesIO(content)):
            if code.name == "GLOBAL":
                _let(str(argument))
            elif code.name in _NEVER_BY_TORCH:
                raise ModelUnfit(
                    f"its weights hold {code.name}, which torch never writes; do not use this file"
                )
    except ValueError as error:
        raise ModelUnfit(f"its weights are damaged: {_reason(error)}") from error


def _let(name: str) -> None:
    if name not in _HARMLESS:
        told = name.replace(" ", ".")[:80]
        raise ModelUnfit(
            f"its weights would call {told!r} when loaded, which no weights need; do not use this file"
        )


def _open(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = tar.extractfile(member)
    if stream is None:
        raise ModelUnfit(f"{member.name!r} in it cannot be read")
    return stream
