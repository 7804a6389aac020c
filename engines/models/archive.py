"""Unpacks tar and zip files from strangers: regular files below one folder, bounded, or nothing."""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from engines.models.base import ModelUnfit
from engines.models.progress import Progress, Watch

MOST_MEMBERS = 10_000
_DEEPEST = 16
_LONGEST_HEADER = 1 << 20
"""Octets of a tar header's extension, such as a long name; Python reads it whole into memory."""
_RATIO = 200
"""Most octets out of one octet in, for members above `_SMALL`; weights hardly compress at all."""
_SMALL = 10_000_000
_CHUNK = 1 << 20
_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file in an archive, its name known to be harmless."""

    path: PurePosixPath
    size: int
    """As the archive says."""
    file: IO[bytes]


def is_archive(name: str) -> bool:
    """Whether a file of this name is there to be unpacked. A `.nemo` is not: its engine takes it as it is."""
    return name.lower().endswith(_SUFFIXES)


def unpack(path: Path, folder: Path, most: int, watch: Watch) -> None:
    """Unpack into an empty folder, `most` octets in all. Raises `ModelUnfit`; OSError for the disk."""
    written = 0
    with closing(members(path)) as found:
        for member in found:
            target = folder / member.path
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                out = target.open("xb")
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                raise ModelUnfit(f"{path.name}: holds {member.path} twice") from None
            with out:
                while chunk := _read(member.file, path.name):
                    written += len(chunk)
                    if written > most:
                        raise ModelUnfit(f"{path.name}: unpacks to more than {most / 1e9:g} GB")
                    out.write(chunk)
                    watch(Progress("unpacking", written))
    if not written:
        raise ModelUnfit(f"{path.name}: holds no files")


def members(path: Path) -> Generator[Member]:
    """The regular files of an archive, one after the other. Raises `ModelUnfit` for anything that is none."""
    try:
        if _begins_as_zip(path):
            with zipfile.ZipFile(path) as archive:
                yield from _zip_members(archive, path.name)
        else:
            # Opened here and not by a suffix: what a file is called and what it is may differ.
            with tarfile.open(path, "r:*", tarinfo=_Header) as tar:
                yield from _tar_members(tar, path.name)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, UnicodeDecodeError):
        raise ModelUnfit(f"{path.name}: is a broken archive") from None


def _begins_as_zip(path: Path) -> bool:
    """By its first octets, as the loaders judge: a tar whose last file is a zip ends like one, too."""
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


class _Header(tarfile.TarInfo):
    """Refuses headers whose extensions would fill the memory before anybody saw a name."""

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        if not self.isfile() and self.size > _LONGEST_HEADER:
            raise ModelUnfit(f"a header of {self.size} octets is no honest archive's")
        return super()._proc_member(archive)  # type: ignore[misc]  # private, but the only place before the read


def _tar_members(archive: tarfile.TarFile, shown: str) -> Iterator[Member]:
    for number, info in enumerate(archive):
        _check_count(number, shown)
        path = _harmless(info.name, shown)
        if info.isdir():
            continue
        if not info.isreg() or info.issparse():
            raise ModelUnfit(f"{shown}: {info.name[:80]!r} is no regular file; links and devices are refused")
        file = archive.extractfile(info)
        assert file is not None
        yield Member(path, info.size, file)


def _zip_members(archive: zipfile.ZipFile, shown: str) -> Iterator[Member]:
    for number, info in enumerate(archive.infolist()):
        _check_count(number, shown)
        path = _harmless(info.filename, shown)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if info.is_dir():
            continue
        if kind not in (0, stat.S_IFREG):
            raise ModelUnfit(f"{shown}: {info.filename[:80]!r} is no regular file; links are refused")
        if info.flag_bits & 1:
            raise ModelUnfit(f"{shown}: {info.filename[:80]!r} is encrypted")
        if info.file_size > max(_SMALL, _RATIO * info.compress_size):
            raise ModelUnfit(f"{shown}: {info.filename[:80]!r} unpacks to {_RATIO} times its size and more")
        try:
            file = archive.open(info)
        except RuntimeError as error:  # zipfile's word for a password, or for a compression it does not know
            raise ModelUnfit(f"{shown}: {info.filename[:80]!r} cannot be unpacked: {error}") from None
        with file:
            yield Member(path, info.file_size, file)


def _check_count(number: int, shown: str) -> None:
    if number >= MOST_MEMBERS:
        raise ModelUnfit(f"{shown}: holds more than {MOST_MEMBERS} members")


def _harmless(name: str, shown: str) -> PurePosixPath:
    """The name as a path below a folder. Raises `ModelUnfit` for one that leads elsewhere."""
    path = PurePosixPath(name)
    if (
        path.is_absolute()
        or ".." in path.parts
        or "\\" in name
        or "\0" in name
        or (path.parts and ":" in path.parts[0])
        or len(path.parts) > _DEEPEST
        or any(len(part.encode("utf-8", "replace")) > 255 for part in path.parts)
    ):
        raise ModelUnfit(f"{shown}: {name[:80]!r} leads out of its folder, or is no name")
    return path


def _read(file: IO[bytes], shown: str) -> bytes:
    try:
        return file.read(_CHUNK)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError):
        raise ModelUnfit(f"{shown}: is a broken archive") from None
