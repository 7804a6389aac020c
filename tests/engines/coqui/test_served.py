"""`offhook tts` serving Coqui's voices, used by Riva's published client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from callers.sipp import free_port

pytestmark = pytest.mark.gpu_engines
pytest.importorskip("torch")
pytest.importorskip("TTS")
riva = pytest.importorskip("riva.client")

TEXT = "Hello, thank you for calling. How can I help you today?"
_READY_S = 90.0


@contextmanager
def worker(tmp_path: Path, engine: str, **settings: Any) -> Iterator[tuple[int, str]]:
    """The worker's gRPC port and its HTTP address, once it is ready."""
    port = free_port()
    config = tmp_path / "offhook.yaml"
    told = {"tts": {"engine": engine, "settings": settings}, "tts_worker": {"grpc": {"port": port}}}
    config.write_text(json.dumps(told), encoding="utf-8")
    run = [sys.executable, "-c", "from gateway.cli import main; main()", "tts", "--config", str(config)]
    http = f"http://127.0.0.1:{port + 1}"
    with subprocess.Popen(run, env={**os.environ, "HF_HUB_OFFLINE": "1"}, stderr=subprocess.PIPE) as process:
        try:
            _wait_ready(f"{http}/health", process)
            yield port, http
        finally:
            process.terminate()
            process.communicate(timeout=30)


def _wait_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _READY_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                if b'"ready"' in answer.read():
                    return
        except OSError:
            pass
        time.sleep(0.2)
    process.kill()
    raise AssertionError(f"{url} did not become ready")


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        told: str = answer.read().decode()
        return told


def test_vits_is_served_with_words_and_tells_its_licence(tmp_path: Path, vits_folder: Path) -> None:
    settings = {"model": str(vits_folder), "licence": "CC0-1.0", "threads": 1}
    with worker(tmp_path, "coqui_vits", **settings) as (port, http):
        service = riva.SpeechSynthesisService(riva.Auth(uri=f"127.0.0.1:{port}"))
        whole = service.synthesize(
            TEXT, voice_name="speaker1", sample_rate_hz=8000, enable_word_time_offsets=True
        )
        pieces = list(service.synthesize_online(TEXT, voice_name="speaker1", sample_rate_hz=8000))
        assert b"".join(piece.audio for piece in pieces) == whole.audio
        assert [word.word for word in whole.meta.words] == TEXT.split()
        assert np.abs(np.frombuffer(whole.audio, np.int16)).max() > 1000
        assert json.loads(page(f"{http}/health"))["facts"]["licence"] == "CC0-1.0"
        assert 'engine="coqui_vits"' in page(f"{http}/metrics") and 'licence="CC0-1.0"' in page(
            f"{http}/metrics"
        )


def test_xtts_is_served_once_its_licence_is_accepted(tmp_path: Path, xtts_folder: Path) -> None:
    settings = {"model": str(xtts_folder), "accept_licence": "CPML-1.0", "threads": 1, "patience": 30}
    with worker(tmp_path, "coqui_xtts", **settings) as (port, http):
        service = riva.SpeechSynthesisService(riva.Auth(uri=f"127.0.0.1:{port}"))
        sizes = [len(piece.audio) for piece in service.synthesize_online("Hello.", sample_rate_hz=8000)]
        assert len(sizes) > 2 and sum(sizes) / 2 / 8000 > 1.0
        assert json.loads(page(f"{http}/health"))["facts"]["licence"] == "CPML-1.0"


def test_xtts_does_not_start_before_its_licence_is_accepted(tmp_path: Path, xtts_folder: Path) -> None:
    config = tmp_path / "offhook.yaml"
    told = {"tts": {"engine": "coqui_xtts", "settings": {"model": str(xtts_folder)}},
            "tts_worker": {"grpc": {"port": free_port()}}}  # fmt: skip
    config.write_text(json.dumps(told), encoding="utf-8")
    run = [sys.executable, "-c", "from gateway.cli import main; main()", "tts", "--config", str(config)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "tts.settings.accept_licence" in done.stdout + done.stderr
