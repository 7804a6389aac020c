"""What of a `.nemo` is refused before anything in it is trusted."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from engines.models.base import ModelUnfit
from engines.nemo.archive import inspect

CONFIG = b"target: x\ntokenizer: {model_path: 'nemo:abc_tokenizer.model'}\n"


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/never",)


def weights(content: bytes | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model/data.pkl", content or pickle.dumps(OrderedDict(a=1), protocol=2))
    return buffer.getvalue()


def nemo(folder: Path, members: dict[str, bytes | tarfile.TarInfo], mode: str = "w") -> Path:
    path = folder / "model.nemo"
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def whole(**changes: bytes | None) -> dict[str, bytes | tarfile.TarInfo]:
    members = {
        "model_config.yaml": CONFIG,
        "model_weights.ckpt": weights(),
        "abc_tokenizer.model": b"x",
        **changes,
    }
    return {name: content for name, content in members.items() if content is not None}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_sound_archive_gives_its_configuration(tmp_path: Path, mode: str) -> None:
    archive = inspect(nemo(tmp_path, whole(), mode))
    assert archive.config["target"] == "x" and archive.size > len(CONFIG)


def link(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        (whole() | {"../evil": b"x"}, "no regular file below"),
        (whole() | {"/etc/evil": b"x"}, "no regular file below"),
        (whole() | {"link": link("link", tarfile.SYMTYPE)}, "no regular file"),
        (whole() | {"hard": link("hard", tarfile.LNKTYPE)}, "no regular file"),
        (whole() | {"device": link("device", tarfile.CHRTYPE)}, "no regular file"),
        (whole() | {"./model_config.yaml": b"target: y"}, "twice"),
        (whole(**{"model_config.yaml": None}), "not a NeMo model"),
        (whole(**{"model_config.yaml": b"- 1"}), "no mapping"),
        (whole(**{"model_config.yaml": b"a: !!python/object/apply:os.system [x]"}), "not plain YAML"),
        (whole(**{"abc_tokenizer.model": None}), "lacks 'abc_tokenizer.model'"),
        (whole(**{"model_weights.ckpt": None}), "0 files of weights"),
        (whole() | {"second.ckpt": weights()}, "2 files of weights"),
        (whole(**{"model_weights.ckpt": weights(pickle.dumps(Evil(), protocol=2))}), "would call .*system"),
        (whole(**{"model_weights.ckpt": weights(pickle.dumps(Evil(), protocol=4))}), "would call .*system"),
        (whole(**{"model_weights.ckpt": weights(b"\x80\x02garbage")}), "broken pickle"),
    ],
)
def test_what_is_unsafe_or_incomplete_is_refused(
    tmp_path: Path, members: dict[str, bytes | tarfile.TarInfo], reason: str
) -> None:
    with pytest.raises(ModelUnfit, match=reason):
        inspect(nemo(tmp_path, members))


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.nemo"
    for content in (b"", b"hello" * 1000, nemo(tmp_path, whole()).read_bytes()[:700]):
        path.write_bytes(content)
        with pytest.raises(ModelUnfit):
            inspect(path)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    with pytest.raises(ModelUnfit, match="unpacks to far more"):
        inspect(nemo(tmp_path, whole(bomb=bytes(50_000_000)), "w:gz"))
