"""Routes as callers meet them: a menu by keys and by recorded speech, a mailbox, a backend that is dead."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from media.wav import read_wav
from tests.live.gateway.listening import Listener, prompt, same_words, words
from tests.live.gateway.node import Node, eventually
from tests.live.sip.phone import Phone

pytestmark = pytest.mark.live

PLAN = """
fallback:
  - say: Something is broken.
  - hangup: 41
routes:
  - name: ivr
    match: {called: ivr}
    actions:
      - answer
      - menu:
          say: Press one for the news, or say conference. There are many more words in this long prompt.
          timeout: 8
          retries: 0
          on:
            1: [say: You chose the news., hangup]
            conference: [say: You chose the conference., hangup]
            "*": [say: You chose nothing., hangup]
          no_input: [hangup: 18]
  - name: number
    match: {called: number}
    actions:
      - answer
      - gather: {say: Your number., digits: {min: 3, max: 5}, into: pin}
      - say: Your number is ${pin}.
  - name: mail
    match: {called: mail}
    actions:
      - answer
      - voicemail: {mailbox: sales, say: Please speak., silence: 4}
      - say: Thank you very much.
  - name: dead
    match: {called: dead}
    actions: [answer, agent: gone]
"""
SETTINGS = {"agents": {"gone": {"kind": "chat", "base_url": "http://127.0.0.1:9/v1", "model": "none"}}}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("routes"), SETTINGS, PLAN) as running:
        yield running


def phone(node: Node, called: str) -> Phone:
    return Phone(("127.0.0.1", node.sip_port), called)


def hung_up_on(phone: Phone, seconds: float) -> None:
    """Take the far end's BYE."""
    phone.respond(phone.expect("BYE", seconds))


def record(node: Node, route: str, count: int = 1) -> dict[str, Any]:
    """The latest record of this route, once there are so many."""

    def written() -> dict[str, Any]:
        journal = node.records_folder / "calls.jsonl"
        lines = journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []
        found = [one for one in map(json.loads, lines) if one["route"] == route]
        assert len(found) >= count, f"{len(found)} of {count} records"
        latest: dict[str, Any] = found[-1]
        return latest

    return eventually(written)


def test_a_key_chooses_and_silences_the_prompt(node: Node, listener: Listener) -> None:
    with phone(node, "ivr") as caller:
        caller.call()
        caller.rtp.listen(1.5)
        pressed = time.monotonic()
        caller.rtp.key(1)
        hung_up_on(caller, 8.0)
        spent = time.monotonic() - pressed
    kept = record(node, "ivr")
    heard = words(listener.heard_by_caller(node.recording(kept)))
    assert kept["end_reason"] == "dialplan_hung_up"
    assert heard[-2:] == ["the", "news"] and "prompt" not in heard, heard
    assert spent < 4.0, "the rest of the prompt is not waited for"


def test_recorded_speech_chooses_by_a_word(node: Node, listener: Listener) -> None:
    with phone(node, "ivr") as caller:
        caller.call()
        caller.rtp.listen(1.0)
        caller.rtp.talk(prompt("conf-now-recording").pcm)
        hung_up_on(caller, 10.0)
    heard = words(listener.heard_by_caller(node.recording(record(node, "ivr", 2))))
    assert heard[-4:] == ["you", "chose", "the", "conference"], heard


def test_keys_typed_ahead_count(node: Node, listener: Listener) -> None:
    with phone(node, "number") as caller:
        caller.call()
        for code in (4, 7, 1, 11):
            caller.rtp.key(code)
            caller.rtp.talk(np.zeros(800, np.int16))
        hung_up_on(caller, 12.0)
    heard = listener.heard_by_caller(node.recording(record(node, "number"))).lower()
    assert "number is" in heard, heard


def test_a_message_is_kept_and_its_transcript_is_right(node: Node, listener: Listener) -> None:
    said = [prompt("check-number-dial-again"), prompt("queue-youarenext")]
    with phone(node, "mail") as caller:
        caller.call()
        caller.rtp.listen(4.0)
        for one in said:
            caller.rtp.talk(one.pcm)
            caller.rtp.talk(np.zeros(8000, np.int16))
        hung_up_on(caller, 15.0)
    kept = record(node, "mail")
    (path,) = (node.records_folder / "voicemail" / "sales").glob("*.json")
    message = json.loads(path.read_text(encoding="utf-8"))
    wanted = " ".join(one.text for one in said)
    assert same_words(wanted, message["transcript"]) >= 0.9, message["transcript"]
    assert same_words(message["transcript"], wanted) >= 0.9, message["transcript"]
    assert message["ending"] == "silence" and message["transcript_complete"] is True
    assert message["call_id"] == kept["call_id"] and message["mailbox"] == "sales"
    sound, rate = read_wav(path.with_name(message["sound"]))
    spoken = sum(len(one.pcm) for one in said) / 8000
    assert rate == 8000 and spoken < len(sound) / rate < spoken + 8.0
    assert "thank" in listener.heard_by_caller(node.recording(kept)).lower()


def test_a_message_survives_a_caller_who_hangs_up(node: Node) -> None:
    with phone(node, "mail") as caller:
        caller.call()
        caller.rtp.listen(4.0)
        caller.rtp.talk(prompt("feature-not-avail-line").pcm)
        caller.bye()

    def delivered() -> dict[str, Any]:
        found = [json.loads(path.read_text()) for path in _messages(node)]
        (message,) = [one for one in found if one["ending"] == "hangup"] or [{}]
        assert message
        return dict(message)

    message = eventually(delivered, 20.0)
    assert same_words(prompt("feature-not-avail-line").text, message["transcript"]) >= 0.8, message


def test_a_dead_agent_leads_to_the_plans_fallback(node: Node, listener: Listener) -> None:
    with phone(node, "dead") as caller:
        caller.call()
        caller.rtp.talk(prompt("conf-now-recording").pcm)
        deadline = time.monotonic() + 40.0
        bye = None
        while bye is None and time.monotonic() < deadline:
            caller.rtp.listen(3.0)
            caller.rtp.talk(prompt("vm-prev").pcm)
            try:
                bye = caller.expect("BYE", 0.2)
            except AssertionError:
                continue
        assert bye is not None
        caller.respond(bye)
    kept = record(node, "dead")
    heard = listener.heard_by_caller(node.recording(kept)).lower()
    assert kept["end_reason"] == "dead_air" and "broken" in heard, heard


def _messages(node: Node) -> list[Path]:
    return sorted((node.records_folder / "voicemail" / "sales").glob("*.json"))
