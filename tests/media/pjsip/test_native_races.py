"""The frame bus's lock-free parts under AddressSanitizer, UBSan and ThreadSanitizer."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.native

HERE = Path(__file__).resolve().parent
NATIVE = HERE.parents[2] / "media" / "pjsip"
SECONDS = "1.5"


@pytest.fixture(scope="module", params=["address,undefined", "thread"])
def stress(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stress program, built under one sanitizer."""
    assert shutil.which("g++"), "no C++ compiler: a race that was not run is not won; make setup installs one"
    program = tmp_path_factory.mktemp("stress") / "stress"
    command = ["g++", "-std=c++20", "-O1", "-g", "-pthread", "-Wall", "-Wextra", "-Werror"]
    command += [f"-fsanitize={request.param}", "-fno-sanitize-recover=all", f"-I{NATIVE}"]
    command += [str(HERE / "stress.cpp"), str(NATIVE / "frame_bus.cpp"), "-lspeexdsp", "-o", str(program)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return program


@pytest.mark.parametrize("part", ["playout", "receive", "report", "source", "through", "bus", "pace"])
def test_threads_race_and_the_books_balance(stress: Path, part: str) -> None:
    ran = subprocess.run([stress, part, SECONDS, "1"], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(part)
