"""A chat agent whose model uses tools, against a scripted endpoint over real HTTP, with the real client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from gateway.agents.base import AgentError, Do, Mishap, Say, Settle, UserTurn, Working
from gateway.agents.chat import ChatAgent
from gateway.agents.chat_completion import ChatBackend
from gateway.agents.chat_settings import ChatSettings
from gateway.agents.tools.http_tools import HttpTools
from gateway.agents.tools.settings import HttpTool, ToolSettings
from gateway.calls.orders import End, Hold, Order, SwitchAgent, TransferBlind
from gateway.secret import Secret
from media.legs.base import EndReason
from tests.fakes.chat_endpoint import Answer, ChatEndpoint, chat_endpoint
from tests.fakes.chat_tools import wants

ASK = UserTurn(1, "Where is my order 7?")
ORDER = HttpTool(
    "find_order",
    "Where an order is.",
    "https://shop.example/orders/{number}",
    "GET",
    {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]},
    Secret("t-1"),
)
BOOK = HttpTool("book", "Books a table.", "https://shop.example/book", "POST", seconds=0.3)


class Shop:
    """The operator's service."""

    def __init__(self, takes: float = 0.0, status: int = 200) -> None:
        self.takes, self.status = takes, status
        self.requests: list[httpx.Request] = []
        self.together = self.most = 0

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.together += 1
        self.most = max(self.most, self.together)
        await asyncio.sleep(self.takes)
        self.together -= 1
        return httpx.Response(self.status, json={"state": "on its way"})


@asynccontextmanager
async def agent_for(
    *answers: Answer, tools: ToolSettings, shop: Shop | None = None
) -> AsyncIterator[tuple[ChatAgent, ChatEndpoint]]:
    async with chat_endpoint(*answers) as (endpoint, url):
        backend = ChatBackend(ChatSettings(base_url=url, model="tiny", tools=tools))
        await backend.http.aclose()
        backend.http = HttpTools(httpx.MockTransport((shop or Shop()).answer))
        agent = ChatAgent("chat", backend, "call-1")
        try:
            yield agent, endpoint
        finally:
            await backend.aclose()


async def parts(agent: ChatAgent, turn: UserTurn = ASK, refused: str = "") -> list[Say | Settle | Order]:
    """What the agent gives, mishaps aside; every order is done at once, or refused."""
    given: list[Say | Settle | Order] = []
    async for part in agent.reply(turn):
        if isinstance(part, Do):
            given.append(part.order)
            if part.told is not None:
                part.told(refused)
        elif not isinstance(part, Mishap | Working):
            assert isinstance(part, Say | Settle)
            given.append(part)
    return given


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(scene(), 10))


def test_a_service_is_asked_and_the_model_speaks_of_what_it_said() -> None:
    async def scene() -> None:
        shop = Shop()
        answers = (wants(("find_order", {"number": 7}), says="Let me see. "), Answer(("It is on its way.",)))
        async with agent_for(*answers, tools=ToolSettings(http=(ORDER,)), shop=shop) as (agent, endpoint):
            assert await parts(agent) == [Say("Let me see. "), Say("It is on its way.")]
            (request,) = shop.requests
            assert str(request.url) == "https://shop.example/orders/7"
            assert request.headers["authorization"] == "Bearer t-1"
            assert request.headers["x-offhook-call-id"] == "call-1"
            (offered,) = endpoint.requests[0]["tools"]
            assert offered["function"]["name"] == "find_order"
            wish, answer = endpoint.requests[1]["messages"][-2:]
            assert wish["tool_calls"][0]["function"]["arguments"] == '{"number": 7}'
            assert answer == {
                "role": "tool",
                "content": '{"state":"on its way"}',
                "tool_call_id": "call_0",
            }
            agent.heard(ASK, "Let me see. It is on its way.", complete=True)
            await parts(agent, UserTurn(2, "Thanks."))
            roles = [message["role"] for message in endpoint.requests[-1]["messages"]]
            assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]

    play(scene)


def test_several_tools_work_side_by_side_and_fillers_cover_the_wait() -> None:
    async def scene() -> None:
        shop = Shop(takes=0.5)
        calls = [("find_order", {"number": n}) for n in range(3)]
        settings = ToolSettings(http=(ORDER,), filler_seconds=0.2, fillers=("One moment.",))
        async with agent_for(wants(*calls), Answer(("Done.",)), tools=settings, shop=shop) as (agent, _):
            assert await parts(agent) == [Say("One moment. ", filler=True), Say("Done.")]
            assert shop.most == 3

    play(scene)


def test_what_must_happen_once_waits_until_the_caller_has_finished_and_what_is_safe_does_not() -> None:
    async def scene() -> None:
        shop = Shop()
        answers = (wants(("find_order", {"number": 1})), wants(("book", {})), Answer(("Booked.",)))
        async with agent_for(*answers, tools=ToolSettings(http=(ORDER, BOOK)), shop=shop) as (agent, _):
            reply = agent.reply(ASK)
            assert isinstance(await anext(reply), Working)
            assert isinstance(await anext(reply), Settle)
            assert [request.method for request in shop.requests] == ["GET"]
            await reply.aclose()  # type: ignore[attr-defined]
            assert [request.method for request in shop.requests] == ["GET"]

    play(scene)


def test_a_tool_that_was_used_is_remembered_even_when_nobody_heard_the_reply() -> None:
    """The caller goes on with his turn after the table was booked: it must not be booked twice."""

    async def scene() -> None:
        answers = (wants(("book", {})), Answer(("Booked.",)), Answer(("Yes.",)))
        async with agent_for(*answers, tools=ToolSettings(http=(BOOK,))) as (agent, endpoint):
            await parts(agent)
            await parts(agent, UserTurn(1, "Where is my order 7? And quickly."))
            assert [m["role"] for m in endpoint.requests[-1]["messages"]][-2:] == ["assistant", "tool"]

    play(scene)


@pytest.mark.parametrize(
    ("shop", "told"), [(Shop(status=500), "failed: it answered 500"), (Shop(takes=5.0), "failed: no answer")]
)
def test_a_service_that_fails_or_hangs_is_told_to_the_model(shop: Shop, told: str) -> None:
    async def scene() -> None:
        answers = (wants(("book", {})), Answer(("Sorry.",)))
        async with agent_for(*answers, tools=ToolSettings(http=(BOOK,)), shop=shop) as (agent, endpoint):
            assert (await parts(agent))[-1] == Say("Sorry.")
            assert endpoint.requests[-1]["messages"][-1]["content"].startswith(told)

    play(scene)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (("find_order", "{"), "no JSON"),
        (("find_order", {"number": "seven"}), "number"),
        (("find_ordr", {}), 'did you mean "find_order"'),
        (("transfer", {"to": "the president"}), "to"),
    ],
)
def test_a_model_that_asks_for_nonsense_is_told_so_and_nothing_happens(
    call: tuple[str, object], told: str
) -> None:
    async def scene() -> None:
        shop = Shop()
        settings = ToolSettings(http=(ORDER,), transfer={"sales": "+4930123"})
        async with agent_for(wants(call), Answer(("Oh.",)), tools=settings, shop=shop) as (agent, endpoint):
            assert await parts(agent) == [Say("Oh.")]
            content = endpoint.requests[-1]["messages"][-1]["content"]
            assert content.startswith("refused: ") and told in content and not shop.requests

    play(scene)


def test_a_transfer_that_fails_goes_back_to_the_model() -> None:
    async def scene() -> None:
        answers = (wants(("transfer", {"to": "sales"}), says="Connecting. "), Answer(("Nobody is there.",)))
        settings = ToolSettings(transfer={"sales": "+4930123"})
        async with agent_for(*answers, tools=settings) as (agent, endpoint):
            given = await parts(agent, refused="busy")
            assert given == [
                Say("Connecting. "),
                Settle(),
                TransferBlind("+4930123"),
                Say("Nobody is there."),
            ]
            assert endpoint.requests[-1]["messages"][-1]["content"] == "failed: busy"

    play(scene)


def test_nothing_follows_a_goodbye_or_a_colleague() -> None:
    async def scene() -> None:
        settings = ToolSettings(hang_up=True, agents=("expert",), hold=True)
        async with agent_for(wants(("hang_up", {}), says="Bye."), tools=settings) as (agent, endpoint):
            assert await parts(agent) == [Say("Bye."), Settle(), End(EndReason.AGENT_HUNG_UP)]
            assert len(endpoint.requests) == 1
        handed = wants(("hold", {"on": True}), ("switch_agent", {"agent": "expert", "note": "angry"}))
        async with agent_for(handed, tools=settings) as (agent, endpoint):
            assert await parts(agent) == [Settle(), Hold(True), SwitchAgent("expert", "angry")]

    play(scene)


def test_a_colleague_begins_with_what_he_was_told() -> None:
    async def scene() -> None:
        async with agent_for(Answer(("I have read it.",)), tools=ToolSettings()) as (agent, endpoint):
            agent.brief("The caller is angry.")
            assert [part async for part in agent.greet()] == [Say("I have read it.")]
            assert "The caller is angry." in endpoint.requests[0]["messages"][0]["content"]
            assert "tools" not in endpoint.requests[0]

    play(scene)


def test_a_model_that_never_comes_to_an_end_is_stopped() -> None:
    async def scene() -> None:
        loops = wants(("find_order", {"number": 1}))
        async with agent_for(loops, tools=ToolSettings(http=(ORDER,), rounds=2)) as (agent, endpoint):
            await parts(agent)
            assert len(endpoint.requests) == 3 and "tools" not in endpoint.requests[-1]
        endless = wants(("find_order", '{"number": ' + "1" * 70_000))
        async with agent_for(endless, tools=ToolSettings(http=(ORDER,))) as (agent, _):
            with pytest.raises(AgentError, match="without end"):
                await parts(agent)

    play(scene)


def test_settings_that_make_no_sense_are_refused_by_name() -> None:
    for wrong, told in (
        ({"name": "a b"}, "name"),
        ({"name": "transfer"}, "tool of the call"),
        ({"url": "ftp://x"}, "url"),
        ({"parameters": {"type": "object", "properties": {"a": {"type": "nix"}}}}, "parameters"),
        ({"parameters": {"type": "string"}}, "parameters"),
        ({"seconds": 0.0}, "seconds"),
    ):
        with pytest.raises(ValueError, match=told):
            HttpTool(**{"name": "ok", "url": "https://x", **wrong})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a name of its own"):
        ToolSettings(http=(BOOK, BOOK))
