"""A ConversationRelay app within a route: what follows its end, its loss, and the keys that it sends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.agents.conversation_relay.agent import RelayAgent, RelayHome
from gateway.agents.conversation_relay.outcome import SessionStatus
from gateway.agents.conversation_relay.settings import RelaySettings
from gateway.calls.record import CallRecord
from gateway.dialplan.actions import Answer, ConnectAgent, SayText
from gateway.dialplan.plan import Dialplan
from gateway.dialplan.steps import plain
from media.legs.base import EndReason
from tests.calls.test_relay import beep
from tests.fakes.asr import ScriptedAsr
from tests.fakes.desk import FrontDesk, Phone
from tests.fakes.relay_app import Message, ScriptedApp, ScriptedWire, text
from tests.fakes.tts import ToneTts
from tests.virtual_time import run_virtual

SAYS = [(0.5, 1.5, "Hello there.")]


class KeyedPhone(Phone):
    """Remembers the keys that were pressed towards it."""

    def __init__(self) -> None:
        super().__init__(says=[span[:2] for span in SAYS])
        self.keys: list[str] = []

    async def send_dtmf(self, digits: str) -> None:
        self.keys.append(digits)


class Routed:
    """One call through a route: the app, then a word of the route's own."""

    def __init__(self, app: ScriptedApp, *, fallback: bool = False) -> None:
        home = RelayHome("AC" + 32 * "0", app.dial, beep, lambda: 0.0)
        self.agent = RelayAgent("relay", RelaySettings(), home)
        self.tts = ToneTts()

        async def main() -> tuple[CallRecord, KeyedPhone]:
            desk = FrontDesk([Answer()], asr=ScriptedAsr(SAYS), tts=self.tts, make_agent=lambda: self.agent)
            answer, connect, after = plain(Answer(), ConnectAgent("relay"), SayText("The route goes on."))
            if fallback:
                connect = replace(connect, fallback=plain(SayText("Please hold the line.")))
            (route,) = desk.plan.routes
            desk.plan = Dialplan((replace(route, steps=(answer, connect, after)),))
            phone = KeyedPhone()
            desk.reception.take(phone)
            await desk.until_idle()
            return desk.keeper.records[0], phone

        self.record, self.phone = run_virtual(main())


def saying(*frames: Message) -> Callable[[ScriptedWire, Message], None]:
    def answer(wire: ScriptedWire, message: Message) -> None:
        if message["type"] == "prompt":
            wire.say(*frames)

    return answer


def test_after_the_end_the_route_goes_on() -> None:
    routed = Routed(ScriptedApp(saying(text("Goodbye."), {"type": "end", "handoffData": "x"})))
    assert routed.tts.spoken == ["Goodbye.", "The route goes on."]
    assert routed.record.end_reason is EndReason.DIALPLAN_HUNG_UP
    assert routed.agent.outcome.handoff_data == "x"


@pytest.mark.parametrize("status", [0, 401, 503])
def test_an_app_that_cannot_be_reached_leads_to_the_fallback(status: int) -> None:
    routed = Routed(ScriptedApp(refuses=1000, status=status), fallback=True)
    assert routed.tts.spoken[-2:] == ["Please hold the line.", "The route goes on."]
    assert routed.agent.outcome.status is SessionStatus.FAILED
    began = next(
        at for at, _, pcm in routed.phone.playout.heard if pcm[0] == 100 * len(routed.tts.spoken[:-1])
    )
    assert began < 1.5 + 0.5 + 4.0


def test_without_one_the_caller_hears_why_the_call_ends() -> None:
    routed = Routed(ScriptedApp(refuses=1000, status=401))
    assert routed.tts.spoken == [
        "I'm sorry, I can't help you at the moment. Please call again later. Goodbye."
    ]
    assert routed.record.end_reason is EndReason.DEAD_AIR


def test_keys_are_sent_once_what_came_before_was_heard() -> None:
    app = ScriptedApp(saying(text("Dialling."), {"type": "sendDigits", "digits": "12w#"}, {"type": "end"}))
    routed = Routed(app)
    assert routed.phone.keys == ["12", "#"]
    assert app.of("error") == []
