"""OpenAI's Realtime API over WebRTC, as its clients speak it: SDP exchange, client secrets, events."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from callers.browser import Browser
from tests.live.gateway.listening import prompt, same_words
from tests.live.gateway.node import Node
from tests.live.webrtc.conftest import page_record, voice

pytestmark = pytest.mark.live

CALLS = "/v1/realtime/calls"
SAID = "conf-now-recording"


def test_a_call_with_a_client_secret_and_its_events(node: Node) -> None:
    async def run() -> Browser:
        async with httpx.AsyncClient(base_url=node.api, timeout=15.0) as http:
            session = {"type": "realtime", "model": "echo"}
            secret = (await http.post("/v1/realtime/client_secrets", json={"session": session})).json()
            assert secret["session"]["model"] == "echo"
            page = Browser(http, channel="oai-events")
            try:
                await page.call(CALLS, token=secret["value"])
                await page.connected()
                created = await page.told("session.created")
                assert created["session"]["type"] == "realtime"
                page.microphone.say(voice(SAID))
                await page.told("response.created", seconds=20)
                await page.told("output_audio_buffer.started", seconds=10)
                await page.told("response.done", seconds=10)
                page.send({"type": "session.update", "session": {}})
                await page.told("session.updated")
                page.send({"type": "conversation.item.create", "event_id": "e7"})
                assert (await page.told("error"))["error"]["event_id"] == "e7"
                where = page.location.replace("/v1/realtime/calls/", "")
                assert (await http.post(f"{CALLS}/{where}/hangup")).status_code == 200
                await asyncio.sleep(0.5)
            finally:
                await page.close()
            return page

    page = asyncio.run(run())
    kinds = [m["type"] for m in page.messages]
    for earlier, later in (
        ("session.created", "input_audio_buffer.speech_started"),
        ("input_audio_buffer.speech_started", "input_audio_buffer.committed"),
        ("conversation.item.input_audio_transcription.completed", "response.done"),
        ("response.created", "response.output_audio_transcript.delta"),
        ("output_audio_buffer.started", "output_audio_buffer.stopped"),
        ("output_audio_buffer.stopped", "response.done"),
    ):
        assert kinds.index(earlier) < kinds.index(later), kinds
    heard = next(m for m in page.messages if m["type"].endswith("transcription.completed"))
    assert same_words(prompt(SAID).text, heard["transcript"]) >= 0.8
    assert all(m["event_id"] for m in page.messages)
    assert page_record(node, page)["end_reason"] == "caller_hung_up"


def test_an_offer_in_a_form_and_what_is_wrong(node: Node) -> None:
    async def run() -> None:
        async with httpx.AsyncClient(base_url=node.api, timeout=15.0) as http:
            page = Browser(http)
            try:
                offer = await page.offer()
                form = {"sdp": (None, offer), "session": (None, json.dumps({"model": "echo"}))}
                taken = await http.post(CALLS, files=form)
                assert taken.status_code == 201, taken.text
                where = taken.headers["location"]
                assert where.startswith(CALLS)
                assert taken.text.startswith("v=0")
                assert (await http.post(f"{where}/hangup")).status_code == 200
                bad = {"sdp": (None, offer), "session": (None, "{")}
                assert (await http.post(CALLS, files=bad)).status_code == 400
                assert (await http.post(CALLS, json={"sdp": offer})).status_code == 415
                assert (await http.post(f"{CALLS}/nobody/hangup")).status_code == 404
                sdp = {"Content-Type": "application/sdp"}
                lost = await http.post(CALLS, params={"model": "gpt-9"}, content=offer, headers=sdp)
                assert lost.status_code == 404
            finally:
                await page.close()

    asyncio.run(run())
