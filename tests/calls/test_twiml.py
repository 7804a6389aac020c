"""Whole calls in the hands of a TwiML app, in virtual time: leg, voice, recogniser and runner."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway import twilio_ids
from gateway.actions.flow import Reach
from gateway.agents.text_socket import DialFailed
from gateway.audio.files import AudioFiles
from gateway.audio.outbound import Guard
from gateway.calls.orders import (
    BridgeDial,
    CollectKeys,
    GoTo,
    Order,
    OrderRefused,
    RunTwiml,
    SwitchAgent,
    TransferBlind,
)
from gateway.calls.record import CallRecord
from gateway.calls.settings import Engines, SessionSettings
from gateway.control.guard import Guard as TollGuard
from gateway.control.guard import Spent
from gateway.control.guarded_dialer import GuardedDialer
from gateway.control.outbound_settings import OutboundRule, OutboundSettings
from gateway.dialplan.actions import SayText
from gateway.dialplan.actions_reach import Twiml
from gateway.dialplan.match import Match, Route
from gateway.dialplan.plan import Dialplan
from gateway.dialplan.steps import Step, plain
from gateway.live_calls import LiveCalls
from gateway.metrics import Metrics
from gateway.observers import SilentObserver
from gateway.route_run import CallParts, RouteRun
from gateway.secret import Secret
from gateway.twiml.client import AppClient
from gateway.twiml.connecting import Wires
from gateway.twiml.node import TwimlNode
from gateway.twiml.progress import CallProgress
from gateway.twiml.recordings import RecordingShelf
from gateway.twiml.settings import TwimlSettings
from gateway.twiml.status import StatusCallbacks
from media.legs.base import DtmfReceived, EndReason, LegClosed, LegEvent, Parties, TransferProgress
from media.legs.sip_settings import TrunkSettings
from media.recorder import TapeDisk
from tests.fakes.agent import ScriptedAgent
from tests.fakes.app_socket import AppDial, AppSocket
from tests.fakes.asr import ScriptedAsr
from tests.fakes.callee import Callee, CalleeNetwork
from tests.fakes.caller import ScriptedCaller
from tests.fakes.tts import ToneTts
from tests.fakes.twilio_app import Said, ScriptedApp, twiml
from tests.virtual_time import run_virtual

BASE = "http://app.example.com"
ACCOUNT = twilio_ids.account_sid("node")
APP = Twiml(f"{BASE}/voice", fallback_url=f"{BASE}/fallback")
Says = dict[str, Said | list[Said]]


class Caller(ScriptedCaller):
    """Presses keys and hangs up at seconds after the answer; remembers what it was asked."""

    leg_id = "call-1"
    parties = Parties("100", "200", "pbx")

    def __init__(self, says: Sequence[tuple[float, float]], does: Sequence[tuple[float, LegEvent]]) -> None:
        super().__init__(says, does=does)
        self.rejected = 0
        self.rang: list[float] = []
        self.pressed = ""
        self.referred: list[str] = []

    async def ring(self, *, early_media: bool = False) -> None:
        self.rang.append(asyncio.get_running_loop().time())

    async def reject(self, sip_code: int, *, retry_after: int = 0, reason: str = "") -> None:
        self.rejected = sip_code
        at = asyncio.get_running_loop().time()
        self.listener.notice(LegClosed(EndReason.REJECTED, at, sip_code))

    async def send_dtmf(self, digits: str) -> None:
        self.pressed += digits

    async def transfer(self, target: str, *, deadline: float, progress: TransferProgress) -> None:
        self.referred.append(target)

    async def hangup(self, reason: EndReason, *, cause: int = 0) -> None:
        if hasattr(self, "clock") and not self.hung_up:
            await super().hangup(reason)
        elif not self.hung_up:
            self.hung_up.append(reason)
            self.listener.notice(LegClosed(reason, asyncio.get_running_loop().time()))


class Totals:
    """Nothing was ever spent."""

    async def add(self, trunk: str, day: str, minutes: int, cost: int) -> None: ...

    async def read(self, trunk: str, day: str) -> Spent:
        return Spent()


@dataclass
class Came:
    """What came of a call."""

    reason: EndReason
    caller: Caller
    app: ScriptedApp
    record: CallRecord | None
    network: CalleeNetwork
    dial: AppDial
    tts: ToneTts
    answered_at: float

    def told(self, path: str, *names: str) -> list[tuple[str, ...]]:
        return [tuple(form.get(name, "-") for name in names) for form in self.app.forms(path)]

    @property
    def stages(self) -> list[str]:
        assert self.record is not None
        events = self.record.as_json()["events"]
        return [event["stage"] for event in events if event["event"] == "stage_began"]


def place(
    says: Says,
    action: Twiml = APP,
    *,
    speaks: Sequence[tuple[float, float, str]] = (),
    keys: Sequence[tuple[float, str]] = (),
    until: float = 60.0,
    gives_up: float = 1e9,
    fallback: Sequence[str] = (),
    callees: Sequence[Callee] = (),
    bots: Sequence[Callable[[AppSocket], Any]] = (),
    refused: Sequence[DialFailed] = (),
    beside: Callable[[RouteRun], Awaitable[None]] | None = None,
) -> Came:
    """A call to the app. `until`: when the caller hangs up, `gives_up`: before the answer.

    `beside` runs three seconds into the call.
    """

    async def main() -> Came:
        loop = asyncio.get_running_loop()
        app = ScriptedApp(says)
        settings = TwimlSettings(auth_token=Secret("token"))
        client = AppClient(settings, app, app)
        callbacks = StatusCallbacks(client, tries=1, waiting=100)
        wall = lambda: datetime(2026, 11, 26, tzinfo=UTC)  # noqa: E731
        dial = AppDial(*(bots or [_silent]), failures=list(refused))
        node = TwimlNode(
            settings, ACCOUNT, client, callbacks, CallProgress(wall),
            RecordingShelf(Path("/nowhere"), ACCOUNT, Secret("token"), lambda: "http://node"),
            AudioFiles(), TapeDisk(), Wires(dial, Guard(()), Secret("token"), ACCOUNT), wall,
        )  # fmt: skip
        network = CalleeNetwork(*(callees or [Callee()]))
        rules = OutboundSettings((OutboundRule("pbx", extensions=("*",)),))
        trunks = {"pbx": TrunkSettings(name="pbx", domain="pbx.example", outbound=True)}
        dialer = GuardedDialer(TollGuard(rules), network, trunks, Totals(), wall)
        records = _Records()
        tts = ToneTts()
        parts = CallParts(
            agent=lambda name: ScriptedAgent(greeting=f"This is {name}."),
            engines=Engines(ScriptedAsr(speaks), tts),
            session=SessionSettings(),
            observers=(node.progress, records),
            metrics=Metrics().calls,
            live=LiveCalls(loop.time),
            add=lambda handle: None,
            wall=wall,
            reach=lambda: Reach(dialer, None, node),
            transfers=dialer,
        )
        does: list[tuple[float, LegEvent]] = [(at, DtmfReceived(key, at)) for at, key in keys]
        does.append((until, LegClosed(EndReason.CALLER_HUNG_UP, until)))
        caller = Caller([span[:2] for span in speaks], does)
        step = Step(action, plain(*map(SayText, fallback)))
        route = Route("app", Match(), (step,), "plan.yaml:1")
        other = Route("other", Match(never=True), plain(SayText("Another route.")))
        run = RouteRun(parts, caller, route, "call-1", Dialplan((route, other)))

        async def order() -> None:
            await asyncio.sleep(3.0)
            if beside is not None:
                await beside(run)

        if gives_up < until:
            closed = LegClosed(EndReason.CANCELLED, gives_up)
            loop.call_later(gives_up, lambda: caller.listener.notice(closed))
        ordering = loop.create_task(order())
        reason = await run.run()
        ordering.cancel()
        await asyncio.gather(ordering, return_exceptions=True)
        await callbacks.aclose(30.0)
        await dial.aclose()
        await dialer.aclose()
        await asyncio.sleep(0.2)
        mine = asyncio.current_task()
        assert [t.get_name() for t in asyncio.all_tasks() if t is not mine] == []
        return Came(
            reason, caller, app, records.kept[0] if records.kept else None, network, dial, tts,
            records.answered_at,
        )  # fmt: skip

    return run_virtual(main())


class _Records(SilentObserver):
    """Keeps the record, and when the call was answered."""

    def __init__(self) -> None:
        self.kept: list[CallRecord] = []
        self.answered_at = -1.0

    def answered(self, call_id: str, codec: str, sample_rate: int) -> None:
        self.answered_at = asyncio.get_running_loop().time()

    def ended(self, record: CallRecord) -> None:
        self.kept.append(record)


async def _silent(socket: AppSocket) -> None:
    while True:
        await socket.receive()


def test_an_app_speaks_and_hangs_up() -> None:
    came = place({"/voice": twiml("<Say>Hello there</Say><Play digits='1w2'/><Hangup/>", after=1.0)})
    assert came.reason is EndReason.DIALPLAN_HUNG_UP
    assert came.tts.spoken == ["Hello there"] and came.caller.pressed == "12"
    assert came.answered_at == 1.0, "it is taken when the document is there, and rings until then"
    (form,) = came.app.forms("/voice")
    assert (form["CallSid"], form["AccountSid"]) == (twilio_ids.call_sid("call-1"), ACCOUNT)
    assert (form["From"], form["To"], form["CallStatus"]) == ("100", "200", "ringing")
    assert came.stages == ["twiml"]


def test_keys_end_with_the_number_the_key_or_silence() -> None:
    gather = '<Gather numDigits="3" timeout="2" finishOnKey="*" action="/got"><Say>Code</Say></Gather>'
    says: Says = {"/voice": twiml(f"{gather}<Say>None</Say>"), "/got": twiml("")}
    names = ("Digits", "FinishedOnKey")
    assert place(says, keys=[(1.0, "4"), (1.5, "2"), (2.0, "7")]).told("/got", *names) == [("427", "")]
    assert place(says, keys=[(1.0, "4"), (1.5, "*")]).told("/got", *names) == [("4", "*")]
    assert place(says, keys=[(1.0, "4")]).told("/got", *names) == [("4", "")]
    came = place(says, keys=[(1.0, "*")])
    assert came.told("/got", *names) == [] and came.tts.spoken == ["Code", "None"]
    assert place(says).tts.spoken == ["Code", "None"]


def test_speech_silences_the_prompt_and_reaches_the_app() -> None:
    long = " ".join(["prompt"] * 30)
    gather = f'<Gather input="speech" action="/got" partialResultCallback="/far"><Say>{long}</Say></Gather>'
    says: Says = {"/voice": twiml(gather), "/got": twiml(""), "/far": Said(status=204)}
    came = place(says, speaks=[(2.0, 3.0, "the sales department")])
    assert came.told("/got", "SpeechResult", "Digits") == [("the sales department", "-")]
    assert 0.0 <= float(came.told("/got", "Confidence")[0][0]) <= 1.0
    assert max(at for at, _, _ in came.caller.playout.heard) < 3.0, "silenced by his first words"


def test_a_second_telephone_rings_and_the_two_talk() -> None:
    callee = Callee(rings=0.5, answers=2.0, hangs_up=8.0, says=[(0.0, 5.0)])
    dial = (
        '<Dial action="/after" callerId="4711"><Number statusCallback="/n" '
        'statusCallbackEvent="initiated ringing answered completed">300</Number></Dial>'
    )
    says: Says = {"/voice": twiml(dial), "/after": twiml("<Say>Bye</Say>"), "/n": Said()}
    came = place(says, callees=[callee])
    assert came.network.dialled == [("sip:300@pbx.example", "pbx", "4711")]
    assert came.told("/after", "DialCallStatus", "DialBridged", "DialCallDuration") == [
        ("completed", "true", "6")
    ]
    assert [status for (status,) in came.told("/n", "CallStatus")] == [
        "initiated", "ringing", "in-progress", "completed",
    ]  # fmt: skip
    assert came.tts.spoken == ["Bye"] and came.answered_at == 0.0


def test_with_answer_on_bridge_the_caller_is_taken_when_somebody_took_him() -> None:
    callee = Callee(rings=0.5, answers=4.0, hangs_up=9.0)
    came = place({"/voice": twiml('<Dial answerOnBridge="true">300</Dial>')}, callees=[callee])
    assert came.answered_at == 4.0 and came.caller.rang == [0.0]
    busy = Callee(refuses=(1.0, 486))
    says: Says = {
        "/voice": twiml('<Dial answerOnBridge="true" action="/a">300</Dial>'),
        "/a": twiml("<Reject/>"),
    }
    came = place(says, callees=[busy])
    assert came.told("/a", "DialCallStatus", "CallStatus") == [("busy", "ringing")]
    assert came.caller.rejected == 603 and came.reason is EndReason.REJECTED


def test_a_star_or_the_time_limit_sends_the_other_away() -> None:
    says: Says = {"/voice": twiml('<Dial hangupOnStar="true">300</Dial><Say>Back</Say>')}
    came = place(says, callees=[Callee(answers=1.0)], keys=[(5.0, "5"), (6.0, "*")])
    assert came.tts.spoken == ["Back"] and came.reason is EndReason.DIALPLAN_HUNG_UP
    callee = Callee(answers=1.0)
    came = place({"/voice": twiml('<Dial timeLimit="5">300</Dial><Say>Back</Say>')}, callees=[callee])
    assert came.tts.spoken == ["Back"] and set(callee.hung_up) == {EndReason.AGENT_HUNG_UP}


def test_who_hangs_up_while_it_rings_leaves_nobody_ringing() -> None:
    callee = Callee(answers=None)
    came = place(
        {"/voice": twiml('<Dial action="/a">300</Dial>'), "/a": twiml("")}, callees=[callee], until=3.0
    )
    assert callee.hung_up == [EndReason.CANCELLED] and came.reason is EndReason.CALLER_HUNG_UP
    assert came.told("/a", "DialCallStatus", "CallStatus") == [("canceled", "completed")]


def test_a_bot_on_a_media_stream_has_the_call_and_gives_it_back() -> None:
    async def bot(socket: AppSocket) -> None:
        start = await socket.until(lambda message: message["event"] == "start")
        assert start["start"]["customParameters"] == {"customer": "7"}
        await socket.until(lambda message: message["event"] == "media")
        await asyncio.sleep(4.0)
        socket.close()

    connect = (
        '<Connect action="/after"><Stream url="wss://app.example.com/bot" name="bot" statusCallback="/s">'
        '<Parameter name="customer" value="7"/></Stream></Connect>'
    )
    says: Says = {"/voice": twiml(connect), "/after": twiml("<Say>Back</Say>"), "/s": Said()}
    came = place(says, bots=[bot])
    sid = twilio_ids.stream_sid("call-1")
    assert came.told("/s", "StreamEvent", "StreamSid", "StreamName") == [
        ("stream-started", sid, "bot"), ("stream-stopped", sid, "bot"),
    ]  # fmt: skip
    assert came.told("/after", "StreamSid", "CallStatus") == [(sid, "in-progress")]
    assert came.tts.spoken == ["Back"]
    assert came.dial.sockets[0].headers["X-Twilio-Signature"]


def test_a_bot_that_is_away_leads_to_the_next_verb() -> None:
    says: Says = {
        "/voice": twiml('<Connect><Stream url="wss://app.example.com/bot"/></Connect><Say>Sorry</Say>')
    }
    came = place(says, refused=[DialFailed("no connection")] * 5)
    assert came.tts.spoken == ["Sorry"] and came.reason is EndReason.DIALPLAN_HUNG_UP


def test_a_socket_that_leads_inside_is_not_dialled() -> None:
    connect = '<Connect><Stream url="wss://127.0.0.1/bot"/></Connect>'
    came = place({"/voice": twiml(connect), "/fallback": twiml("<Say>Sorry</Say>")})
    assert came.dial.sockets == [] and came.tts.spoken == ["Sorry"]
    assert came.told("/fallback", "ErrorCode") == [("31920",)]


def test_a_relay_talks_and_its_handoff_reaches_the_app() -> None:
    async def relay(socket: AppSocket) -> None:
        setup = await socket.receive()
        assert setup["type"] == "setup" and setup["customParameters"] == {"customer": "7"}
        prompted = await socket.until(lambda message: message["type"] == "prompt")
        socket.send({"type": "text", "token": f"You said {prompted['voicePrompt']}.", "last": True})
        await asyncio.sleep(6.0)
        socket.send({"type": "end", "handoffData": '{"to": "sales"}'})
        await _silent(socket)

    connect = (
        '<Connect action="/after"><ConversationRelay url="wss://app.example.com/relay" welcomeGreeting="Hi">'
        '<Parameter name="customer" value="7"/></ConversationRelay></Connect>'
    )
    says: Says = {"/voice": twiml(connect), "/after": twiml("<Say>Sales</Say>")}
    came = place(says, bots=[relay], speaks=[(3.0, 4.0, "hello")])
    names = ("SessionId", "SessionStatus", "HandoffData", "CallStatus")
    assert came.told("/after", *names) == [
        (twilio_ids.session_sid("call-1"), "ended", '{"to": "sales"}', "in-progress")
    ]
    assert came.tts.spoken == ["Hi", "You said hello.", "Sales"]


def test_an_app_may_listen_while_the_document_goes_on() -> None:
    got: list[dict[str, Any]] = []

    async def ear(socket: AppSocket) -> None:
        while True:
            got.append(await socket.receive())

    start = '<Start><Stream name="ear" url="wss://app.example.com/ear" statusCallback="/s"/></Start>'
    stop = '<Stop><Stream name="ear"/></Stop>'
    says: Says = {
        "/voice": twiml(f"{start}<Say>One</Say><Pause length='2'/>{stop}<Pause length='2'/>"),
        "/s": Said(),
    }
    came = place(says, bots=[ear], keys=[(1.0, "7")])
    events = [message["event"] for message in got]
    assert events[:2] == ["connected", "start"] and events[-1] == "stop"
    heard = [message for message in got if message["event"] == "media"]
    assert len(heard) > 100 and {message["media"]["track"] for message in heard} == {"inbound"}
    assert [message["dtmf"]["digit"] for message in got if message["event"] == "dtmf"] == ["7"]
    assert came.told("/s", "StreamEvent") == [("stream-started",), ("stream-stopped",)]


def test_a_stream_that_nobody_stopped_ends_with_the_call() -> None:
    start = '<Start><Stream url="wss://app.example.com/ear"/></Start>'
    came = place({"/voice": twiml(f"{start}<Pause length='20'/>")}, until=5.0)
    assert came.reason is EndReason.CALLER_HUNG_UP
    assert came.dial.sockets[0].got[-1][1]["event"] == "stop"


def test_the_plan_goes_on_without_an_app_that_fails() -> None:
    for said in (Said(status=500), Said("<Response><Sya/></Response>"), twiml("<Hangup/>", after=99.0)):
        came = place({"/voice": said, "/fallback": said}, fallback=["We are sorry."])
        assert came.tts.spoken == ["We are sorry."] and came.reason is EndReason.DIALPLAN_HUNG_UP
    came = place({"/voice": Said(status=500)}, replace(APP, fallback_url=""))
    assert came.caller.rejected == 503, "with nothing else to do it is refused, not left ringing"


def test_a_caller_on_the_line_is_told_to_wait_and_then_why() -> None:
    says: Says = {
        "/voice": twiml("<Say>Hi</Say><Redirect>/slow</Redirect>"), "/slow": twiml("", after=99.0),
        "/fallback": Said(status=500),
    }  # fmt: skip
    came = place(says, fallback=["We are sorry."])
    assert came.tts.spoken == ["Hi", "One moment, please.", "We are sorry."]


def test_status_callbacks_tell_of_the_whole_call() -> None:
    told = replace(APP, status_callback=f"{BASE}/status", status_events=("ringing", "answered", "completed"))
    came = place({"/voice": twiml("<Pause length='3'/><Say>Hi</Say><Pause/>"), "/status": Said()}, told)
    assert [status for (status,) in came.told("/status", "CallStatus")] == [
        "ringing",
        "in-progress",
        "completed",
    ]
    assert came.answered_at == 3.0 and came.caller.rang == [0.0], "a first pause rings"
    assert int(came.told("/status", "CallDuration")[2][0]) >= 1


def test_a_call_that_was_not_taken_is_told_as_well() -> None:
    told = replace(APP, fallback_url="", status_callback=f"{BASE}/status")
    for said in (twiml("<Reject/>"), Said(status=500)):
        came = place({"/voice": said, "/status": Said()}, told)
        assert came.told("/status", "CallStatus", "CallDuration") == [("busy", "0")]
    came = place({"/voice": twiml("", after=9.0), "/status": Said()}, told, gives_up=2.0)
    assert came.told("/status", "CallStatus") == [("canceled",)]


def test_a_running_call_can_be_sent_to_another_document() -> None:
    async def order(run: RouteRun) -> None:
        await run.obey(RunTwiml(document="<Response><Say>Operator</Say></Response>"))

    came = place({"/voice": twiml("<Say>Hi</Say><Pause length='50'/>")}, beside=order)
    assert came.tts.spoken == ["Hi", "Operator"] and came.reason is EndReason.DIALPLAN_HUNG_UP

    async def elsewhere(run: RouteRun) -> None:
        await run.obey(RunTwiml(f"{BASE}/b"))

    connect = '<Connect><Stream url="wss://app.example.com/bot"/></Connect>'
    came = place({"/voice": twiml(connect), "/b": twiml("<Say>B</Say>")}, beside=elsewhere)
    assert came.tts.spoken == ["B"], "a bot lets go as well"
    assert came.dial.sockets[0].got[-1][1]["event"] == "stop"


BUSY = {
    "stream": '<Connect action="/done"><Stream url="wss://app.example.com/bot"/></Connect><Say>After</Say>',
    "relay": '<Connect action="/done"><ConversationRelay url="wss://app.example.com/r"/></Connect>',
    "gather": '<Gather timeout="30"><Say>Hi</Say></Gather>',
    "pause": '<Pause length="30"/>',
}
"""What a document may be doing when the order comes."""


@pytest.mark.parametrize("doing", BUSY)
@pytest.mark.parametrize("given", ["plan", "order"])
def test_another_route_is_taken_whatever_a_document_does(doing: str, given: str) -> None:
    async def orders(run: RouteRun) -> None:
        if given == "order":
            await run.obey(RunTwiml(f"{BASE}/busy"))
            await asyncio.sleep(2.0)
        await run.obey(GoTo("other"))

    busy = twiml(BUSY[doing])
    says: Says = {"/voice": busy if given == "plan" else twiml("<Pause length='30'/>"), "/busy": busy}
    came = place(says, beside=orders)
    assert came.tts.spoken[-1] == "Another route." and "After" not in came.tts.spoken
    assert came.reason is EndReason.DIALPLAN_HUNG_UP and came.app.forms("/done") == []
    for socket in came.dial.sockets:
        assert socket.closed_by_us.is_set(), "the app's socket is let go"


@pytest.mark.parametrize("doing", BUSY)
def test_a_call_is_connected_with_somebody_whatever_a_document_does(doing: str) -> None:
    async def order(run: RouteRun) -> None:
        await run.obey(BridgeDial("5"))

    callee = Callee(hangs_up=6.0)
    came = place({"/voice": twiml(BUSY[doing])}, beside=order, callees=[callee])
    assert came.record is not None
    bridged = [event for event in came.record.as_json()["events"] if event["event"] == "bridge_changed"]
    assert [event["on"] for event in bridged] == [True, False]
    assert came.reason is EndReason.DIALPLAN_HUNG_UP


@pytest.mark.parametrize("doing", ["stream", "relay"])
def test_another_agent_takes_over_from_a_connected_app(doing: str) -> None:
    async def order(run: RouteRun) -> None:
        await run.obey(SwitchAgent("helper"))

    came = place({"/voice": twiml(BUSY[doing])}, beside=order, until=20.0)
    assert "This is helper." in came.tts.spoken
    assert came.reason is EndReason.CALLER_HUNG_UP


@pytest.mark.parametrize("doing", BUSY)
def test_a_caller_is_sent_elsewhere_whatever_a_document_does(doing: str) -> None:
    async def order(run: RouteRun) -> None:
        await run.obey(TransferBlind("4711"))

    came = place({"/voice": twiml(BUSY[doing])}, beside=order)
    assert came.caller.referred == ["4711"] and came.reason is EndReason.TRANSFERRED
    assert "After" not in came.tts.spoken


def test_an_order_may_follow_another_while_a_document_was_ordered() -> None:
    async def orders(run: RouteRun) -> None:
        following: list[Order] = [RunTwiml(f"{BASE}/b"), GoTo("other")]
        for one in following:
            await run.obey(one)
            await asyncio.sleep(1.5)

    says: Says = {
        "/voice": twiml("<Pause length='30'/>"),
        "/b": twiml("<Say>Second</Say><Pause length='30'/>"),
    }
    came = place(says, beside=orders)
    assert came.tts.spoken == ["Second", "Another route."]


def test_an_order_that_cannot_be_run_is_refused() -> None:
    refusals: list[str] = []

    async def order(run: RouteRun) -> None:
        for one in (RunTwiml(document="<Response><Sya/></Response>"), CollectKeys(4)):
            with pytest.raises(OrderRefused) as refused:
                await run.obey(one)
            refusals.append(refused.value.detail)

    came = place({"/voice": twiml("<Say>Hi</Say><Pause length='9'/>")}, beside=order)
    assert "Sya" in refusals[0] and len(refusals) == 2
    assert came.reason is EndReason.DIALPLAN_HUNG_UP


def test_a_call_is_never_lost_between_two_documents() -> None:
    came = place(
        {"/voice": twiml("<Say>Hi</Say><Redirect>/b</Redirect>"), "/b": twiml("", after=9.0)}, until=3.0
    )
    assert came.reason is EndReason.CALLER_HUNG_UP and came.record is not None
