"""Apps that listen to a call beside its document: to the caller, to what he hears, or to both."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from media.g711 import ULAW
from tests.calls.test_twiml import Came, Says, place
from tests.fakes.app_socket import AppSocket
from tests.fakes.callee import Callee
from tests.fakes.twilio_app import twiml

TEN = "one two three four five six seven eight nine ten"
"""A second of the humming voice; its samples are 100 in the first text, 200 in the second."""


class Ear:
    """An app that listens."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []

    async def __call__(self, socket: AppSocket) -> None:
        while True:
            self.got.append(await socket.receive())

    def chunks(self, track: str) -> list[dict[str, Any]]:
        return [m["media"] for m in self.got if m["event"] == "media" and m["media"]["track"] == track]

    def sound(self, track: str) -> np.ndarray[Any, Any]:
        octets = b"".join(base64.b64decode(chunk["payload"]) for chunk in self.chunks(track))
        return ULAW[np.frombuffer(octets, np.uint8)].astype(int)


def listened(track: str, verbs: str, **given: Any) -> tuple[Ear, Came]:
    ear = Ear()
    start = f'<Start><Stream name="ear" track="{track}" url="wss://app.example.com/ear"/></Start>'
    says: Says = {"/voice": twiml(start + verbs), "/got": twiml("<Say>Thanks.</Say>")}
    return ear, place(says, bots=[ear], **given)


def levels(sound: np.ndarray[Any, Any]) -> list[int]:
    """What was heard, one after another, to the nearest hundred; mu-law is coarse."""
    rounded = np.round(sound / 100).astype(int) * 100
    changes = rounded[np.concatenate([[True], np.diff(rounded) != 0])]
    return [int(level) for level in changes if level]


@pytest.mark.parametrize("track", ["inbound_track", "outbound_track", "both_tracks"])
def test_an_app_hears_the_side_that_it_asked_for(track: str) -> None:
    ear, came = listened(track, f"<Say>{TEN}. {TEN}.</Say><Pause length='2'/>", speaks=[(1.0, 2.0, "hello")])
    sides = {"inbound_track": ["inbound"], "outbound_track": ["outbound"]}.get(track, ["inbound", "outbound"])
    start = ear.got[1]
    assert start["event"] == "start" and start["start"]["tracks"] == sides
    assert {m["media"]["track"] for m in ear.got if m["event"] == "media"} == set(sides)
    if "inbound" in sides:
        assert np.abs(ear.sound("inbound")).max() == pytest.approx(3000, rel=0.05)
    if "outbound" in sides:
        assert levels(ear.sound("outbound")) == [100]
        assert np.count_nonzero(np.abs(ear.sound("outbound")) > 50) == pytest.approx(16_000, abs=320)
    for side in sides:
        chunks = ear.chunks(side)
        assert [int(chunk["chunk"]) for chunk in chunks] == list(range(1, len(chunks) + 1))
        assert [int(chunk["timestamp"]) for chunk in chunks] == [20 * n for n in range(len(chunks))]
        assert len(chunks) == pytest.approx(4.1 * 50, abs=10)


def test_both_sides_lie_beside_each_other() -> None:
    ear, came = listened("both_tracks", f"<Say>{TEN}</Say><Pause length='2'/>", speaks=[(0.5, 0.6, "yes")])
    ours, his = ear.sound("outbound"), ear.sound("inbound")
    began = came.caller.playout.heard[0][0]
    first = np.flatnonzero(np.abs(ours) > 50)[0] / 8000
    spoke = np.flatnonzero(np.abs(his) > 1000)[0] / 8000
    assert spoke - first == pytest.approx(0.5 - began, abs=0.05)


def test_what_is_cut_is_not_heard_by_the_app_either() -> None:
    gather = f'<Gather numDigits="1" timeout="3" action="/got"><Say>{TEN}. {TEN}. {TEN}.</Say></Gather>'
    ear, came = listened("outbound_track", gather, keys=[(1.5, "7")])
    heard = came.caller.playout.heard
    sent = sum(len(pcm) for _, _, pcm in heard)
    assert levels(ear.sound("outbound"))[:2] == [100, 200] and len(came.tts.spoken) >= 2
    assert np.count_nonzero(np.abs(ear.sound("outbound")) > 50) == pytest.approx(sent, abs=480)
    assert sent < 2.2 * 8000, "the key cut the question"


def test_whoever_he_is_connected_with_is_on_the_outbound_track() -> None:
    callee = Callee(answers=1.0, hangs_up=6.0, says=[(1.0, 4.0)])
    ear, came = listened("outbound_track", "<Dial>300</Dial>", callees=[callee])
    loud = ear.sound("outbound")
    assert np.count_nonzero(np.abs(loud - 3000) < 150) == pytest.approx(3 * 8000, rel=0.03)


def test_a_stream_that_is_stopped_hears_no_more_and_others_do() -> None:
    other = Ear()
    ear = Ear()
    streams = "".join(
        f'<Start><Stream name="{name}" track="outbound_track" url="wss://app.example.com/{name}"/></Start>'
        for name in ("one", "two")
    )
    verbs = f"{streams}<Say>{TEN}.</Say><Stop><Stream name='one'/></Stop><Say>{TEN}.</Say>"
    place({"/voice": twiml(verbs)}, bots=[ear, other])
    assert levels(ear.sound("outbound")) == [100] and levels(other.sound("outbound")) == [100, 200]
    assert ear.got[-1]["event"] == other.got[-1]["event"] == "stop"
