"""A key is found however a client sends it."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from gateway.api.core.credentials import answered_subprotocol, presented

BASIC = base64.b64encode(b"anybody:k-1").decode()


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"Authorization": "Token k-1"}, {}),
        ({"authorization": "token k-1"}, {}),
        ({"Authorization": "Bearer k-1"}, {}),
        ({"Authorization": "BEARER  k-1 "}, {}),
        ({"Authorization": "k-1"}, {}),
        ({"Authorization": f"Basic {BASIC}"}, {}),
        ({"Authorization": "Basic " + base64.b64encode(b"k-1:").decode()}, {}),
        ({"X-API-Key": "k-1"}, {}),
        ({"api-key": "k-1"}, {}),
        ({"Sec-WebSocket-Protocol": "token, k-1"}, {}),
        ({"Sec-WebSocket-Protocol": "bearer,k-1"}, {}),
        ({"Sec-WebSocket-Protocol": "realtime, openai-insecure-api-key.k-1"}, {}),
        ({}, {"api_key": "k-1"}),
        ({}, {"token": "k-1"}),
        ({"Authorization": "Token k-1"}, {"api_key": "other"}),
    ],
)
def test_every_scheme(headers: dict[str, str], query: dict[str, str]) -> None:
    assert presented(Headers(headers), query) == "k-1"


@pytest.mark.parametrize("headers", [{}, {"Authorization": ""}, {"Authorization": "Basic ???"}])
def test_no_key_is_no_key(headers: dict[str, str]) -> None:
    assert presented(Headers(headers), {}) == ""


@given(st.text(max_size=80))
def test_nothing_that_is_sent_breaks_it(text: str) -> None:
    for name in ("authorization", "sec-websocket-protocol", "x-api-key"):
        assert isinstance(presented({name: text}, {"api_key": text}), str)


def test_browsers_are_answered_with_a_protocol_that_they_offered() -> None:
    assert answered_subprotocol({"sec-websocket-protocol": "token, k-1"}) == "token"
    assert answered_subprotocol({}) is None
