"""A bot that makes its own sound within a route: a caller who is up already never waits for it in silence."""

from __future__ import annotations

from dataclasses import replace

from gateway.agents.media_stream import MediaStreamAgent
from gateway.agents.media_stream_settings import MediaStreamSettings
from gateway.calls.call_events import AgentFault
from gateway.calls.settings import PhraseSettings
from gateway.dialplan.actions import Answer, ConnectAgent, SayText
from gateway.dialplan.plan import Dialplan
from gateway.dialplan.steps import plain
from gateway.twilio_ids import account_sid
from media.legs.base import EndReason
from tests.fakes.app_socket import AppDial, AppSocket
from tests.fakes.caller import TICK
from tests.fakes.desk import FrontDesk, Phone
from tests.fakes.tts import ToneTts
from tests.virtual_time import run_virtual

WELCOME, ELSEWHERE = "Welcome to us.", "Nobody is here."


async def nothing(socket: AppSocket) -> None:
    """A bot that is never reached."""


def test_a_bot_that_does_not_answer_gets_a_filler_and_then_the_fallback() -> None:
    tts = ToneTts()

    async def main() -> tuple[FrontDesk, Phone]:
        bot = MediaStreamAgent(
            "bot", MediaStreamSettings(), AppDial(nothing, takes=60.0), account_sid("node")
        )
        desk = FrontDesk([Answer()], tts=tts, make_agent=lambda: bot)
        answer, welcome, connect = plain(Answer(), SayText(WELCOME), ConnectAgent("bot"))
        connect = replace(connect, fallback=plain(SayText(ELSEWHERE)))
        (route,) = desk.plan.routes
        desk.plan = Dialplan((replace(route, steps=(answer, welcome, connect)),))
        phone = Phone()
        desk.reception.take(phone)
        await desk.until_idle()
        return desk, phone

    desk, phone = run_virtual(main())
    (record,) = desk.keeper.records
    assert tts.spoken == [WELCOME, PhraseSettings().filler, ELSEWHERE]
    began: list[float] = []
    last = -1.0
    for at, _, _ in phone.playout.heard:
        if at - last > 2 * TICK:
            began.append(at)
        last = at
    welcome_over = phone.playout.heard[0][0] + 0.1 * len(WELCOME.split())
    assert began[1] - welcome_over <= 1.5 and began[2] - welcome_over <= 4.0
    faults = [(one.kind, one.action) for one in record.events if isinstance(one, AgentFault)]
    assert faults == [("slow", "filler"), ("slow", "ended")]
    assert record.end_reason is EndReason.DIALPLAN_HUNG_UP
