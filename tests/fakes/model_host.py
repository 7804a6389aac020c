"""A server of files over real HTTPS on loopback that follows a script: ranges, cuts, trickles, redirects."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Fault:
    """What goes wrong with one request; the next one meets the next fault, or none."""

    status: int = 0
    """Answered in place of the file."""
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with that status."""
    cut_after: int = -1
    """Octets of the body; then the connection is closed."""
    hangs: bool = False
    """Rather than closed, it stays silent."""
    trickle: float = 0.0
    """Seconds between single octets, from the first on."""


@dataclass
class Asked:
    """A request as it came."""

    path: str
    headers: dict[str, str]


class ModelHost:
    """Serves `files` by path, with ranges and an ETag where `etags` names one."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.files: dict[str, bytes] = {}
        self.etags: dict[str, str] = {}
        self.faults: list[Fault] = []
        self.asked: list[Asked] = []
        self.ranges = True
        self.tells_length = True
        self.released = threading.Event()
        """Set: what hangs goes on to its end."""
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                host.answer(self)

            def log_message(self, format: str, *args: object) -> None: ...

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server = _Quiet(("127.0.0.1", 0), Handler)
        # Shaking hands is the handler thread's work: one stranger must not hold up all others.
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def url(self, path: str) -> str:
        return f"https://localhost:{self.port}{path}"

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.partition("?")[0]
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append(Asked(request.path, headers))
        fault = self.faults.pop(0) if self.faults else Fault()
        if fault.status:
            request.send_response(fault.status)
            for name, value in {"Content-Length": "0", **fault.headers}.items():
                request.send_header(name, value)
            request.end_headers()
        elif path not in self.files:
            request.send_error(404)
        else:
            self._send(request, path, headers, fault)

    def _send(
        self, request: BaseHTTPRequestHandler, path: str, headers: dict[str, str], fault: Fault
    ) -> None:
        body, etag = self.files[path], self.etags.get(path, "")
        start = int(headers["range"].removeprefix("bytes=").rstrip("-")) if "range" in headers else 0
        resumes = self.ranges and "range" in headers and headers.get("if-range", etag) == etag
        if resumes and start >= len(body):
            request.send_response(416)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(206 if resumes else 200)
        sent = body[start:] if resumes else body
        if resumes:
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if etag:
            request.send_header("ETag", etag)
        if self.tells_length:
            request.send_header("Content-Length", str(len(sent)))
        else:
            request.send_header("Connection", "close")
            request.close_connection = True
        request.end_headers()
        self._body(request, sent, fault)

    def _body(self, request: BaseHTTPRequestHandler, sent: bytes, fault: Fault) -> None:
        whole = sent if fault.cut_after < 0 else sent[: fault.cut_after]
        try:
            if fault.trickle:
                for octet in whole:
                    request.wfile.write(bytes([octet]))
                    if self.released.is_set():
                        break
                    time.sleep(fault.trickle)
            else:
                request.wfile.write(whole)
            request.wfile.flush()
            if fault.hangs:
                self.released.wait(30.0)
        except OSError:
            pass
        if fault.cut_after >= 0 or fault.trickle:
            request.close_connection = True
            request.connection.shutdown(socket.SHUT_RDWR)


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are the point here."""

    def shutdown_request(self, request: object) -> None:
        assert isinstance(request, socket.socket)
        try:
            request.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        request.close()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed one for localhost, and its key."""
    certificate, key = folder / "host.pem", folder / "host.key"
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    command = (
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    )
    files = ("-days", "2", "-keyout", str(key), "-out", str(certificate))
    subprocess.run([*command, *files, *names], check=True, capture_output=True)
    return certificate, key


@contextmanager
def model_host(certificate: Path, key: Path) -> Iterator[ModelHost]:
    """A host for the length of the block."""
    host = ModelHost(certificate, key)
    try:
        yield host
    finally:
        host.close()
