"""Archives from strangers: made here as an attacker would."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from engines.models import archive
from engines.models.archive import is_archive, unpack
from engines.models.base import ModelUnfit
from engines.models.progress import nobody

MOST = 1_000_000


def tar_of(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as out:  # type: ignore[call-overload]  # the mode is a variable
        for info, body in members:
            info.size = len(body) if info.isreg() else info.size
            out.addfile(info, io.BytesIO(body))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def zip_of(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, body in members:
            out.writestr(name, body)
    return path


def unpacked(path: Path, tmp_path: Path) -> dict[str, bytes]:
    target = tmp_path / "out"
    target.mkdir()
    unpack(path, target, MOST, nobody)
    return {str(file.relative_to(target)): file.read_bytes() for file in target.rglob("*") if file.is_file()}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tars_are_unpacked(tmp_path: Path, mode: str) -> None:
    members = ((entry("m", tarfile.DIRTYPE), b""), (entry("m/a.bin"), b"abc"), (entry("m/b/c.json"), b"{}"))
    path = tar_of(tmp_path / "m.tar", *members, mode=mode)
    assert unpacked(path, tmp_path) == {"m/a.bin": b"abc", "m/b/c.json": b"{}"}
    modes = {stat.S_IMODE(file.stat().st_mode) & 0o111 for file in (tmp_path / "out").rglob("*.bin")}
    assert modes == {0}


def test_zips_are_unpacked(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "m.zip", ("m/", b""), ("m/a.bin", b"abc"), ("m/b/c.json", b"{}"))
    assert unpacked(path, tmp_path) == {"m/a.bin": b"abc", "m/b/c.json": b"{}"}


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../up",
        "a/../../up",
        "a/b/../../../up",
        "C:/windows",
        "a\\..\\b",
        "/",
        "x" * 300,
        "a/" * 20 + "b",
    ],
)
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelUnfit, match="leads out"):
        unpacked(zip_of(tmp_path / "m.zip", (name, b"x")), tmp_path)
    with pytest.raises(ModelUnfit, match="leads out"):
        unpack(tar_of(tmp_path / "m.tar", (entry(name), b"x")), tmp_path / "out", MOST, nobody)
    assert not (tmp_path / "up").exists()
    assert list((tmp_path / "out").rglob("*")) == []


@pytest.mark.parametrize(
    ("kind", "link"),
    [
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.SYMTYPE, "a"),
        (tarfile.LNKTYPE, "/etc/passwd"),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
        (tarfile.FIFOTYPE, ""),
    ],
)
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes, link: str) -> None:
    path = tar_of(tmp_path / "m.tar", (entry("a"), b"x"), (entry("b", kind, link), b""))
    with pytest.raises(ModelUnfit, match="no regular file"):
        unpacked(path, tmp_path)


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(ModelUnfit, match="no regular file"):
        unpacked(zip_of(tmp_path / "m.zip", (info, b"/etc/passwd")), tmp_path)


def test_a_file_that_stands_for_a_folder_is_refused(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "m.tar", (entry("a"), b"x"), (entry("a/b"), b"y"))
    with pytest.raises(ModelUnfit, match="twice"):
        unpacked(path, tmp_path)


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "m.tar", (entry("a"), b"x"), (entry("a"), b"y"))
    with pytest.raises(ModelUnfit, match="twice"):
        unpacked(path, tmp_path)


def test_bombs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnfit, match="200 times"):
        unpacked(zip_of(tmp_path / "m.zip", ("a", bytes(20_000_000))), tmp_path)
    for name, body in (("more.zip", bytes(2_000_000)), ("lie.zip", bytes(2_000_000))):
        path = zip_of(tmp_path / name, ("a", body))
        if name == "lie.zip":  # says that it unpacks to 1,000 octets
            raw = bytearray(path.read_bytes())
            for place in (22, raw.rindex(b"PK\x01\x02") + 24):
                raw[place : place + 4] = (1000).to_bytes(4, "little")
            path.write_bytes(raw)
        target = tmp_path / f"{name}.out"
        target.mkdir()
        with pytest.raises(ModelUnfit, match="unpacks to more|broken"):
            unpack(path, target, MOST, nobody)
        assert sum(file.stat().st_size for file in target.rglob("*")) <= MOST
    bomb = tar_of(tmp_path / "m.tar.gz", (entry("a"), bytes(2_000_000)), mode="w:gz")
    with pytest.raises(ModelUnfit, match="unpacks to more"):
        unpack(bomb, tmp_path / "out", MOST, nobody)


def test_a_tar_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 31
    path = tmp_path / "m.tar.gz"
    with gzip.open(path, "wb") as out:
        out.write(info.tobuf(tarfile.GNU_FORMAT))
        out.write(bytes(10_000))
    with pytest.raises(ModelUnfit, match="header"):
        unpacked(path, tmp_path)


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_MEMBERS", 3)
    path = zip_of(tmp_path / "m.zip", *((f"{n}", b"x") for n in range(4)))
    with pytest.raises(ModelUnfit, match="more than 3 members"):
        unpacked(path, tmp_path)


@pytest.mark.parametrize(
    "body", [b"", b"not an archive", b"PK\x03\x04 but no more", b"\x1f\x8b\x08 but no more"]
)
def test_what_is_no_archive_is_refused(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "m.zip"
    path.write_bytes(body)
    with pytest.raises(ModelUnfit, match="broken archive|no files"):
        unpacked(path, tmp_path)


def test_an_archive_cut_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "m.tar.gz", (entry("a"), bytes(range(256)) * 400), mode="w:gz")
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ModelUnfit):
        unpacked(path, tmp_path)


@pytest.mark.parametrize(
    ("name", "unpacks"),
    [("a.zip", True), ("A.TAR.GZ", True), ("a.tgz", True), ("a.nemo", False), ("a.onnx", False)],
)
def test_a_nemo_file_is_left_as_it_is(name: str, unpacks: bool) -> None:
    assert is_archive(name) is unpacks


def test_a_tar_that_ends_in_a_zip_is_a_tar(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as made:
        made.writestr("inside.txt", b"weights")
    with tarfile.open(tmp_path / "outer.tar", "w") as tar:
        for name, body in (("config.yaml", b"a: 1"), ("weights.ckpt", inner.getvalue())):
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    names = [str(member.path) for member in archive.members(tmp_path / "outer.tar")]
    assert names == ["config.yaml", "weights.ckpt"]
