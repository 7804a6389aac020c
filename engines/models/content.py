"""Is there anything in a model that runs when it is loaded? Looks into files, and archives within them."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import IO, BinaryIO, cast

from engines.models.archive import MOST_MEMBERS
from engines.models.base import ModelUnfit
from engines.models.pickles import LARGEST, check_pickle, is_pickle

_ZIP = b"PK\x03\x04"
_PICKLED = (".pkl", ".pickle", ".pt", ".pth", ".ckpt")
"""Endings of files that torch and Python load as pickles, whatever they hold."""
_DEEPEST = 3
_HEAD = 512


def check_content(path: Path) -> None:
    """Look through a file, or all files of a folder. Raises `ModelUnfit`; OSError for what cannot be read."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    for file in files:
        if file.is_file():
            with file.open("rb") as opened:
                _check(opened, file.name, 0)


def _check(file: BinaryIO, name: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise ModelUnfit(f"{name}: archives within archives within archives")
    head = file.read(_HEAD)
    file.seek(0)
    if head.startswith(_ZIP):
        _check_zip(file, name, depth)
    elif is_pickle(head):
        check_pickle(file, name)
    elif _is_tar(head):
        _check_tar(file, name, depth)
    elif name.lower().endswith(_PICKLED):
        check_pickle(file, name)


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar" or head[:2] == b"\x1f\x8b"


def _check_zip(file: BinaryIO, name: str, depth: int) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
            if len(infos) > MOST_MEMBERS:
                raise ModelUnfit(f"{name}: holds more than {MOST_MEMBERS} members")
            for info in infos:
                with archive.open(info) as member:
                    _check_member(member, f"{name}/{info.filename[:80]}", info.file_size, depth)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, UnicodeDecodeError):
        raise ModelUnfit(f"{name}: is a broken archive") from None


def _check_tar(file: BinaryIO, name: str, depth: int) -> None:
    try:
        with tarfile.open(fileobj=file, mode="r:*") as archive:
            for number, info in enumerate(archive):
                if number >= MOST_MEMBERS:
                    raise ModelUnfit(f"{name}: holds more than {MOST_MEMBERS} members")
                if info.isdir():
                    continue
                member = archive.extractfile(info) if info.isreg() else None
                if member is None or info.name.startswith("/") or ".." in info.name.split("/"):
                    raise ModelUnfit(f"{name}: {info.name[:80]!r} is no regular file below its folder")
                _check_member(member, f"{name}/{info.name[:80]}", info.size, depth)
    except (tarfile.TarError, zlib.error, EOFError, UnicodeDecodeError):
        raise ModelUnfit(f"{name}: is a broken archive") from None


def _check_member(member: IO[bytes], name: str, size: int, depth: int) -> None:
    """Only what may be a program is read whole: pickles, and archives that may hold one."""
    if member.seekable():
        _check(cast("BinaryIO", member), name, depth + 1)
        return
    head = member.read(_HEAD)
    if not (head.startswith(_ZIP) or is_pickle(head) or name.lower().endswith(_PICKLED)):
        return
    if size > LARGEST:
        raise ModelUnfit(f"{name}: is too large to be looked through")
    _check(io.BytesIO(head + member.read()), name, depth + 1)
