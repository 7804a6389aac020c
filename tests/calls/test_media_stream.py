"""Bots on Twilio's Media Streams, in virtual time: a scripted app at the far end of the socket."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gateway.agents.handoff import brief
from gateway.agents.media_stream import MediaStreamAgent, StreamChange
from gateway.agents.media_stream_settings import MediaStreamSettings
from gateway.agents.text_socket import DialFailed
from gateway.calls.orders import ClearNow, Mute
from gateway.calls.sound_stage import SoundStage
from gateway.calls.stage import CallOver, Done
from gateway.secret import Secret
from gateway.twilio_ids import account_sid, call_sid, stream_sid
from gateway.twilio_signature import signature
from media.frame import Pcm
from media.g711 import ULAW, to_ulaw
from media.legs.base import DtmfReceived, EndReason, LegHeld, LegResumed
from tests.calls.sound_call import SoundOutcome, loud, place_sound_call, with_guards
from tests.fakes.app_socket import App, AppDial, AppSocket
from tests.fakes.voices import sound

URL = "wss://bot.example.com/ws"
SID = stream_sid("call-1")
CHOSEN = MediaStreamSettings(
    url=URL, auth_token=Secret("token"), parameters={"tier": "gold"}, queue_seconds=30.0, dead_air_seconds=8.0
)


def media(pcm: Pcm) -> dict[str, Any]:
    payload = base64.b64encode(to_ulaw(pcm)).decode()
    return {"event": "media", "streamSid": SID, "media": {"payload": payload}}


def mark(name: str) -> dict[str, Any]:
    return {"event": "mark", "streamSid": SID, "mark": {"name": name}}


CLEAR = {"event": "clear", "streamSid": SID}


def is_event(name: str) -> Callable[[Any], bool]:
    return lambda message: bool(message["event"] == name)


def call(app: App, chosen: MediaStreamSettings = CHOSEN, **more: Any) -> SoundOutcome:
    dial = more.pop("dial", None) or AppDial(app)
    told = more.pop("told", [])

    def make(dial: AppDial) -> MediaStreamAgent:
        return MediaStreamAgent("bot", chosen, dial, account_sid("offhook"), told=told.append)

    outcome = place_sound_call(make, dial, **more)
    assert outcome.tasks_left == []
    return outcome


async def listens(socket: AppSocket) -> None:
    while True:
        await socket.receive()


def test_what_a_bot_is_sent_of_a_call() -> None:
    outcome = call(listens, says=[(1.0, 1.5)], presses=[(2.0, "5#")], until=3.0)
    (socket,) = outcome.dial.sockets
    assert socket.url == URL
    assert socket.headers == {"X-Twilio-Signature": signature(Secret("token"), URL)}
    messages = [message for _, message in outcome.sent]
    assert messages[0] == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    assert messages[1]["start"] == {
        "streamSid": SID,
        "accountSid": account_sid("offhook"),
        "callSid": call_sid("call-1"),
        "tracks": ["inbound"],
        "customParameters": {"from_number": "100", "to_number": "200", "tier": "gold"},
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
    }
    assert messages[-1]["stop"] == {"accountSid": account_sid("offhook"), "callSid": call_sid("call-1")}
    assert [m["sequenceNumber"] for m in messages[1:]] == [str(n) for n in range(1, len(messages))]
    sounds = [m["media"] for m in messages if m["event"] == "media"]
    assert [m["chunk"] for m in sounds] == [str(n + 1) for n in range(len(sounds))]
    assert [m["timestamp"] for m in sounds] == [str(n * 20) for n in range(len(sounds))]
    codes = np.frombuffer(b"".join(base64.b64decode(m["payload"]) for m in sounds), np.uint8)
    said = sound([(1.0, 1.5)], 1.6)
    assert len(codes) == 160 * len(sounds) and len(sounds) in (149, 150)
    assert np.array_equal(ULAW[codes][: len(said)], ULAW[np.frombuffer(to_ulaw(said), np.uint8)])
    keys = [(at, m["dtmf"]) for at, m in outcome.sent if m["event"] == "dtmf"]
    assert [key for _, key in keys] == [{"track": "inbound_track", "digit": digit} for digit in "5#"]
    assert keys[0][0] == pytest.approx(2.0, abs=0.03)
    assert outcome.end == CallOver(EndReason.CALLER_HUNG_UP)
    assert outcome.record.turns[-1].dtmf == "5#"
    assert socket.closed_by_us.is_set()


def test_sound_of_any_size_is_heard_in_order_and_marks_come_back_when_it_was_heard() -> None:
    said = np.concatenate([loud(0.37, 1000), loud(0.63, 2000), loud(1.0, 3000)])

    async def app(socket: AppSocket) -> None:
        await socket.until(is_event("start"))
        for piece in np.split(said, [7, 1000, 1013, 2960, 8000]):
            socket.send(media(piece))
        socket.send(mark("first"))
        socket.send(media(loud(0.5, 4000)))
        socket.send(mark("second"))
        await listens(socket)

    outcome = call(app, until=4.0)
    heard = outcome.heard
    begin = int(np.flatnonzero(heard)[0])
    wanted = ULAW[np.frombuffer(to_ulaw(np.concatenate([said, loud(0.5, 4000)])), np.uint8)]
    assert np.array_equal(heard[begin : begin + len(wanted)], wanted)
    assert not heard[begin + len(wanted) :].any()
    marks = [(m["mark"]["name"], at - begin / 8000) for at, m in outcome.sent if m["event"] == "mark"]
    assert [name for name, _ in marks] == ["first", "second"]
    assert [at for _, at in marks] == pytest.approx([2.0, 2.5], abs=0.045)


def test_clear_is_silent_within_a_tick_and_gives_all_marks_back() -> None:
    async def app(socket: AppSocket) -> None:
        await socket.until(is_event("start"))
        socket.send(media(loud(20.0)))
        socket.send(mark("a"))
        socket.send(mark("b"))
        await asyncio.sleep(1.005)
        socket.send(CLEAR)
        await asyncio.sleep(0.5)
        socket.send(media(loud(0.2, 500)))
        socket.send(mark("c"))
        await listens(socket)

    outcome = call(app, until=3.0)
    (first, second) = outcome.audible
    assert first[1] - first[0] == pytest.approx(1.0, abs=0.021)
    assert second[0] == pytest.approx(first[0] + 1.5, abs=0.03)
    assert second[1] - second[0] == pytest.approx(0.2, abs=0.001)
    at = {m["mark"]["name"]: at for at, m in outcome.sent if m["event"] == "mark"}
    assert list(at) == ["a", "b", "c"]
    assert at["a"] == at["b"] == pytest.approx(1.005, abs=0.001)
    levels = set(np.abs(outcome.heard[int(second[0] * 8000) :]).tolist())
    assert max(levels) < 600, "nothing of what was cleared"


def test_the_record_tells_how_long_the_caller_waited_and_whom_he_interrupted() -> None:
    async def app(socket: AppSocket) -> None:
        await socket.until(is_event("start"))
        socket.send(media(loud(1.0)))
        await asyncio.sleep(3.5)
        socket.send(media(loud(5.0)))  # an answer, half a second after he fell silent
        await asyncio.sleep(2.0)
        socket.send(CLEAR)
        await listens(socket)

    outcome = call(app, says=[(2.0, 3.0), (5.0, 5.8)], until=8.0)
    turns = outcome.record.turns
    assert [(turn.number, turn.interrupted) for turn in turns] == [(0, False), (1, True)]
    assert turns[0].timings is None
    assert turns[1].timings is not None and turns[1].timings.total == pytest.approx(0.5, abs=0.05)
    assert sum(turns[1].timings.shares().values()) == pytest.approx(turns[1].timings.total)
    assert outcome.watcher.timings == [turns[1].timings]
    (barge_in,) = outcome.record.barge_ins
    assert barge_in.stop == pytest.approx(0.5, abs=0.05)
    assert outcome.record.as_json()["turns"][1]["turn_ms"] == pytest.approx(500, abs=50)


def test_a_bot_that_is_done_closes_and_the_route_goes_on() -> None:
    changes: list[StreamChange] = []

    async def app(socket: AppSocket) -> None:
        await socket.until(is_event("start"))
        await asyncio.sleep(1.0)
        socket.send(media(loud(5.0)))
        await asyncio.sleep(0.5)
        socket.close()

    outcome = call(app, told=changes)
    assert outcome.end == Done()
    assert outcome.audible[0][1] <= 1.54
    assert [change.event for change in changes] == ["stream-started", "stream-stopped"]


@pytest.mark.parametrize("code", [1006, 1011])
def test_a_socket_that_breaks_ends_the_stage_with_a_fault(code: int) -> None:
    async def app(socket: AppSocket) -> None:
        await socket.until(is_event("start"))
        socket.close(code)

    outcome = call(app)
    assert outcome.end == CallOver(EndReason.DEAD_AIR)
    (fault,) = [event for event in outcome.record.as_json()["events"] if event["event"] == "agent_fault"]
    assert (fault["agent"], fault["kind"]) == ("bot", "cut")
    ((goodbye, _),) = outcome.audible
    assert goodbye < 1.0, "the goodbye, at once: nothing else follows"


def test_nobody_waits_in_silence_while_the_bot_is_dialled() -> None:
    changes: list[StreamChange] = []
    failure = DialFailed("bot.example.com answered the handshake with 503", status=503)
    outcome = call(listens, dial=AppDial(listens, failures=[failure], takes=1.0), until=2.0)
    assert outcome.record.answered_after == pytest.approx(2.3, abs=0.01)
    assert outcome.end == CallOver(EndReason.CALLER_HUNG_UP)
    refused = DialFailed("bot.example.com answered the handshake with 403", status=403)
    outcome = call(listens, dial=AppDial(listens, failures=[refused]), told=changes)
    assert outcome.end == CallOver(EndReason.DEAD_AIR)
    assert np.isnan(outcome.record.answered_after), "it was never answered"
    assert [change.error[:5] for change in changes] == ["31920"]
    outcome = call(listens, dial=AppDial(listens, takes=60.0))
    assert outcome.end == CallOver(EndReason.DEAD_AIR) and len(outcome.dial.sockets) == 0


def test_malformed_messages_are_tolerated_and_counted_but_not_without_end() -> None:
    async def app(socket: AppSocket) -> None:
        await socket.until(is_event("start"))
        for _ in range(10):
            for nonsense in ("no json", "{}", b"\x00", {"event": "media", "streamSid": SID}):
                socket.send(nonsense)
            socket.send(media(loud(0.1)))
        await asyncio.sleep(3.0)
        for _ in range(30):
            socket.send("no json")
        await listens(socket)

    outcome = call(app)
    assert outcome.audible[0][1] - outcome.audible[0][0] == pytest.approx(1.0)
    assert outcome.record.counts["stream_malformed"] == 40 + 20
    assert outcome.end == CallOver(EndReason.DEAD_AIR)


def test_more_sound_than_may_wait_is_lost_counted_and_never_kept() -> None:
    async def app(socket: AppSocket) -> None:
        await socket.until(is_event("start"))
        for _ in range(40):
            socket.send(media(loud(1.0)))
        await listens(socket)

    outcome = call(app, until=35.0)
    assert outcome.audible[0][1] - outcome.audible[0][0] == pytest.approx(30.0, abs=0.03)
    assert outcome.record.counts["sound_refused"] == pytest.approx(10 * 8000, abs=320)


def test_a_bot_that_does_not_read_loses_sound_and_then_the_call() -> None:
    async def app(socket: AppSocket) -> None:
        await socket.until(is_event("start"))
        socket.reads.clear()
        await asyncio.sleep(60)

    outcome = call(app, until=20.0)
    assert outcome.end == CallOver(EndReason.DEAD_AIR)
    assert outcome.record.counts["stream_frames_dropped"] == pytest.approx(150, abs=3)


def test_keys_held_calls_and_muted_ones() -> None:
    async def meet(stage: SoundStage) -> None:
        await asyncio.sleep(1.0)
        await stage.obey(Mute(True))
        await asyncio.sleep(1.0)
        await stage.obey(Mute(False))
        await stage.obey(ClearNow())

    async def app(socket: AppSocket) -> None:
        await socket.until(is_event("start"))
        socket.send(media(loud(9.0)))
        await listens(socket)

    outcome = call(app, says=[(0.5, 2.5)], presses=[(1.5, "1"), (2.2, "2")], until=3.0,
                   meet=lambda stage: asyncio.ensure_future(meet(stage)))  # fmt: skip
    digits = [m["dtmf"]["digit"] for _, m in outcome.sent if m["event"] == "dtmf"]
    assert digits == ["2"]
    voiced = [
        bool((ULAW[np.frombuffer(base64.b64decode(m["media"]["payload"]), np.uint8)] != 0).any())
        for _, m in outcome.sent
        if m["event"] == "media"
    ]
    assert voiced[30:49] == [True] * 19 and not any(voiced[52:99]) and all(voiced[102:120])
    assert outcome.audible[0][1] == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize(
    ("chosen", "says", "reason", "at"),
    [
        ({"dead_air_seconds": 3.0}, [(1.0, 2.0)], EndReason.DEAD_AIR, 5.0),
        ({"dead_air_seconds": 0.0, "silence_seconds": 12.0}, [(1.0, 2.0)], EndReason.NO_INPUT, 14.2),
        ({"silence_seconds": 5.0}, [], EndReason.NO_INPUT, 5.0),
        ({}, [], EndReason.MAX_DURATION, 20.0),
    ],
)
def test_no_call_is_stuck(
    chosen: dict[str, Any], says: Sequence[tuple[float, float]], reason: EndReason, at: float
) -> None:
    settings = with_guards(max_duration=20.0, warning=0.0)
    outcome = call(listens, replace(CHOSEN, **chosen), says=says, until=30.0, settings=settings)
    assert outcome.end == CallOver(reason)
    assert outcome.record.duration == pytest.approx(at, abs=0.1)


def test_a_caller_who_holds_us_is_waited_for() -> None:
    holds = [(3.0, LegHeld(3.0)), (20.0, LegResumed(20.0))]
    chosen = replace(CHOSEN, dead_air_seconds=4.0, silence_seconds=6.0)
    outcome = call(listens, chosen, says=[(1.0, 2.0)], until=60.0, does=holds)
    assert outcome.end == CallOver(EndReason.DEAD_AIR)
    assert outcome.record.duration == pytest.approx(24.0, abs=0.1)


def test_keys_pressed_before_the_bot_is_there_reach_it() -> None:
    early = [(0.5, DtmfReceived("7", 0.5))]
    outcome = call(listens, dial=AppDial(listens, takes=1.0), does=early, until=1.0)
    messages = [message for _, message in outcome.sent]
    assert [message["event"] for message in messages[:3]] == ["connected", "start", "dtmf"]
    assert outcome.record.turns[0].dtmf == "7"


def test_a_wideband_leg_hears_and_is_heard() -> None:
    async def app(socket: AppSocket) -> None:
        await socket.until(is_event("start"))
        socket.send(media(sound([(0.0, 1.0)], 1.0)))
        await asyncio.sleep(2)
        socket.close()

    outcome = call(app, says=[(0.5, 1.0)], rate=16000)
    sent = [m for _, m in outcome.sent if m["event"] == "media"]
    assert len(sent) in (99, 100, 101)
    begin, end = outcome.audible[0]
    assert end - begin == pytest.approx(1.0, abs=0.03)
    middle = outcome.heard[int((begin + 0.3) * 16000) :][:8000].astype(float)
    assert np.argmax(np.abs(np.fft.rfft(middle))) * 2 == 440


def test_settings_that_could_not_work_are_refused() -> None:
    unfit: list[dict[str, Any]] = [
        {"url": "http://bot"}, {"url": "ws://bot.example.com/"}, {"account_sid": "AC1"}, {"attempts": 0},
        {"parameters": {"a": "b" * 500}}, {"queue_seconds": 0}, {"dead_air_seconds": -1},
    ]  # fmt: skip
    for wrong in unfit:
        with pytest.raises(ValueError):
            replace(CHOSEN, **wrong)


def test_a_bot_that_takes_a_call_over_is_told_as_far_as_it_fits() -> None:
    dial = AppDial(listens)

    def make(dial: AppDial) -> MediaStreamAgent:
        agent = MediaStreamAgent("bot", CHOSEN, dial, account_sid("offhook"))
        brief(agent, "long " * 200)
        return agent

    outcome = place_sound_call(make, dial, until=1.0)
    start = next(m["start"] for _, m in outcome.sent if m["event"] == "start")
    note = start["customParameters"].pop("handoff")
    assert note.startswith("long long") and len(note) + len("handoff") + len("tiergold") == 500
    assert start["customParameters"] == {"from_number": "100", "to_number": "200", "tier": "gold"}
