"""A route whose agent hears and speaks by itself: places, endings, what follows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from engines.base import AsrOptions, AsrStream, EngineBusy
from gateway.agents.media_stream import MediaStreamAgent
from gateway.agents.media_stream_settings import MediaStreamSettings
from gateway.dialplan.actions import Answer, ConnectAgent, SayText
from gateway.dialplan.forms import Action
from media.legs.base import EndReason
from tests.fakes.agent import ScriptedAgent
from tests.fakes.app_socket import AppDial, AppSocket
from tests.fakes.asr import ScriptedAsr
from tests.fakes.desk import FrontDesk, Phone
from tests.virtual_time import run_virtual


class FullAsr(ScriptedAsr):
    """A recogniser that has no place left."""

    def __init__(self, says: Sequence[tuple[float, float, str]] = ()) -> None:
        super().__init__(says)

    def stream(self, options: AsrOptions) -> AsrStream:
        raise EngineBusy("no place")


async def leaves(socket: AppSocket) -> None:
    await asyncio.sleep(1.0)
    socket.close()


def bot(dial: AppDial) -> MediaStreamAgent:
    return MediaStreamAgent("bot", MediaStreamSettings(url="wss://bot.example.com/"), dial, "AC" + "0" * 32)


def test_it_needs_no_recogniser_and_when_the_bot_is_done_the_route_goes_on() -> None:
    async def main() -> None:
        dial = AppDial(leaves)
        actions: list[Action] = [Answer(), ConnectAgent("bot"), SayText("Goodbye.")]
        desk = FrontDesk(actions, FullAsr(), make_agent=lambda: bot(dial), own_ears=frozenset({"bot"}))
        phone = Phone()
        desk.reception.take(phone)
        await desk.until_idle()
        (record,) = desk.keeper.records
        assert record.end_reason is EndReason.DIALPLAN_HUNG_UP
        assert 1.0 < phone.playout.heard[0][0] < 1.1, "the goodbye was heard"
        stages = [event["stage"] for event in record.as_json()["events"] if event["event"] == "stage_began"]
        assert stages == ["agent"]
        await dial.aclose()

    run_virtual(main())


def test_an_agent_that_needs_our_ears_is_still_refused_without_a_place() -> None:
    async def main() -> None:
        desk = FrontDesk([ConnectAgent("chat")], FullAsr(), make_agent=ScriptedAgent)
        phone = Phone()
        desk.reception.take(phone)
        await desk.until_idle()
        assert phone.refused is not None and phone.refused.code == 503

    run_virtual(main())
