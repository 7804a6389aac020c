"""An app behind TLS over real sockets: its certificate is checked, and the handshake is signed."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from gateway.agents.text_socket import DialFailed, WebSocketDial
from gateway.secret import Secret
from gateway.twilio_signature import HEADER, headers, signature
from tests.fakes.model_host import make_certificate

TOKEN = Secret("12345")


def dialled(folder: Path, host: str) -> list[str]:
    """Dial an app with a certificate for localhost under this name; its signatures, as they came."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make_certificate(folder))
    came: list[str] = []

    async def session(socket: ServerConnection) -> None:
        assert socket.request is not None
        came.append(socket.request.headers[HEADER])
        await socket.wait_closed()

    async def main() -> str:
        async with serve(session, "127.0.0.1", 0, ssl=context) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            url = f"wss://{host}:{port}/relay"
            connection = await WebSocketDial(65_536)(url, headers(TOKEN, url), 3.0)
            await connection.close()
            return url

    url = asyncio.run(main())
    return [signature(TOKEN, url), *came]


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DialFailed, match="no connection to localhost: SSLCertVerificationError"):
        dialled(tmp_path, "localhost")


def test_a_certificate_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "host.pem"))
    with pytest.raises(DialFailed, match=r"no connection to 127\.0\.0\.1: SSLCertVerificationError"):
        dialled(tmp_path, "127.0.0.1")


def test_the_right_one_is_taken_and_the_handshake_is_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "host.pem"))
    wanted, came = dialled(tmp_path, "localhost")
    assert came == wanted
