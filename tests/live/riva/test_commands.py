"""`offhook asr` and `offhook tts` as an operator starts them, used by Riva's published client."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import riva.client  # type: ignore[import-untyped]

from callers.sipp import free_port

pytestmark = pytest.mark.live

_PROMPTS = Path(__file__).parents[3] / "demo" / "prompts"
_READY_S = 30.0


@contextmanager
def worker(command: str) -> Iterator[int]:
    """The command's gRPC port, once its `/health` says that it is ready."""
    port = free_port()
    environ = {**os.environ, f"OFFHOOK_{command.upper()}_WORKER__GRPC__PORT": str(port)}
    run = [sys.executable, "-c", "from gateway.cli import main; main()", command]
    with subprocess.Popen(run, env=environ, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_ready(f"http://127.0.0.1:{port + 1}/health")
            yield port
        finally:
            process.terminate()
            assert process.wait(20) == 0


def _wait_ready(url: str) -> None:
    until = time.monotonic() + _READY_S
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                if b'"ready"' in answer.read():
                    return
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"{url} did not become ready")


def test_offhook_asr_understands_a_recording() -> None:
    with worker("asr") as port:
        service = riva.client.ASRService(riva.client.Auth(uri=f"127.0.0.1:{port}"))
        config = riva.client.RecognitionConfig(language_code="en-US", max_alternatives=1)
        prompt = _PROMPTS / "conf-placeintoconf.wav"
        riva.client.add_audio_file_specs_to_config(config, prompt)
        answer = service.offline_recognize(prompt.read_bytes(), config)
    text = answer.results[0].alternatives[0].transcript.lower()
    assert "placed into the conference" in text


def test_offhook_tts_speaks() -> None:
    with worker("tts") as port:
        service = riva.client.SpeechSynthesisService(riva.client.Auth(uri=f"127.0.0.1:{port}"))
        answer = service.synthesize("You will now be placed into the conference.", sample_rate_hz=8000)
    assert 1.5 < len(answer.audio) / 2 / 8000 < 6.0
