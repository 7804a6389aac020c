"""Models that lie on this machine already: paths, and nothing else."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from engines.models.base import ModelError, ModelUnfit
from engines.models.digest import digest_of, is_digest


class LocalModels:
    """Serves `Models` for paths and `file:` addresses; refuses all else. For who was given no store."""

    def path(self, source: str, sha256: str = "") -> Path:
        """See `Models`."""
        found = local_path(source)
        if found is None:
            raise ModelError(f"{source}: give a path; names and addresses need a model store")
        return checked(found, sha256)


def local_path(source: str) -> Path | None:
    """The path that a source names on this machine; None for names and addresses elsewhere.

    A bare word is a name; a path holds a slash (`./model.nemo`). `file:` addresses are RFC 8089's. Raises
    `ModelError` for a `file:` address on another host.
    """
    if source.startswith("file:"):
        parts = urlsplit(source)
        if parts.netloc not in ("", "localhost"):
            raise ModelError(f"{source}: file: addresses name files on this machine; write file:///path")
        return Path(unquote(parts.path))
    if "://" in source or "/" not in source:
        return None
    return Path(source).expanduser()


def checked(path: Path, sha256: str) -> Path:
    """The path, once it is there and has the digest, where one is given."""
    if not path.exists():
        raise ModelError(f"{path}: no such file; check the path and who may read it")
    if not sha256:
        return path
    if not is_digest(sha256):
        raise ModelError(f"{path}: sha256 must be 64 hexadecimal digits, as `sha256sum` prints them")
    if path.is_dir():
        raise ModelError(f"{path}: is a folder and has no digest; leave sha256 out")
    found = digest_of(path)
    if found != sha256.lower():
        raise ModelUnfit(f"{path}: its sha256 is {found}, not {sha256.lower()}; get the file anew")
    return path
