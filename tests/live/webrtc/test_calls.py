"""A page calls, over real ICE, DTLS and SRTP: it is understood, hears the reply, interrupts, presses keys."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import soxr

from callers.browser import RATE, Browser
from tests.live.gateway.listening import Listener, prompt, same_words
from tests.live.gateway.node import Node
from tests.live.webrtc.conftest import page_record, played, voice

pytestmark = pytest.mark.live

SAID = "conf-now-recording"


def test_a_page_is_understood_and_hears_the_reply(node: Node, listener: Listener) -> None:
    async def scene(page: Browser) -> None:
        await page.call(to="echo")
        await page.connected()
        await page.told("answered")
        await asyncio.sleep(0.5)
        page.microphone.say(voice(SAID))
        await page.told("phase", seconds=20, phase="speaking")
        await asyncio.sleep(5.0)
        assert (await page.hang_up()).status_code == 200
        await page.told("ended")

    (page,) = played(node, scene)
    record = page_record(node, page)
    said = prompt(SAID).text
    (turn,) = record["turns"]
    assert same_words(said, turn["said"]) >= 0.8
    heard = np.clip(soxr.resample(page.heard.sound().astype(np.float32), RATE, 8_000), -32_768, 32_767)
    assert same_words(said, listener.heard_in(heard.astype(np.int16))) >= 0.8
    assert record["end_reason"] == "caller_hung_up"
    assert record["codec"] == "opus"
    assert record["parties"]["trunk"] == "webrtc"
    words = [m for m in page.messages if m["type"] == "transcript"]
    assert any(m["who"] == "caller" and m["final"] and same_words(said, m["text"]) >= 0.8 for m in words)
    assert any(m["who"] == "caller" and not m["final"] for m in words)
    assert any(m["who"] == "agent" and same_words(said, m["text"]) >= 0.8 for m in words)
    latency = next(m for m in page.messages if m["type"] == "latency")
    assert latency["turn"] == 1
    assert abs(sum(latency["hops"].values()) - latency["total_ms"]) <= 5
    assert page.messages[0]["type"] == "hello"
    assert page.messages[0]["version"] == 1
    assert page.messages[-1] == {"type": "ended", "reason": "caller_hung_up"}


def test_a_page_interrupts_and_presses_keys(node: Node) -> None:
    async def scene(page: Browser) -> None:
        await page.call(to="echo")
        await page.connected()
        await asyncio.sleep(0.5)
        page.microphone.say(voice("tt-monkeysintro"))
        await page.told("phase", seconds=20, phase="speaking")
        await asyncio.sleep(0.3)
        page.microphone.say(voice(SAID))
        await page.told("barge_in", seconds=10)
        await asyncio.sleep(6.0)
        page.send({"type": "digits", "digits": "42#"})
        await page.told("transcript", who="agent", text="4 2")
        await asyncio.sleep(0.5)
        page.send({"type": "hangup"})
        await page.told("ended")

    (page,) = played(node, scene)
    record = page_record(node, page)
    turns = record["turns"]
    assert turns[0]["interrupted"]
    assert turns[-1]["dtmf"] == "42"
    assert record["end_reason"] == "caller_hung_up"


def test_the_dialplan_hangs_up_and_the_page_is_told(node: Node) -> None:
    async def scene(page: Browser) -> None:
        await page.call(to="told")
        assert (await page.told("ended", seconds=20))["reason"] == "dialplan_hung_up"

    (page,) = played(node, scene)
    assert page.heard.loud_at() is not None
    assert page_record(node, page)["end_reason"] == "dialplan_hung_up"


def test_g711_serves_who_has_no_opus(node: Node) -> None:
    def without_opus(sdp: str) -> str:
        lines = [line for line in sdp.split("\r\n") if "opus" not in line and "a=fmtp:96" not in line]
        return "\r\n".join(lines).replace("SAVPF 96 0 8", "SAVPF 0 8")

    async def scene(page: Browser) -> None:
        answer = await page.http.post(
            "/v1/webrtc/calls",
            params={"to": "echo"},
            content=await page.offer(without_opus),
            headers={"Content-Type": "application/sdp"},
        )
        assert answer.status_code == 201, answer.text
        assert "PCMU/8000" in answer.text
        assert "opus" not in answer.text
        await page.http.delete(answer.headers["location"])

    played(node, scene)


def test_a_page_that_vanishes_is_missed(node: Node) -> None:
    async def scene(page: Browser) -> None:
        await page.call(to="echo")
        await page.connected()
        await page.told("answered")
        # The machine is pulled out of the wall: nothing is said, nothing is closed.
        for transceiver in page.peer.getTransceivers():
            for protocol in transceiver.receiver.transport.transport._connection._protocols:
                protocol.transport.abort()

    (page,) = played(node, scene)
    record = page_record(node, page, seconds=15.0)
    assert record["end_reason"] == "media_lost"
    assert node.calls() == []


def test_a_page_that_is_closed_hangs_up_at_once(node: Node) -> None:
    async def scene(page: Browser) -> None:
        await page.call(to="echo")
        await page.connected()
        await page.told("answered")

    (page,) = played(node, scene)
    record = page_record(node, page, seconds=2.0)
    assert record["end_reason"] == "caller_hung_up"


def test_many_pages_at_once(node: Node) -> None:
    async def scene(page: Browser) -> None:
        await page.call(to="echo")
        await page.connected()
        page.microphone.say(voice(SAID))
        await page.told("phase", seconds=30, phase="speaking")
        await page.hang_up()

    for page in played(node, scene, scene, scene):
        said = [m["text"] for m in page.messages if m.get("who") == "caller" and m.get("final")]
        assert same_words(prompt(SAID).text, said[0]) >= 0.8
