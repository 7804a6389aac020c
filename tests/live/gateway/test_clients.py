"""Other programs against a node: `offhook call`, `offhook doctor`, and a softphone as people have it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from callers.sipp import free_port
from media.wav import read_wav
from tests.live.gateway.listening import SPEECH, Listener, prompt, same_words
from tests.live.gateway.node import Node
from tests.live.gateway.softphone import Line, Softphone

pytestmark = pytest.mark.live

SAID = "conf-now-recording"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("node"), {}) as running:
        yield running


@pytest.fixture(scope="module")
def softphone(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Softphone]:
    """Baresip, unmodified, on its way through a call to echo."""
    with Softphone(tmp_path_factory.mktemp("baresip"), Line(), node.target, SAID) as phone:
        yield phone


def offhook(*arguments: str, config: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command as a child process, bounded in time."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OFFHOOK_")}
    if config is not None:
        environment["OFFHOOK_CONFIG"] = str(config)
    command = [sys.executable, "-c", "from gateway.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)


@pytest.mark.usefixtures("softphone")
def test_offhook_call_speaks_listens_and_records(node: Node, listener: Listener, tmp_path: Path) -> None:
    tape = tmp_path / "new" / "out.wav"
    wav = SPEECH / f"{SAID}.wav"
    uri = f"sip:echo@{node.target}"
    done = offhook("call", uri, "--play", str(wav), "--record", str(tape), "--seconds", "7")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("answered, PCMU")
    (said,) = [line for line in lines if line.startswith("far end")]
    assert same_words(prompt(SAID).text, said) >= 0.8
    assert str(tape) in done.stdout.replace("\n", "")
    sound, rate = read_wav(tape)
    assert (rate, sound.shape[1]) == (8000, 2)
    assert all(abs(sound[:, side]).max() > 1000 for side in (0, 1))
    assert same_words(prompt(SAID).text, listener.heard_by_caller(tape)) >= 0.8


def test_a_softphone_calls_echo_and_is_answered_in_speech(
    node: Node, softphone: Softphone, listener: Listener
) -> None:
    assert softphone.wait() == 0
    (record,) = node.records("phone")
    assert (record["codec"], record["end_reason"]) == ("PCMA", "caller_hung_up")
    assert same_words(prompt(SAID).text, record["turns"][0]["said"]) >= 0.8
    assert same_words(prompt(SAID).text, listener.heard_by_caller(node.recording(record))) >= 0.8


def test_offhook_call_tells_a_refusal_by_its_exit_code(node: Node) -> None:
    done = offhook("call", f"sip:nobody@{node.target}", "--seconds", "5")
    assert done.returncode == 1
    assert "over: not_answered (404)" in done.stdout


def test_a_node_that_cannot_have_its_ports_or_its_folder_says_so(node: Node, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    api_port = int(node.api.rpartition(":")[2])
    records = {"record_dir": str(tmp_path)}
    cases: dict[str, dict[str, Any]] = {
        f"udp port {node.sip_port}": {
            "sip": {"udp_port": node.sip_port},
            "api": {"port": 0},
            "node": records,
        },
        "api.port": {"sip": {"udp_port": 0}, "api": {"port": api_port}, "node": records},
        "sip.tls.certificate": {
            "sip": {"udp_port": 0, "tls_port": 0, "tls": {"certificate": str(tmp_path / "none.pem")}},
            "api": {"port": 0},
            "node": records,
        },
        "node.record_dir": {"sip": {"udp_port": 0}, "node": {"record_dir": str(tmp_path / "file")}},
    }

    def start(number: int, settings: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        config = tmp_path / f"{number}.yaml"
        config.write_text(yaml.safe_dump(settings))
        return offhook("up", config=config)

    with ThreadPoolExecutor() as pool:
        results = list(pool.map(start, range(len(cases)), cases.values()))
    for told, done in zip(cases, results, strict=True):
        assert done.returncode == 2, done.stderr
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("offhook: ") and told in last, done.stderr


def test_doctor_is_content_with_a_healthy_machine(tmp_path: Path) -> None:
    config = tmp_path / "offhook.yaml"
    settings = {
        "sip": {"udp_port": free_port(), "codecs": ["opus"]},
        "api": {"port": 0},
        "node": {"record_dir": str(tmp_path / "records")},
    }
    config.write_text(yaml.safe_dump(settings))
    done = offhook("doctor", config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"ready for calls: (\d+) of \1 checks passed", done.stdout)
    assert re.search(r"loopback call: opus \d+ lost, heard after \d+ ms", done.stdout)
