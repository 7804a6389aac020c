"""The build script's checks: it must stop with a cure, never build something else."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest

from media.pjsip import build


def tree(folder: Path, version: str = "2.17") -> Path:
    """A source tree with no more in it than the checks read."""
    major, minor = version.split(".")
    (folder / "pjlib/include/pj").mkdir(parents=True)
    (folder / "pjmedia/src/pjmedia-audiodev").mkdir(parents=True)
    version = f"export PJ_VERSION_MAJOR  := {major}\nexport PJ_VERSION_MINOR  := {minor}\n"
    (folder / "version.mak").write_text(version)
    for name, old, _ in build.PATCHES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"before\n{old}\nafter\n")
    return folder


def test_a_tarball_of_another_version_is_refused(tmp_path: Path) -> None:
    tree(tmp_path / "src" / "pjproject", "2.16")
    with tarfile.open(tmp_path / "pj.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "src" / "pjproject", "pjproject-2.16")
    (tmp_path / "work").mkdir()
    with pytest.raises(build.BuildError, match=r"2\.16.*PJPROJECT_SRC"):
        build.unpack(tmp_path / "pj.tar.gz", tmp_path / "work" / "tree")


def test_patches_apply_exactly_once_or_not_at_all(tmp_path: Path) -> None:
    folder = tree(tmp_path / "pjproject")
    build.patch(folder)
    for name, _, new in build.PATCHES:
        assert new in (folder / name).read_text()
    assert (folder / "pjmedia/src/pjmedia-audiodev/bdimad_dev.c").exists()
    with pytest.raises(build.BuildError, match="is this PJSIP"):
        build.patch(folder)


def test_a_missing_local_source_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PJPROJECT_SRC", "/nowhere/pjproject.tar.gz")
    with pytest.raises(build.BuildError, match="PJPROJECT_SRC names /nowhere"):
        build.obtain_source()


def test_a_release_with_another_checksum_is_discarded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged = tmp_path / "forged.tar.gz"
    forged.write_bytes(b"not PJSIP")
    monkeypatch.setattr(build, "RELEASE_URL", forged.as_uri())
    with pytest.raises(build.BuildError, match="SHA-256"):
        build.fetch_release(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["forged.tar.gz"]


def test_no_source_at_all_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_folder: Path) -> Path:
        raise build.BuildError("closed today")

    monkeypatch.delenv("PJPROJECT_SRC", raising=False)
    monkeypatch.setattr(build, "CACHE", tmp_path)
    monkeypatch.setattr(build, "fetch_release", refuse)
    monkeypatch.setattr(build, "fetch_component", refuse)
    with pytest.raises(build.BuildError, match="closed today") as caught:
        build.obtain_source()
    assert "PJPROJECT_SRC" in str(caught.value)


def test_the_key_changes_with_every_input(tmp_path: Path) -> None:
    file = tmp_path / "framebus.cpp"
    file.write_text("one")
    keys = {build.key("sum", "abi", files=[file]), build.key("other", "abi", files=[file])}
    file.write_text("two")
    keys.add(build.key("sum", "abi", files=[file]))
    assert len(keys) == 3


def test_a_wheel_is_whole_and_the_same_every_time(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    (kept / build.LIBS_DIR).mkdir(parents=True)
    for name in ("pjsua2.py", "_pjsua2.so", "COPYING", f"{build.LIBS_DIR}/libpj.so.2"):
        (kept / name).write_text(name)
    extension = tmp_path / "framebus.so"
    extension.write_text("framebus")
    first = build.write_wheel(kept, extension, "2.17.0+00000000", tmp_path)
    data = first.read_bytes()
    assert build.write_wheel(kept, extension, "2.17.0+00000000", tmp_path).read_bytes() == data
    with zipfile.ZipFile(first) as archive:
        names = set(archive.namelist())
        record = archive.read("offhook_pjsip-2.17.0+00000000.dist-info/RECORD").decode()
    assert {"pjsua2.py", "_pjsua2.so", "framebus.so", "framebus.pyi", f"{build.LIBS_DIR}/libpj.so.2"} <= names
    assert {row.split(",")[0] for row in record.splitlines()} == names
