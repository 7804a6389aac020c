"""A route's requests: signed, bounded, judged strictly; messages tried again under one id."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.actions.line import StepFailed
from gateway.actions.webhook import LARGEST_ANSWER, HookAnswer, PlanHooks, read_answer
from gateway.errors import FetchFailed, FetchRefused
from tests.virtual_time import run_virtual

SECRET = b"0123456789abcdef0123456789abcdef"
URL = "https://a.example/x"


class Answered:
    def __init__(self, status: int, body: bytes) -> None:
        self.status, self._body = status, body

    async def body(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), 1000):
            yield self._body[start : start + 1000]


class Server:
    """Answers in order; an exception is raised, a number is a status, `None` hangs."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, Mapping[str, str], bytes]] = []

    @asynccontextmanager
    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> AsyncIterator[Answered]:
        self.requests.append((url, headers, body))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            await asyncio.sleep(3600)
        yield Answered(answer, b"") if isinstance(answer, int) else Answered(200, bytes(answer))  # type: ignore[call-overload]


def hooks(server: Server) -> PlanHooks:
    numbers = iter(range(100))
    return PlanHooks(server, SECRET, lambda: 1700.9, lambda: f"msg-{next(numbers)}", lambda: 0.5)


def ask(*answers: object, seconds: float = 2.0) -> HookAnswer:
    async def main() -> HookAnswer:
        return await hooks(Server(*answers)).ask(URL, {"a": 1}, seconds)

    return run_virtual(main())


def test_a_decision_is_read() -> None:
    body = json.dumps({"set": {"a": "x", "n": 5, "b": True}, "choose": "vip", "more": 1}).encode()
    assert ask(body) == HookAnswer({"a": "x", "n": "5", "b": "true"}, "vip")
    assert ask(204) == ask(b"  ") == ask(b"{}") == HookAnswer()


@pytest.mark.parametrize(
    "answer",
    [
        500, 301, None, b"<html>", b"[]", b'{"set": []}', b'{"choose": 1}', b'{"set": {"a": {}}}',
        b'{"set": {"no name": "x"}}', b'{"set": {"header.x": "forged"}}', b"[" * 60_000,
        b'"' + b"x" * LARGEST_ANSWER + b'"', FetchFailed("gone"), FetchRefused("no"),
    ],
    ids=lambda answer: repr(answer)[:20],
)  # fmt: skip
def test_everything_else_is_a_failure(answer: object) -> None:
    with pytest.raises(StepFailed) as caught:
        ask(answer)
    assert caught.value.failure == "webhook"


@given(st.binary(max_size=200))
def test_no_answer_raises_anything_but_a_failure(octets: bytes) -> None:
    try:
        read_answer(octets)
    except StepFailed:
        pass


def test_the_signature_is_that_of_standard_webhooks() -> None:
    server = Server(204)

    async def main() -> None:
        await hooks(server).ask(URL, {"name": "Käthe"}, 2.0)

    run_virtual(main())
    (_, headers, body) = server.requests[0]
    content = b"msg-0.1700." + body
    wanted = base64.b64encode(hmac.new(SECRET, content, hashlib.sha256).digest()).decode()
    assert headers["webhook-id"] == "msg-0" and headers["webhook-timestamp"] == "1700"
    assert headers["webhook-signature"] == f"v1,{wanted}"
    assert json.loads(body) == {"name": "Käthe"}


def told(*answers: object) -> tuple[Server, PlanHooks]:
    server = Server(*answers)
    made = hooks(server)

    async def main() -> None:
        made.tell(URL, {"message": 1})
        await made.aclose(600.0)

    run_virtual(main())
    return server, made


def test_a_message_is_told_again_under_the_same_id_until_it_is_taken() -> None:
    server, made = told(500, FetchFailed("gone"), None, 200)
    assert [headers["webhook-id"] for _, headers, _ in server.requests] == ["msg-0"] * 4
    assert made.dropped == 0


@pytest.mark.parametrize(("answers", "tries"), [((410,), 1), ((FetchRefused("no"),), 1), ((500,) * 6, 6)])
def test_a_message_that_nobody_wants_is_given_up_and_counted(answers: tuple[Any, ...], tries: int) -> None:
    server, made = told(*answers)
    assert len(server.requests) == tries and made.dropped == 1


def test_closing_does_not_wait_for_ever() -> None:
    async def main() -> float:
        made = hooks(Server(None))
        made.tell(URL, {})
        await made.aclose(2.0)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(2.0, abs=0.1)
