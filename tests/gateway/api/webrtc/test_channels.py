"""What a page is told of its call, in our words and in OpenAI's, and what it may say."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.webrtc.channel import VERSION, PageChannel
from gateway.api.webrtc.channels import PageChannels
from gateway.api.webrtc.oai_channel import OaiChannel
from gateway.calls.call_events import KeyPressed
from gateway.calls.orders import ClearNow, Order
from gateway.calls.record import CallRecord
from gateway.calls.timings import BargeInTimings, ListeningStamps, ReplyStamps, TurnTimings
from gateway.calls.turn_events import Phase
from media.legs.base import Direction, EndReason, Parties
from media.legs.webrtc import WebRtcLeg
from media.legs.webrtc_sdp import read_offer
from tests.media.legs.test_webrtc_sdp import CHROMIUM, CODECS


@dataclass
class Leg:
    """A leg that notes what is asked of it."""

    leg_id: str = "web-1"
    texts: Any = None
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    pressed: str = ""
    muted: bool = False
    ended: EndReason | None = None
    offer: Any = field(default_factory=lambda: read_offer(CHROMIUM, CODECS))

    def send_text(self, label: str, text: str) -> None:
        self.sent.append((label, json.loads(text)))

    def press(self, digits: str) -> None:
        self.pressed += digits

    def mute(self, on: bool) -> None:
        self.muted = on

    def hang_up_by_page(self, reason: EndReason) -> None:
        self.ended = reason

    def kinds(self) -> list[str]:
        return [message["type"] for _, message in self.sent]


@dataclass
class Call:
    """A call with both channels."""

    leg: Leg = field(default_factory=Leg)
    now: float = 100.0
    orders: list[Order] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.channels = PageChannels(lambda: self.now)

    def page(self) -> None:
        leg = cast(WebRtcLeg, self.leg)
        self.channels.add(leg, PageChannel(leg, lambda: self.now))

    def oai(self) -> None:
        leg = cast(WebRtcLeg, self.leg)
        self.channels.add(leg, OaiChannel(leg, "echo", lambda call, order: self.orders.append(order)))


TIMED = TurnTimings(
    3, ListeningStamps(1.0, 1.2, 1.21, 1.4, 1.3, 1.45), ReplyStamps(1.4, 1.5, 1.5, 1.6, 1.6), 1.62
)


def test_what_came_before_the_channel_is_told_after_hello() -> None:
    call = Call()
    call.page()
    call.channels.answered("web-1", "opus", 16_000)
    call.now += 1.5
    call.channels.words("web-1", "hello", is_final=True)
    assert call.leg.sent == []
    call.leg.texts.opened("offhook")
    assert call.leg.kinds() == ["hello", "answered", "transcript"]
    hello, answered, words = (message for _, message in call.leg.sent)
    assert (hello["version"], hello["codec"]) == (VERSION, "opus")
    assert (answered["at_ms"], words["at_ms"]) == (0, 1500)
    assert words["who"] == "caller"


def test_a_call_in_our_words() -> None:
    call = Call()
    call.page()
    call.leg.texts.opened("offhook")
    channels = call.channels
    channels.phase("web-1", Phase.HEARING, 101.0)
    channels.saying("web-1", 2, "Well.")
    channels.timed("web-1", TIMED)
    channels.barged_in("web-1", BargeInTimings(5.0, 5.05, 5.08))
    channels.happened("web-1", KeyPressed(6.0, "7"))
    told = {message["type"]: message for _, message in call.leg.sent}
    assert told["phase"]["phase"] == "hearing"
    assert told["transcript"] == {
        "type": "transcript", "at_ms": 0, "who": "agent", "text": "Well.", "final": True, "reply": 2
    }  # fmt: skip
    assert told["latency"]["total_ms"] == 620
    assert sum(told["latency"]["hops"].values()) == pytest.approx(620, abs=4)
    assert told["barge_in"]["stop_ms"] == 80
    assert told["digits"]["digits"] == "7"


def test_other_calls_and_ended_ones_are_not_told() -> None:
    call = Call()
    call.page()
    call.leg.texts.opened("offhook")
    call.leg.sent.clear()
    call.channels.words("sip-1", "secret", is_final=True)
    call.channels.ended(CallRecord("web-1", Direction.INBOUND, Parties("web", "echo"), "echo", ""))
    call.channels.words("web-1", "late", is_final=True)
    assert call.leg.sent == []


def test_what_a_page_may_say() -> None:
    call = Call()
    call.page()
    call.leg.texts.opened("offhook")
    for message in (
        {"type": "digits", "digits": "12#"},
        {"type": "digits", "digits": "no keys"},
        {"type": "digits", "digits": "1" * 33},
        {"type": "mute", "on": True},
        {"type": "ping", "id": 7},
    ):
        call.leg.texts.text("offhook", json.dumps(message))
    call.leg.texts.text("other", json.dumps({"type": "hangup"}))
    assert (call.leg.pressed, call.leg.muted, call.leg.ended) == ("12#", True, None)
    assert call.leg.sent[-1][1]["id"] == 7
    call.leg.texts.text("offhook", json.dumps({"type": "hangup"}))
    assert call.leg.ended is EndReason.CALLER_HUNG_UP


@given(st.text(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_nonsense_on_either_channel_does_no_harm(text: str) -> None:
    for label in ("offhook", "oai-events"):
        call = Call()
        call.page() if label == "offhook" else call.oai()
        call.leg.texts.opened(label)
        call.leg.texts.text(label, text)
        assert call.leg.ended is None


def test_a_turn_in_openais_words() -> None:
    call = Call()
    call.oai()
    call.leg.texts.opened("oai-events")
    channels = call.channels
    channels.phase("web-1", Phase.HEARING, 101.0)
    channels.words("web-1", "Good", is_final=False)
    channels.words("web-1", "Good day", is_final=False)
    channels.phase("web-1", Phase.ENDPOINTING, 102.0)
    channels.words("web-1", "Good day.", is_final=True)
    channels.saying("web-1", 1, "Hello.")
    channels.saying("web-1", 1, "You are welcome.")
    channels.phase("web-1", Phase.SPEAKING, 103.0)
    channels.phase("web-1", Phase.LISTENING, 104.0)
    transcription = "conversation.item.input_audio_transcription"
    assert call.leg.kinds() == [
        "session.created",
        "input_audio_buffer.speech_started",
        f"{transcription}.delta",
        f"{transcription}.delta",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        f"{transcription}.completed",
        "response.created",
        "response.output_audio_transcript.delta",
        "response.output_audio_transcript.delta",
        "output_audio_buffer.started",
        "output_audio_buffer.stopped",
        "response.output_audio_transcript.done",
        "response.done",
    ]
    by_kind = {message["type"]: message for _, message in call.leg.sent}
    assert by_kind["response.output_audio_transcript.done"]["transcript"] == "Hello. You are welcome."
    assert by_kind["response.done"]["response"]["status"] == "completed"
    assert by_kind[f"{transcription}.delta"]["delta"] == " day"
    assert len({message["event_id"] for _, message in call.leg.sent}) == len(call.leg.sent)


def test_an_interruption_in_openais_words() -> None:
    call = Call()
    call.oai()
    call.leg.texts.opened("oai-events")
    call.channels.saying("web-1", 1, "Hello.")
    call.channels.phase("web-1", Phase.SPEAKING, 103.0)
    call.channels.barged_in("web-1", BargeInTimings(5.0, 5.05, 5.08))
    call.channels.phase("web-1", Phase.LISTENING, 104.0)
    assert call.leg.kinds()[-2:] == ["output_audio_buffer.cleared", "response.done"]
    assert call.leg.sent[-1][1]["response"]["status_details"]["reason"] == "turn_detected"


def test_a_client_silences_the_reply_and_cannot_change_the_agent() -> None:
    call = Call()
    call.oai()
    texts = call.leg.texts
    texts.opened("oai-events")
    texts.text("oai-events", json.dumps({"type": "output_audio_buffer.clear"}))
    assert call.orders == [ClearNow()]
    texts.text("oai-events", json.dumps({"type": "session.update", "session": {"instructions": "x"}}))
    texts.text("oai-events", json.dumps({"type": "response.create", "event_id": "mine"}))
    assert call.leg.kinds()[-2:] == ["session.updated", "error"]
    assert call.leg.sent[-1][1]["error"]["event_id"] == "mine"
