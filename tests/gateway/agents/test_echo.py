"""The echo repeats exactly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from gateway.agents.base import Agent, ReplyPart, Say, UserTurn
from gateway.agents.echo import EchoAgent, EchoSettings


def parts(reply: AsyncIterator[ReplyPart]) -> list[ReplyPart]:
    async def collect() -> list[ReplyPart]:
        return [part async for part in reply]

    return asyncio.run(collect())


def test_it_says_back_what_was_said_and_keyed() -> None:
    agent: Agent = EchoAgent("echo", EchoSettings())
    assert parts(agent.reply(UserTurn(1, " Hello, is anybody there? "))) == [Say("Hello, is anybody there?")]
    assert parts(agent.reply(UserTurn(2, "", dtmf="12#"))) == [Say("1 2 #")]
    assert parts(agent.reply(UserTurn(3, "yes", dtmf="1"))) == [Say("yes 1")]


def test_nothing_is_answered_with_nothing() -> None:
    assert parts(EchoAgent("echo", EchoSettings()).reply(UserTurn(1, "  "))) == []


def test_a_greeting_is_said_only_when_there_is_one() -> None:
    assert parts(EchoAgent("echo", EchoSettings()).greet()) == []
    assert parts(EchoAgent("echo", EchoSettings(greeting="Hi.")).greet()) == [Say("Hi.")]
