"""A softphone as people have it, over each transport and codec, with and without encryption."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.live.gateway.listening import prompt, same_words
from tests.live.gateway.node import Node
from tests.live.gateway.softphone import Line, Softphone

pytestmark = pytest.mark.live

SAID = "conf-now-recording"
LINES = [
    Line("PCMU", "udp", name="plain"),
    Line("opus/48000/2", "udp", name="opus"),
    Line("G722/16000/1", "tcp", "srtp", name="wide"),
    Line("PCMA", "tls", "srtp-mand", name="secret"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("softphones")


@pytest.fixture(scope="module")
def node(folder: Path) -> Iterator[Node]:
    """A node with every transport, that takes encrypted calls and others."""
    openssl = shutil.which("openssl")
    assert openssl, "openssl is not installed; cure: apt-get install openssl"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=30)
    both = (folder / "key.pem").read_text() + (folder / "cert.pem").read_text()
    (folder / "tls.pem").write_text(both)
    trunk = {"name": "local", "sources": ["127.0.0.1"], "srtp": "optional"}
    sip = {"tcp_port": 0, "tls_port": 0, "tls": {"certificate": str(folder / "tls.pem")}, "trunks": [trunk]}
    with Node(folder, {"sip": sip}) as running:
        yield running


def test_every_softphone_is_heard_and_hears_us(node: Node, folder: Path) -> None:
    up = next(line for line in node.log if line["event"] == "sip endpoint is up")
    with ExitStack() as all_of_them:
        phones = {}
        for line in LINES:
            target = f"127.0.0.1:{up[f'{line.transport}_port']}"
            phone = Softphone(folder / line.name, line, target, SAID)
            phones[line.name] = all_of_them.enter_context(phone)
        codes = {name: phone.wait() for name, phone in phones.items()}
    assert set(codes.values()) == {0}, codes
    for line in LINES:
        (record,) = node.records(line.name)
        assert record["end_reason"] == "caller_hung_up", record
        assert record["codec"].lower() == line.codec.partition("/")[0].lower()
        assert same_words(prompt(SAID).text, record["turns"][0]["said"]) >= 0.8, record
        assert abs(phones[line.name].heard()).max() > 3000, line
