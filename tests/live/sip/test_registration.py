"""A trunk that registers: it proves itself, and signs off at the end."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from callers.sipp import free_port
from media.legs.sip_digest import digest_response, parse_digest
from tests.live.sip.phone import HOST, Message, parse
from tests.live.sip.process import GatewayProcess

pytestmark = pytest.mark.live

_CHALLENGE = 'Digest realm="registrar", nonce="0123456789abcdef", algorithm=MD5, qop="auth"'


class Registrar:
    """Challenges each REGISTER, checks the proof, and keeps what it saw."""

    def __init__(self, password: str) -> None:
        self.registered: list[tuple[str, int]] = []
        self.refused = 0
        self._password = password
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HOST, 0))
        self._socket.settimeout(0.1)
        self.port: int = self._socket.getsockname()[1]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._over.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                data, source = self._socket.recvfrom(65_535)
            except TimeoutError:
                continue
            self._socket.sendto(self._answer(parse(data)), source)

    def _answer(self, request: Message) -> bytes:
        fields = parse_digest(request["authorization"])
        if not fields:
            return _response(request, "401 Unauthorized", f"WWW-Authenticate: {_CHALLENGE}")
        if fields.get("response") != digest_response(fields, "REGISTER", self._password):
            self.refused += 1
            return _response(request, "403 Forbidden")
        expires = re.search(r"expires=(\d+)", request["contact"])
        seconds = int(expires[1] if expires else request["expires"] or 0)
        self.registered.append((request["to"], seconds))
        return _response(request, "200 OK", f"Contact: {request['contact']};expires={seconds}")


def _response(request: Message, status: str, *more: str) -> bytes:
    lines = [f"SIP/2.0 {status}", *(f"Via: {via}" for via in request.all("via"))]
    lines += [f"{name}: {request[name]}" for name in ("From", "Call-ID", "CSeq")]
    lines += [f"To: {request['to']};tag=r", *more, "Content-Length: 0"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.fixture
def registrar() -> Iterator[Registrar]:
    registrar = Registrar("sesame")
    yield registrar
    registrar.close()


def trunk(registrar: Registrar, password: str) -> dict[str, object]:
    return {
        "name": "carrier", "sources": [f"{HOST}/32"], "registrar": f"sip:{HOST}:{registrar.port}",
        "user": "4930", "password": password, "register_expires_s": 60,
    }  # fmt: skip


def registration(gateway: GatewayProcess) -> int:
    for _ in range(40):
        if code := gateway.stats()["registrations"].get("carrier"):
            return int(code)
        time.sleep(0.1)
    raise AssertionError("no answer to the registration was reported")


def test_a_trunk_registers_and_signs_off(registrar: Registrar) -> None:
    with GatewayProcess(trunks=[trunk(registrar, "sesame")]) as gateway:
        assert registration(gateway) == 200
        assert registrar.registered == [(f"<sip:4930@{HOST}>", 60)]
    assert [seconds for _, seconds in registrar.registered] == [60, 0]


def test_who_only_dials_does_not_take_the_nodes_calls(registrar: Registrar, tmp_path: Path) -> None:
    """A registration by `offhook call` would take the place of the node's, and its end would remove it."""
    config = tmp_path / "offhook.yaml"
    chosen = {**trunk(registrar, "sesame"), "outbound": True, "sources": ["192.0.2.1"]}
    config.write_text(json.dumps({"sip": {"udp_port": 0, "trunks": [chosen]}}))
    uri = f"sip:1@{HOST}:{free_port()}"
    command = [
        "-c",
        "from gateway.cli import main; main()",
        "call",
        uri,
        "--trunk",
        "carrier",
        "--seconds",
        "1",
    ]
    done = subprocess.run(
        [sys.executable, *command, "-c", str(config)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1 and "over: " in done.stdout, done.stdout + done.stderr
    assert registrar.registered == [] and registrar.refused == 0


def test_a_wrong_password_is_reported_and_the_endpoint_lives(registrar: Registrar) -> None:
    with GatewayProcess(trunks=[trunk(registrar, "wrong")]) as gateway:
        assert registration(gateway) in (401, 403)
        assert registrar.refused >= 1 and registrar.registered == []
        assert gateway.stats()["callback_failures"] == 0
