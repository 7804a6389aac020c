"""The chat agent against a scripted endpoint, over real HTTP with the real client."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest

from gateway.agents.base import Agent, AgentError, Say, UserTurn
from gateway.agents.chat import ChatAgent
from gateway.agents.chat_completion import ChatBackend
from gateway.agents.chat_settings import TELEPHONE_PROMPT, ChatSettings
from gateway.secret import Secret
from tests.fakes.chat_endpoint import Answer, ChatEndpoint, Cut, Pause, chat_endpoint, event

HELLO = UserTurn(1, "Hello?")
GOOD = Answer(("Good ", "morning."))


@asynccontextmanager
async def agent_for(*answers: Answer, **changes: Any) -> AsyncIterator[tuple[Agent, ChatEndpoint]]:
    async with chat_endpoint(*answers) as (endpoint, url):
        backend = ChatBackend(ChatSettings(base_url=url, model="tiny", **changes))
        agent = ChatAgent("chat", backend)
        try:
            yield agent, endpoint
        finally:
            await agent.aclose()
            await backend.aclose()


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(scene(), 10))


async def said(agent: Agent, turn: UserTurn = HELLO) -> list[str]:
    return [part.text async for part in agent.reply(turn) if isinstance(part, Say)]


async def failure(agent: Agent, turn: UserTurn = HELLO) -> tuple[list[str], AgentError]:
    """What was said before the error, and the error."""
    heard: list[str] = []
    with pytest.raises(AgentError) as caught:
        async for part in agent.reply(turn):
            assert isinstance(part, Say)
            heard.append(part.text)
    return heard, caught.value


def test_words_come_as_they_are_streamed() -> None:
    async def scene() -> None:
        async with agent_for(Answer(("Good ", Pause(0.5), "morning."))) as (agent, _):
            loop = asyncio.get_running_loop()
            began = loop.time()
            times = [(part, loop.time() - began) async for part in agent.reply(HELLO)]
            assert [part for part, _ in times] == [Say("Good "), Say("morning.")]
            assert times[1][1] - times[0][1] >= 0.15

    play(scene)


def test_the_request_carries_the_settings() -> None:
    async def scene() -> None:
        changes = {"api_key": Secret("k-1"), "temperature": 0.1, "max_tokens": 50}
        async with agent_for(GOOD, **changes) as (agent, endpoint):
            await said(agent)
            assert endpoint.keys == ["Bearer k-1"]
            request = endpoint.requests[0]
            assert (request["model"], request["temperature"], request["max_tokens"]) == ("tiny", 0.1, 50)
            assert request["stream"] is True
            assert request["messages"] == [
                {"role": "system", "content": TELEPHONE_PROMPT},
                {"role": "user", "content": "Hello?"},
            ]

    play(scene)


def test_the_longer_name_of_the_limit_can_be_chosen() -> None:
    async def scene() -> None:
        async with agent_for(GOOD, max_tokens_field="max_completion_tokens") as (agent, endpoint):
            await said(agent)
            assert "max_tokens" not in endpoint.requests[0]
            assert endpoint.requests[0]["max_completion_tokens"] == 300

    play(scene)


def test_the_greeting_needs_no_endpoint() -> None:
    async def scene() -> None:
        async with agent_for(GOOD, greeting="Hi!") as (agent, endpoint):
            assert [part async for part in agent.greet()] == [Say("Hi!")]
            assert endpoint.requests == []
        async with agent_for(GOOD, greeting="") as (agent, _):
            assert [part async for part in agent.greet()] == []

    play(scene)


def test_the_next_request_tells_what_was_really_heard() -> None:
    async def scene() -> None:
        async with agent_for(Answer(("Once upon a time there was a king.",))) as (agent, endpoint):
            agent.heard(UserTurn(0, ""), "How can I help?", complete=True)
            await said(agent)
            agent.heard(HELLO, "Once upon a", complete=False)
            await said(agent, UserTurn(2, "Stop. Just", dtmf="1"))
            assert [(m["role"], m["content"]) for m in endpoint.requests[1]["messages"][1:]] == [
                ("assistant", "How can I help?"),
                ("user", "Hello?"),
                ("assistant", "Once upon a —"),
                ("user", "Stop. Just (pressed 1)"),
            ]

    play(scene)


def test_a_reply_that_was_taken_back_leaves_no_trace() -> None:
    async def scene() -> None:
        async with agent_for(GOOD) as (agent, endpoint):
            await said(agent, UserTurn(1, "I would"))
            await said(agent, UserTurn(1, "I would like tea."))
            assert endpoint.requests[1]["messages"][1:] == [{"role": "user", "content": "I would like tea."}]

    play(scene)


def test_turns_share_one_connection() -> None:
    async def scene() -> None:
        async with agent_for(GOOD) as (agent, endpoint):
            for number in range(1, 4):
                assert await said(agent, UserTurn(number, "Hi")) == ["Good ", "morning."]
            assert endpoint.connections == 1

    play(scene)


def test_closing_the_reply_closes_the_connection() -> None:
    async def scene() -> None:
        async with agent_for(Answer(("One ", Pause(5), "two."))) as (agent, endpoint):
            reply = agent.reply(HELLO)
            assert await anext(reply) == Say("One ")
            await reply.aclose()  # type: ignore[attr-defined]  # an async generator
            await asyncio.wait_for(endpoint.vanished.wait(), 2)

    play(scene)


def test_cancelling_while_waiting_closes_the_connection() -> None:
    async def scene() -> None:
        async with agent_for(Answer((Pause(5), "late"))) as (agent, endpoint):
            task = asyncio.ensure_future(said(agent))
            await endpoint.asked.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.wait_for(endpoint.vanished.wait(), 2)

    play(scene)


def test_a_slow_first_word_is_an_error_in_time() -> None:
    async def scene() -> None:
        async with agent_for(Answer((Pause(5), "late")), first_token_seconds=0.3) as (agent, endpoint):
            began = asyncio.get_running_loop().time()
            heard, error = await failure(agent)
            assert 0.25 < asyncio.get_running_loop().time() - began < 1.5
            assert (heard, error.retryable) == ([], True)
            assert error.detail == "the chat endpoint gave no words within 0.3 s"
            await asyncio.wait_for(endpoint.vanished.wait(), 2)

    play(scene)


def test_a_stall_in_the_middle_is_an_error_that_is_not_repeated() -> None:
    async def scene() -> None:
        async with agent_for(Answer(("One ", Pause(5))), total_seconds=0.3) as (agent, _):
            heard, error = await failure(agent)
            assert (heard, error.retryable) == (["One "], False)
            assert error.detail == "the chat endpoint stopped in the middle"

    play(scene)


def test_time_spent_speaking_does_not_count() -> None:
    async def scene() -> None:
        async with agent_for(Answer(("One ", "two ", "three.")), total_seconds=0.4) as (agent, _):
            heard = []
            async for part in agent.reply(HELLO):
                await asyncio.sleep(0.3)
                heard.append(part)
            assert len(heard) == 3

    play(scene)


@pytest.mark.parametrize(
    ("status", "retryable", "told"),
    [
        (500, True, "the chat endpoint answered 500"),
        (503, True, "the chat endpoint answered 503"),
        (400, False, "the chat endpoint answered 400"),
        (401, False, "the chat endpoint answered 401: check api_key"),
        (404, False, "the chat endpoint answered 404: check base_url and model"),
    ],
)
def test_refusals_are_told_with_their_status(status: int, retryable: bool, told: str) -> None:
    async def scene() -> None:
        body = b'{"error": {"message": "you said: Hello?"}}'
        async with agent_for(Answer((body,), status), retries=0) as (agent, _):
            heard, error = await failure(agent)
            assert (heard, error.retryable, error.detail) == ([], retryable, told)

    play(scene)


def test_an_error_that_may_pass_is_tried_again_before_the_first_word() -> None:
    async def scene() -> None:
        async with agent_for(Answer((), 500), GOOD) as (agent, endpoint):
            assert await said(agent) == ["Good ", "morning."]
            assert len(endpoint.requests) == 2
        async with agent_for(Answer((), 400), GOOD) as (agent, endpoint):
            await failure(agent)
            assert len(endpoint.requests) == 1

    play(scene)


def test_retry_after_is_obeyed_when_the_caller_can_wait() -> None:
    async def scene() -> None:
        busy = Answer((), 429, (("Retry-After", "0.4"),))
        async with agent_for(busy, GOOD) as (agent, _):
            began = asyncio.get_running_loop().time()
            assert await said(agent) == ["Good ", "morning."]
            assert asyncio.get_running_loop().time() - began >= 0.4

    play(scene)


@pytest.mark.parametrize("wait", ["60", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_long_retry_after_fails_at_once(wait: str) -> None:
    async def scene() -> None:
        async with agent_for(Answer((), 429, (("Retry-After", wait),))) as (agent, endpoint):
            began = asyncio.get_running_loop().time()
            _, error = await failure(agent)
            assert asyncio.get_running_loop().time() - began < 1
            assert error.retryable
            assert len(endpoint.requests) == 1

    play(scene)


@pytest.mark.parametrize(
    "garbage",
    [
        b"data: {not json\n\n",
        b"data: [1, 2]\n\n",
        b'data: {"choices": 7}\n\n',
        b'data: {"choices": [7]}\n\n',
        b'data: {"choices": [{"delta": null}]}\n\n',
        b'data: "text"\n\n',
        b"data: \xff\xfe\n\n",
        b"<html>busy</html>\n\n",
        b'data: {"error": {"message": "out of memory"}}\n\n',
        b"",
    ],
)
def test_garbage_is_an_error_and_nothing_else(garbage: bytes) -> None:
    async def scene() -> None:
        answer = Answer((garbage,) if garbage else (), ends=False)
        async with agent_for(answer, retries=0) as (agent, _):
            heard, error = await failure(agent)
            assert heard == []
            assert error.detail.startswith("the chat endpoint")

    play(scene)


def test_garbage_after_words_is_final() -> None:
    async def scene() -> None:
        async with agent_for(Answer(("One ", b"data: {oops\n\n")), GOOD) as (agent, endpoint):
            heard, error = await failure(agent)
            assert (heard, error.retryable) == (["One "], False)
            assert len(endpoint.requests) == 1

    play(scene)


def test_an_answer_that_http_says_is_whole_needs_no_finish_reason() -> None:
    """Small servers send the words, `[DONE]` or nothing more, and end the body properly."""

    async def scene() -> None:
        for end in ((b"data: [DONE]\n\n",), ()):
            async with agent_for(Answer(("One ", "two.", *end), ends=False)) as (agent, _):
                assert await said(agent) == ["One ", "two."]

    play(scene)


def test_a_break_in_the_middle_is_noticed() -> None:
    async def scene() -> None:
        async with agent_for(Answer(("One ", Cut()))) as (agent, _):
            heard, error = await failure(agent)
            assert (heard, error.retryable) == (["One "], False)

    play(scene)


def test_an_empty_reply_is_an_error() -> None:
    async def scene() -> None:
        async with agent_for(Answer(()), retries=0) as (agent, _):
            _, error = await failure(agent)
            assert error.detail == "the chat endpoint gave an empty reply"

    play(scene)


def test_chunks_without_choices_are_passed_over() -> None:
    async def scene() -> None:
        usage = b'data: {"choices": [], "usage": {"total_tokens": 3}}\n\n'
        role = b'data: {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}\n\n'
        async with agent_for(Answer((role, "Hi.", usage, b": keep-alive\n\n"))) as (agent, _):
            assert await said(agent) == ["Hi."]

    play(scene)


def test_the_last_word_may_come_with_the_end() -> None:
    async def scene() -> None:
        async with agent_for(Answer((event("Bye.", finish="stop"),), ends=False)) as (agent, _):
            assert await said(agent) == ["Bye."]

    play(scene)


def test_an_endpoint_that_is_not_there_is_told() -> None:
    async def scene() -> None:
        with closing(socket.socket()) as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
            backend = ChatBackend(ChatSettings(base_url=url, retries=0))
            _, error = await failure(ChatAgent("chat", backend))
            await backend.aclose()
        assert (error.detail, error.retryable) == ("the chat endpoint cannot be reached", True)

    play(scene)


def test_an_answer_that_ends_late_does_not_hold_up_the_reply() -> None:
    async def scene() -> None:
        slow_end = Answer(("Hi.", event("", finish="stop"), Pause(5)), ends=False)
        async with agent_for(slow_end) as (agent, _):
            began = asyncio.get_running_loop().time()
            assert await said(agent) == ["Hi."]
            assert asyncio.get_running_loop().time() - began < 1.5

    play(scene)


@pytest.mark.parametrize(
    "bad",
    [
        {"base_url": "api.example.net"}, {"model": ""}, {"temperature": 3}, {"retries": -1},
        {"max_tokens": 0},
        {"first_token_seconds": 0}, {"history_turns": 0},
    ],
)  # fmt: skip
def test_impossible_settings_are_refused_by_name(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(bad))}: must"):
        ChatSettings(**bad)
