"""Calls with a realtime model, in virtual time: an endpoint held to the openai client's own types."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

from gateway.agents.handoff import brief
from gateway.agents.realtime import RealtimeAgent, RealtimeBackend
from gateway.agents.realtime_settings import RealtimeSettings
from gateway.agents.sound import SoundAgent
from gateway.agents.text_socket import DialFailed
from gateway.agents.tools.http_tools import HttpTools
from gateway.agents.tools.settings import HttpTool, ToolSettings
from gateway.calls.call_events import AgentFault
from gateway.calls.orders import End, Order, TransferBlind
from gateway.calls.stage import CallOver
from gateway.metered import MeteredSound
from gateway.secret import Secret
from media.g711 import ALAW, ULAW
from media.legs.base import EndReason
from tests.calls.sound_call import SoundOutcome, loud, place_sound_call
from tests.fakes.app_socket import AppDial, AppSocket
from tests.fakes.realtime_endpoint import RealtimeEndpoint, Reply
from tests.fakes.voices import sound

CHOSEN = RealtimeSettings(
    base_url="https://models.example.com/v1", api_key=Secret("k"), model="talker", voice="marin", opening=""
)
GREETING = replace(CHOSEN, opening="Say hello.")


def call(endpoint: RealtimeEndpoint, chosen: RealtimeSettings = CHOSEN, **more: Any) -> SoundOutcome:
    dial = more.pop("dial", None) or AppDial(endpoint)
    answers = more.pop("services", {})

    async def service(request: httpx.Request) -> httpx.Response:
        answer = answers[request.url.path]
        if isinstance(answer, float):
            await asyncio.sleep(answer)
        return httpx.Response(200, text=str(answer))

    handoff = more.pop("handoff", "")

    def make(dial: AppDial) -> SoundAgent:
        services = HttpTools(httpx.MockTransport(service))
        agent = MeteredSound(
            RealtimeAgent("model", RealtimeBackend(chosen, dial, services)), lambda *told: None
        )
        brief(agent, handoff)
        return agent

    outcome = place_sound_call(make, dial, **more)
    assert outcome.tasks_left == []
    return outcome


def test_a_greeting_a_turn_and_the_record_of_both() -> None:
    endpoint = RealtimeEndpoint([Reply("Hello, how can I help you?"), Reply("We open at nine.", loud(2.0))],
                                transcripts=["when do you open"])  # fmt: skip
    outcome = call(endpoint, GREETING, says=[(2.0, 3.0)], until=9.0)
    (socket,) = endpoint.sockets
    assert socket.url == "wss://models.example.com/v1/realtime?model=talker"
    assert socket.headers == {"Authorization": "Bearer k"}
    assert endpoint.kinds() == ["session.update", "response.create"]
    assert endpoint.events("response.create")[0]["response"] == {"instructions": "Say hello."}
    turns = [
        (turn.number, turn.said, turn.reply, turn.heard, turn.interrupted) for turn in outcome.record.turns
    ]
    assert turns == [
        (0, "", "Hello, how can I help you?", "Hello, how can I help you?", False),
        (1, "when do you open", "We open at nine.", "We open at nine.", False),
    ]
    # Half a second until the endpoint commits, 0.2 s of thinking.
    timings = outcome.record.turns[1].timings
    assert timings is not None and timings.total == pytest.approx(0.7, abs=0.05)
    assert outcome.watcher.finals == ["when do you open"]
    assert [round(end - start, 2) for start, end in outcome.audible] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("audio", "codec", "refuses", "wire"),
    [
        ("auto", "PCMU", [], "audio/pcmu"),
        ("auto", "PCMA", [], "audio/pcma"),
        ("auto", "PCMU", ["audio/pcmu"], "audio/pcm"),
        ("pcm", "PCMU", [], "audio/pcm"),
    ],
)
def test_g711_goes_straight_through_where_the_endpoint_takes_it(
    audio: Any, codec: str, refuses: list[str], wire: str
) -> None:
    endpoint = RealtimeEndpoint([Reply(sound=loud(1.0, 4000))], refuses=refuses)
    outcome = call(endpoint, replace(GREETING, audio=audio), says=[(1.5, 2.0)], until=3.0, codec=codec)
    formats = [e["session"]["audio"]["output"]["format"]["type"] for e in endpoint.events("session.update")]
    assert formats[-1] == wire and len(formats) == 1 + len(refuses)
    heard = b"".join(endpoint.heard)
    if wire == "audio/pcm":
        assert len(heard) == pytest.approx(3.0 * 48000, rel=0.02)
    else:
        table = ULAW if wire == "audio/pcmu" else ALAW
        assert len(heard) == pytest.approx(3.0 * 8000, rel=0.02)
        said = table[np.frombuffer(heard, np.uint8)][int(1.6 * 8000) : int(1.9 * 8000)]
        wanted = sound([(1.5, 2.0)], 2.0)[int(1.6 * 8000) : int(1.9 * 8000)]
        assert np.abs(said.astype(int) - wanted).max() < 300
    assert outcome.audible[0][1] - outcome.audible[0][0] == pytest.approx(1.0, abs=0.03)
    assert np.median(outcome.heard[outcome.heard != 0]) == pytest.approx(4000, rel=0.03)


def test_who_speaks_over_the_model_silences_it_and_it_learns_to_the_sample_where() -> None:
    endpoint = RealtimeEndpoint(
        [Reply("one two three four five six seven eight nine ten", loud(10.0)), Reply()]
    )
    outcome = call(endpoint, GREETING, says=[(3.5, 4.0)], until=7.0)
    ((begin, end), _) = outcome.audible
    sent = np.flatnonzero(outcome.heard[: int(4.2 * 8000)])
    samples = sent[-1] + 1 - sent[0]
    truncated = endpoint.events("conversation.item.truncate")
    assert [event["audio_end_ms"] for event in truncated] == [samples * 1000 // 8000]
    assert end == pytest.approx(3.52, abs=0.021), "with the packet after his first loud one"
    assert endpoint.kinds().count("response.cancel") == 0, "it had said everything already"
    turn = outcome.record.turns[0]
    assert turn.interrupted and turn.heard == "one two three"
    assert outcome.record.barge_ins == [] or outcome.record.barge_ins[0].stop < 0.2


def test_a_response_that_is_still_made_is_cancelled_and_what_is_on_its_way_never_heard() -> None:
    slow = Reply("a very long story", loud(30.0, 3000), burst=0.9)
    endpoint = RealtimeEndpoint([slow, Reply(sound=loud(1.0, 5000))])
    outcome = call(endpoint, GREETING, says=[(3.5, 4.0)], until=8.0)
    (cancelled,) = endpoint.events("response.cancel")
    assert cancelled["response_id"].startswith("resp_")
    assert len(endpoint.events("conversation.item.truncate")) == 1
    assert np.abs(outcome.heard).max() < 6000, "the late piece is louder"
    assert len(outcome.audible) == 2


def test_our_own_detector_ends_turns_and_interrupts_where_the_endpoint_has_none() -> None:
    chosen = replace(GREETING, turn_detection="ours", silence_ms=600)
    endpoint = RealtimeEndpoint([Reply(sound=loud(20.0)), Reply("Yes.", loud(1.0))])
    outcome = call(endpoint, chosen, says=[(3.0, 3.5), (3.9, 4.5)], until=8.0)
    assert endpoint.events("session.update")[0]["session"]["audio"]["input"]["turn_detection"] is None
    assert endpoint.kinds() == [
        "session.update", "response.create", "conversation.item.truncate",
        "input_audio_buffer.commit", "response.create",
    ]  # fmt: skip
    at = {event["type"]: at for at, event in endpoint.got}
    assert at["input_audio_buffer.commit"] == pytest.approx(4.5 + 0.6, abs=0.05)
    assert outcome.audible[0][1] == pytest.approx(3.02, abs=0.03)
    (barge_in,) = outcome.record.barge_ins
    assert barge_in.stop < 0.1


def test_a_caller_who_may_not_interrupt_does_not() -> None:
    endpoint = RealtimeEndpoint([Reply(sound=loud(3.0)), Reply()])
    outcome = call(endpoint, replace(GREETING, interruptible=False), says=[(1.0, 1.5)], until=6.0)
    assert outcome.audible[0][1] - outcome.audible[0][0] >= 3.0
    assert "conversation.item.truncate" not in endpoint.kinds()


def test_tools_are_used_side_by_side_and_the_model_goes_on_with_what_came_of_them() -> None:
    tools = ToolSettings(
        transfer={"sales": "sip:sales@example.com"},
        http=(HttpTool("stock", "How many.", "https://shop.example.com/stock", "GET"),),
    )
    asks = (("stock", "{}"), ("transfer", '{"to": "sales"}'), ("transfer", '{"to": "moon"}'), ("fly", "{}"))
    endpoint = RealtimeEndpoint([Reply("One moment.", loud(1.0), tools=asks), Reply("Twelve are left.")])
    obeyed: list[Order] = []
    outcome = call(
        endpoint, replace(CHOSEN, tools=tools), says=[(0.5, 1.0)], until=8.0, obeyed=obeyed,
        services={"/stock": "12"},
    )  # fmt: skip
    named = [tool["name"] for tool in endpoint.events("session.update")[0]["session"]["tools"]]
    assert named == ["transfer", "stock"]
    assert obeyed == [TransferBlind("sip:sales@example.com")]
    outputs = [e["item"]["output"] for e in endpoint.events("conversation.item.create")]
    assert outputs[-1] == "done" and "12" in outputs
    assert sum(output.startswith("not done") for output in outputs) == 2 and len(outputs) == 4
    assert endpoint.kinds().count("response.create") == 1
    assert len(outcome.audible) == 2


def test_hanging_up_waits_until_the_goodbye_was_heard_and_an_interruption_prevents_it() -> None:
    chosen = replace(GREETING, tools=ToolSettings(hang_up=True))
    goodbye = Reply("Goodbye.", loud(2.0), tools=(("hang_up", "{}"),))
    obeyed: list[Order] = []
    endpoint = RealtimeEndpoint([goodbye, Reply()])
    outcome = call(endpoint, chosen, until=5.0, obeyed=obeyed)
    assert obeyed == [End(EndReason.AGENT_HUNG_UP)]
    assert outcome.audible[0] == pytest.approx((0.2, 2.2), abs=0.05)
    obeyed.clear()
    endpoint = RealtimeEndpoint([goodbye, Reply()])
    call(endpoint, chosen, says=[(1.0, 1.5)], until=5.0, obeyed=obeyed)
    assert obeyed == []
    (told,) = endpoint.events("conversation.item.create")
    assert told["item"]["output"].startswith("not done: the caller interrupted")


def test_a_slow_tool_is_no_dead_air_and_its_end_starts_the_wait_anew() -> None:
    tools = ToolSettings(http=(SLOW,), fillers=())
    endpoint = RealtimeEndpoint(
        [Reply(sound=loud(0.0), tools=(("slow", "{}"),)), Reply("At last.", loud(1.0))]
    )
    chosen = replace(CHOSEN, tools=tools, dead_air_seconds=4.0)
    outcome = call(endpoint, chosen, says=[(0.5, 1.0)], until=20.0, services={"/slow": 12.0})
    assert outcome.end == CallOver(EndReason.CALLER_HUNG_UP)
    assert outcome.audible[0][0] == pytest.approx(14.0, abs=0.3)


SLOW = HttpTool("slow", "Slow.", "https://shop.example.com/slow", "GET", seconds=30.0)


def test_while_a_tool_is_slow_the_model_says_so_in_its_own_voice() -> None:
    replies = [
        Reply("Let me look.", loud(1.0), tools=(("slow", "{}"),)),
        Reply("One moment, please.", loud(1.0, 4000)),
        Reply("I am still looking.", loud(1.0, 5000)),
        Reply("At last.", loud(1.0, 6000)),
    ]
    endpoint = RealtimeEndpoint(replies)
    chosen = replace(CHOSEN, tools=ToolSettings(http=(SLOW,)))
    outcome = call(endpoint, chosen, says=[(0.5, 1.0)], until=16.0, services={"/slow": 9.0})
    one, two, answer = endpoint.events("response.create")
    assert one["response"]["conversation"] == two["response"]["conversation"] == "none"
    assert one["response"]["instructions"].endswith(": One moment, please.")
    assert two["response"]["instructions"].endswith(": I am still looking.")
    assert "response" not in answer
    begun = [start for start, _ in outcome.audible]
    assert begun[1] - outcome.audible[0][1] == pytest.approx(1.0 + 0.2, abs=0.1), "from the sentence's end"
    assert begun[2] - begun[1] == pytest.approx(6.0, abs=0.1) and len(begun) == 4
    faults = [(e.kind, e.action) for e in outcome.record.events if isinstance(e, AgentFault)]
    assert faults == [("tool", "filler"), ("tool", "filler")]


def test_what_came_of_a_tool_waits_until_the_filler_is_over() -> None:
    replies = [
        Reply(sound=loud(0.0), tools=(("slow", "{}"),)),
        Reply("One moment, please.", loud(2.0), burst=0.8),
        Reply("At last.", loud(1.0)),
    ]
    endpoint = RealtimeEndpoint(replies)
    chosen = replace(CHOSEN, tools=ToolSettings(http=(SLOW,)))
    outcome = call(endpoint, chosen, says=[(0.5, 1.0)], until=10.0, services={"/slow": 1.5})
    filler, answer = (at for at, event in endpoint.got if event["type"] == "response.create")
    assert answer - filler == pytest.approx(0.2 + 2 * 0.8, abs=0.1), "not when the tool was done"
    assert outcome.record.turns[0].heard.endswith("At last.")


def test_a_filler_that_is_refused_or_never_comes_holds_nothing_up() -> None:
    class Deaf(RealtimeEndpoint):
        """Makes no response beside the conversation."""

        refuses_asides = False

        def _obey(self, socket: AppSocket, event: dict[str, Any]) -> None:
            if event["type"] != "response.create" or "response" not in event:
                super()._obey(socket, event)
            elif self.refuses_asides:
                told = {"type": "invalid_request_error", "code": "unsupported", "message": "no"}
                self._say(socket, "error", error={**told, "event_id": event["event_id"]})

    for refuses, waited in ((True, 2.0), (False, 6.0)):
        endpoint = Deaf([Reply(sound=loud(0.0), tools=(("slow", "{}"),)), Reply("At last.", loud(1.0))])
        endpoint.refuses_asides = refuses
        chosen = replace(CHOSEN, tools=ToolSettings(http=(SLOW,)))
        outcome = call(endpoint, chosen, says=[(0.5, 1.0)], until=12.0, services={"/slow": 2.0})
        asked, answer = (at for at, event in endpoint.got if event["type"] == "response.create")
        assert answer - asked == pytest.approx(waited - 1.0, abs=0.2)
        assert outcome.record.turns[0].heard == "At last."


def test_nothing_is_filled_while_the_caller_speaks_or_where_no_filler_is_set() -> None:
    replies = [Reply("Yes.", loud(1.0), tools=(("slow", "{}"),)), Reply("At last.", loud(1.0))]
    for fillers, says in (((), []), (("One moment.",), [(3.3, 7.0)])):
        endpoint = RealtimeEndpoint(replies)
        chosen = replace(
            CHOSEN, tools=ToolSettings(http=(SLOW,), fillers=fillers), turn_detection="server_vad",
            interruptible=False,
        )  # fmt: skip
        call(endpoint, chosen, says=[(0.5, 1.0), *says], until=7.0, services={"/slow": 4.5})
        assert all("response" not in event for event in endpoint.events("response.create"))


def test_digits_are_collected_anyway() -> None:
    tools = ToolSettings(digits=True)
    asks = (("collect_digits", '{"most": 4}'),)
    endpoint = RealtimeEndpoint([Reply("Your number?", tools=asks), Reply("Thank you.")])
    call(endpoint, replace(GREETING, tools=tools), presses=[(3.0, "12#")], until=6.0, obeyed=[])
    texts = [e["item"] for e in endpoint.events("conversation.item.create")]
    assert texts[0]["output"].startswith("done") and texts[1]["content"][0]["text"] == "(pressed 1 2)"


def test_keys_are_told_as_a_number() -> None:
    endpoint = RealtimeEndpoint([Reply()])
    outcome = call(endpoint, presses=[(1.0, "4"), (1.5, "2"), (3.0, "1#")], until=6.0)
    texts = [e["item"]["content"][0]["text"] for e in endpoint.events("conversation.item.create")]
    assert texts == ["(pressed 4 2 1)"]
    assert outcome.record.turns[0].dtmf == "421#"


def test_a_lost_session_is_begun_again_with_the_conversation_so_far() -> None:
    def vanish(socket: Any, event: dict[str, Any]) -> None:
        if endpoint.sockets == [socket] and event["type"] == "response.create":
            asyncio.get_running_loop().call_later(4.3, socket.close, 1006)

    endpoint = RealtimeEndpoint([Reply("Hello."), Reply("And again hello.")], on_event=vanish)
    outcome = call(endpoint, GREETING, says=[(1.5, 2.0), (5.0, 5.5)], until=9.0)
    first, second = endpoint.sockets
    again = [event for _, event in endpoint.got][2:]
    assert again[0]["type"] == "session.update"
    told = [(e["item"]["role"], e["item"]["content"][0]["text"]) for e in again if "item" in e]
    assert told == [("assistant", "Hello."), ("user", "hello there"), ("assistant", "And again hello.")]
    assert outcome.end == CallOver(EndReason.CALLER_HUNG_UP)
    assert len(outcome.audible) == 3, "greeting, a turn before, a turn after"
    faults = [e for e in outcome.record.as_json()["events"] if e["event"] == "agent_fault"]
    assert [(fault["kind"], fault["action"]) for fault in faults] == [("cut", "reconnected")]


def test_an_endpoint_that_is_gone_ends_the_stage() -> None:
    endpoint = RealtimeEndpoint([Reply()])
    gone = DialFailed("models.example.com answered the handshake with 401", status=401)
    outcome = call(endpoint, dial=AppDial(endpoint, failures=[gone]))
    assert outcome.end == CallOver(EndReason.DEAD_AIR) and np.isnan(outcome.record.answered_after)

    async def silent(socket: Any) -> None:
        await asyncio.sleep(60)

    outcome = call(endpoint, dial=AppDial(silent))
    assert outcome.end == CallOver(EndReason.DEAD_AIR)

    async def dies(socket: Any) -> None:
        socket.send({"type": "session.created", "event_id": "e", "session": {}})
        await asyncio.sleep(1)
        socket.close(1011)

    outcome = call(endpoint, dial=AppDial(dies), until=60)
    assert outcome.end == CallOver(EndReason.DEAD_AIR)
    assert len(outcome.dial.sockets) == 4, "the first, and three more"


def test_a_failed_response_is_asked_for_once_more() -> None:
    endpoint = RealtimeEndpoint([Reply(status="failed"), Reply("Here I am.")])
    outcome = call(endpoint, says=[(0.5, 1.0)], until=5.0)
    assert endpoint.kinds() == ["session.update", "response.create"]
    assert outcome.record.turns[-1].heard == "Here I am."
    assert outcome.record.counts["realtime_responses_failed"] == 1


def test_nonsense_is_counted_and_not_without_end() -> None:
    def rubbish(socket: Any, event: dict[str, Any]) -> None:
        for text in ("no json", "[]", json.dumps({"type": "response.done"})):
            socket.send(text)

    endpoint = RealtimeEndpoint([Reply()], on_event=rubbish)
    outcome = call(endpoint, GREETING, until=3.0)
    assert outcome.record.counts["realtime_malformed"] == 6 and len(outcome.audible) == 1

    async def mad(socket: Any) -> None:
        socket.send({"type": "session.created", "event_id": "e", "session": {}})
        for _ in range(100):
            socket.send("no json")
        await asyncio.sleep(60)

    assert call(endpoint, dial=AppDial(mad)).end == CallOver(EndReason.DEAD_AIR)


def test_settings_that_could_not_work_are_refused() -> None:
    unfit: list[dict[str, Any]] = [
        {"base_url": "http://models.example.com/v1"}, {"base_url": "models"}, {"model": ""},
        {"silence_ms": 10}, {"reconnects": -1}, {"dead_air_seconds": -1}, {"silence_seconds": 0},
    ]  # fmt: skip
    for wrong in unfit:
        with pytest.raises(ValueError):
            replace(CHOSEN, **wrong)


@pytest.mark.parametrize("chosen", [CHOSEN, GREETING])
def test_a_model_that_takes_a_call_over_knows_why_and_speaks_first(chosen: RealtimeSettings) -> None:
    endpoint = RealtimeEndpoint([Reply("A refund, then.")])
    call(endpoint, chosen, until=3.0, handoff="He wants a refund.")
    (update,) = endpoint.events("session.update")
    told = update["session"]["instructions"]
    assert told.startswith(chosen.instructions) and told.endswith("says: He wants a refund.")
    (response,) = endpoint.events("response.create")
    assert "response" not in response, "it is not told to greet"
