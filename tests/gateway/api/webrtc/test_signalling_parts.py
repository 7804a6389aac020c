"""The pure parts of the signalling: who may call from where, what browsers are told of ICE servers."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from gateway.api.webrtc import ice_servers, origins
from gateway.errors import ScopeRefused
from gateway.secret import Secret
from gateway.webrtc_settings import IceServer, WebRtcSection

HOST = {"host": "127.0.0.1:7100"}


@pytest.mark.parametrize(
    ("origin", "allowed", "bound", "good"),
    [
        ("", (), "", True),
        ("http://127.0.0.1:7100", (), "", True),
        ("https://127.0.0.1:7100", (), "", True),
        ("http://127.0.0.1:7101", (), "", False),
        ("http://localhost:7100", (), "", False),
        ("https://shop.example", ("https://shop.example",), "", True),
        ("https://shop.example.evil", ("https://shop.example",), "", False),
        ("http://shop.example", ("https://shop.example",), "", False),
        ("null", (), "", False),
        ("https://any.example", ("*",), "", True),
        ("https://shop.example", (), "https://shop.example", True),
        ("https://evil.example", ("*",), "https://shop.example", False),
        ("", (), "https://shop.example", False),
    ],
)
def test_which_pages_may_call(origin: str, allowed: tuple[str, ...], bound: str, good: bool) -> None:
    headers = {**HOST, **({"origin": origin} if origin else {})}
    if good:
        assert origins.checked(headers, allowed, bound) == origin
    else:
        with pytest.raises(ScopeRefused):
            origins.checked(headers, allowed, bound)


def test_only_pages_get_headers_for_pages() -> None:
    assert origins.cors("") == {}
    assert origins.cors("https://a.example")["Access-Control-Allow-Origin"] == "https://a.example"
    assert origins.preflight("https://a.example", "POST")["Access-Control-Allow-Methods"] == "POST"


def test_a_shared_secret_makes_credentials_that_expire() -> None:
    server = IceServer(
        ("turn:turn.example:3478?transport=udp",), secret=Secret("north"), lifetime_seconds=600
    )
    user, password = ice_servers.credentials(server, 1_000_000.0)
    assert user.startswith("1000600:")
    wanted = base64.b64encode(hmac.new(b"north", user.encode(), hashlib.sha1).digest()).decode()
    assert password == wanted
    assert ice_servers.credentials(server, 1_000_000.0)[0] != user


def test_what_pages_and_headers_are_told() -> None:
    servers = (
        IceServer(("stun:stun.example",)),
        IceServer(("turn:turn.example", "turns:turn.example"), user="u", password=Secret("p")),
    )
    assert ice_servers.for_page(servers, 0) == [
        {"urls": ["stun:stun.example"]},
        {"urls": ["turn:turn.example", "turns:turn.example"], "username": "u", "credential": "p"},
    ]
    link = ice_servers.for_link(servers, 0)
    assert link.count('rel="ice-server"') == 3
    assert '<turns:turn.example>; rel="ice-server"; username="u"; credential="p"' in link
    assert ice_servers.for_link((), 0) == ""


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: IceServer(()),
        lambda: IceServer(("http://x",)),
        lambda: IceServer(("stun:x",), lifetime_seconds=1),
        lambda: WebRtcSection(origins=("shop.example",)),
        lambda: WebRtcSection(origins=("https://shop.example/page",)),
        lambda: WebRtcSection(token_secret=Secret("short")),
        lambda: WebRtcSection(per_address=0),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match=":"):
        wrong()  # type: ignore[operator]
