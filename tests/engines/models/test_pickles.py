"""Pickles and the files that hide them: made here as an attacker would. None of them may ever run."""

from __future__ import annotations

import collections
import datetime
import io
import os
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.models.base import ModelUnfit
from engines.models.content import check_content
from engines.models.pickles import HARMLESS, check_pickle


class Runs:
    """What an attacker pickles."""

    def __init__(self, call: Any = os.system, *arguments: Any) -> None:
        self._call, self._arguments = call, arguments or ("touch /tmp/owned",)

    def __reduce__(self) -> Any:
        return self._call, self._arguments


def weights() -> object:
    return collections.OrderedDict(
        layer=np.arange(4.0), names=["a", "b"], sizes={1, 2}, deep={"x": (1, None)}
    )


def check(data: bytes) -> None:
    check_pickle(io.BytesIO(data), "a.pkl")


@pytest.mark.parametrize("protocol", range(6))
def test_weights_pass_and_programs_do_not(protocol: int) -> None:
    check(pickle.dumps(weights(), protocol))
    for evil in (Runs(), Runs(eval, "1"), Runs(getattr, "a", "b"), datetime.UTC, print):
        with pytest.raises(ModelUnfit, match=r"would call|hides"):
            check(pickle.dumps({"layer": weights(), "more": [evil]}, protocol))


def word(text: bytes) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text


def test_names_hidden_behind_the_stack_or_the_memo_are_refused() -> None:
    good, evil = word(b"collections") + word(b"OrderedDict"), word(b"os") + word(b"system")
    run = b"\x8c\x02id\x85R."
    for sneaky in (
        evil + good + b"00" + b"\x93" + run,  # two that pass, thrown away before they are used
        evil + b"\x94" + b"\x93" + run,
        word(b"os") + b"\x94" + word(b"system") + b"\x94" + b"00" + b"h\x00" + b"h\x01" + b"\x93" + run,
        b"(" + evil + good + b"1" + b"\x93" + run,
        evil + b"2" + b"0" + b"\x93" + run,
        good + b"\x94" + b"q\x07" + b"0" + evil + b"q\x07" + b"00" + b"h\x07" + b"h\x07" + b"\x93" + run,
    ):
        with pytest.raises(ModelUnfit):
            check(b"\x80\x04" + sneaky)
    for numbered in (b"\x82\x01.", b"\x83\x01\x00.", b"\x84\x01\x00\x00\x00."):
        with pytest.raises(ModelUnfit, match="by number"):
            check(b"\x80\x02" + numbered)
    with pytest.raises(ModelUnfit, match="would call os.system"):
        check(b"(S'id'\nios\nsystem\n.")


class Watched(pickle.Unpickler):
    """Loads for real, and tells what it was made to name."""

    def find_class(self, module: str, name: str) -> Any:
        assert f"{module}.{name}" in HARMLESS
        return super().find_class(module, name)


PIECES = (
    b"\x80\x04", b"\x8c\x02os", b"\x8c\x06system", b"\x8c\x0bcollections", b"\x8c\x0bOrderedDict", b"\x93",
    b"\x94", b"h\x00", b"h\x01", b"q\x00", b"0", b"1", b"2", b"(", b")", b"R", b"\x85", b"b",
    b"cos\nsystem\n", b"i", b"o", b"\x81", b".", b"K\x01",
)  # fmt: skip


@given(st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join)))
def test_what_passes_names_nothing_else_when_it_is_loaded(data: bytes) -> None:
    try:
        check(data)
    except ModelUnfit:
        return
    try:
        Watched(io.BytesIO(data)).load()
    except AssertionError:
        raise
    except Exception:
        return  # broken is harmless


def torch_zip(path: Path, loaded: object) -> Path:
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("archive/data.pkl", pickle.dumps(loaded, 2))
        out.writestr("archive/data/0", bytes(64))
        out.writestr("archive/version", "3\n")
    return path


def torch_old(path: Path, loaded: object) -> Path:
    head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    path.write_bytes(b"".join(pickle.dumps(part, 2) for part in (*head, loaded, ["0"])) + bytes(64))
    return path


def nemo(path: Path, loaded: object, mode: str = "w") -> Path:
    inner = torch_zip(path.with_suffix(".ckpt"), loaded)
    with tarfile.open(path, mode) as out:  # type: ignore[call-overload]  # the mode is a variable
        out.add(inner, "./model_weights.ckpt")
        config = tarfile.TarInfo("./model_config.yaml")
        config.size = 4
        out.addfile(config, io.BytesIO(b"a: 1"))
    inner.unlink()
    return path


@pytest.mark.parametrize("name", ["a.pth", "a.bin"])
@pytest.mark.parametrize("make", [torch_zip, torch_old])
def test_checkpoints_of_torch_are_looked_through(tmp_path: Path, make: Any, name: str) -> None:
    check_content(make(tmp_path / name, weights()))
    with pytest.raises(ModelUnfit, match="would call"):
        check_content(make(tmp_path / name, [weights(), Runs()]))


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_nemo_files_are_looked_through(tmp_path: Path, mode: str) -> None:
    check_content(nemo(tmp_path / "a.nemo", weights(), mode))
    with pytest.raises(ModelUnfit, match=r"model_weights\.ckpt.*would call"):
        check_content(nemo(tmp_path / "a.nemo", Runs(), mode))


def test_a_nemo_file_with_a_link_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.nemo", "w") as out:
        info = tarfile.TarInfo("model_weights.ckpt")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        out.addfile(info)
    with pytest.raises(ModelUnfit, match="no regular file"):
        check_content(tmp_path / "a.nemo")


def test_old_text_pickles_and_rubbish_under_their_names_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(pickle.dumps(Runs(), 0))
    with pytest.raises(ModelUnfit, match="would call"):
        check_content(path)
    path.write_bytes(b"rubbish")
    with pytest.raises(ModelUnfit, match="broken pickle"):
        check_content(path)


def test_archives_in_archives_have_an_end(tmp_path: Path) -> None:
    body = b"x"
    for _ in range(6):
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w") as out:
            out.writestr("in.zip", body)
        body = held.getvalue()
    (tmp_path / "a.zip").write_bytes(body)
    with pytest.raises(ModelUnfit, match="archives within"):
        check_content(tmp_path / "a.zip")


def test_folders_are_looked_through_and_other_files_left_alone(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.onnx").write_bytes(b"\x08\x07onnx")
    (tmp_path / "a.safetensors").write_bytes(bytes(8) + b"{}")
    check_content(tmp_path)
    torch_zip(tmp_path / "sub" / "a.pt", Runs())
    with pytest.raises(ModelUnfit):
        check_content(tmp_path)


def test_nothing_harmless_can_load_or_import() -> None:
    assert not {name for name in HARMLESS if name.split(".")[0] in ("os", "sys", "subprocess", "importlib")}
    assert not HARMLESS & {
        "torch.load", "torch.storage._load_from_bytes", "builtins.eval", "builtins.exec", "builtins.getattr",
        "builtins.__import__", "__builtin__.eval",
    }  # fmt: skip
