"""A page reaches a telephone: the two are bridged, whatever their codecs, and each hears the other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import soxr

from callers.browser import RATE, Browser
from callers.sipp import free_port
from tests.live.gateway.listening import Listener, prompt, same_words
from tests.live.gateway.node import Node, eventually
from tests.live.webrtc.conftest import page_record, played, voice

pytestmark = pytest.mark.live

SAID = "conf-now-recording"


@pytest.fixture(scope="module")
def switchboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that calls itself over SIP: the telephone at the other end is its own echo."""
    port = free_port()
    plan = f"""
routes:
  - name: reach
    match: {{called: reach}}
    actions: [answer, {{bridge: "sip:echo@127.0.0.1:{port}"}}, hangup]
  - name: echo
    match: {{called: echo}}
    actions: [answer, {{agent: echo}}]
"""
    settings = {
        "sip": {"udp_port": port},
        "outbound": {"rules": [{"trunk": "local", "extensions": ["*"], "per_minute": 60}]},
    }
    with Node(tmp_path_factory.mktemp("switchboard"), settings, plan) as running:
        yield running


def telephones(node: Node) -> list[dict[str, Any]]:
    """Records of the calls that came over SIP."""
    lines = (node.records_folder / "calls.jsonl").read_text(encoding="utf-8").splitlines()
    found = [record for record in map(json.loads, lines) if record["route"] == "echo"]
    assert found, "no record of the telephone's call"
    return found


def test_a_page_and_a_telephone_hear_each_other(switchboard: Node, listener: Listener) -> None:
    async def scene(page: Browser) -> None:
        await page.call(to="reach")
        await page.connected()
        await asyncio.sleep(2.0)
        page.microphone.say(voice(SAID))
        await asyncio.sleep(9.0)
        assert len(switchboard.calls()) >= 2
        await page.hang_up()
        await asyncio.sleep(1.0)

    (page,) = played(switchboard, scene)
    assert page_record(switchboard, page)["end_reason"] == "caller_hung_up"
    # What the telephone understood, and what the page heard of its reply.
    phone = eventually(lambda: telephones(switchboard)[0])
    said = prompt(SAID).text
    assert same_words(said, phone["turns"][0]["said"]) >= 0.8
    heard = np.clip(soxr.resample(page.heard.sound().astype(np.float32), RATE, 8_000), -32_768, 32_767)
    assert same_words(said, listener.heard_in(heard.astype(np.int16))) >= 0.8
