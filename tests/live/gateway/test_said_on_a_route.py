"""SIPp is on a route that asks and records, and hears what is said and cleared over REST meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from callers.sipp import CallPlan, Sipp
from media.wav import read_wav
from tests.live.gateway.listening import Listener, prompt, same_words, speech, words
from tests.live.gateway.node import Node, eventually

pytestmark = pytest.mark.live

LONG = "Our offices are closed on Sundays. " * 6
PLAN = f"""
routes:
  - name: asks
    match: {{called: asks}}
    actions:
      - answer
      - say: "{LONG}"
      - gather: {{say: Your number please., timeout: 3, retries: 0}}
      - say: Thank you very much.
  - name: records
    match: {{called: records}}
    actions: [answer, record: {{max_seconds: 60, silence: 8, beep: false}}]
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("orders"), {}, PLAN) as running:
        yield running


def call_id(node: Node, caller: str) -> str:
    """Of the caller's call, once it is up."""

    def up() -> str:
        found = [one for one in node.calls() if one["caller"] == caller and one["phase"] == "announcing"]
        assert found, node.calls()
        return str(found[0]["call_id"])

    return eventually(up)


def order(node: Node, call: str, move: str, wait: float = 30.0, **body: Any) -> None:
    answer = httpx.post(f"{node.api}/v1/calls/{call}/{move}?wait={wait:g}", json=body or None, timeout=60.0)
    assert answer.status_code == 200 and answer.json()["done"], answer.text


def test_an_announcement_makes_room_and_a_question_is_talked_over(
    node: Node, listener: Listener, tmp_path: Path
) -> None:
    audio = speech(tmp_path, "vm-prev", lead=38.0, room=1.0)
    with Sipp(CallPlan(node.target, "asks", "asks", audio=audio, hold_s=40.0)) as call:
        mine = call_id(node, "asks")
        order(node, mine, "say", text="Attention.", interrupt=True)
        order(node, mine, "say", text="Tomorrow we are open.")
        counts = call.wait()
    assert counts.hung_up_on == 1
    (record,) = node.records("asks")
    said = listener.heard_by_caller(node.recording(record))
    assert "attention" in words(said) and same_words("tomorrow we are open", said) >= 0.7, said
    assert same_words("thank you very much", said) >= 0.7, said
    assert words(said).count("sundays") <= 3, "the interrupted announcement is over"


def test_clear_is_silent_at_once(node: Node, tmp_path: Path) -> None:
    audio = speech(tmp_path, "vm-prev", lead=38.0, room=1.0)
    with Sipp(CallPlan(node.target, "asks", "hush", audio=audio, hold_s=40.0)) as call:
        mine = call_id(node, "hush")
        order(node, mine, "clear")
        call.wait()
    (record,) = node.records("hush")
    sound, rate = read_wav(node.recording(record))
    loud = np.flatnonzero(np.abs(sound[:, 1]) > 200) / rate
    assert len(loud) < 5.0 * rate, "one sentence of six, and what follows"


def test_a_recording_holds_the_caller_and_not_what_was_said_to_him(
    node: Node, listener: Listener, tmp_path: Path
) -> None:
    audio = speech(tmp_path, "vm-prev", lead=1.0, room=30.0)
    with Sipp(CallPlan(node.target, "records", "tape", audio=audio, hold_s=30.0)) as call:
        mine = call_id(node, "tape")
        order(node, mine, "say", text="The line closes in five minutes.")
        counts = call.wait()
    assert counts.hung_up_on == 1, "silence ends it"
    (record,) = node.records("tape")
    assert "line" in words(listener.heard_by_caller(node.recording(record)))
    (tape,) = [one for one in record["events"] if one["event"] == "recorded"]
    (path,) = node.folder.rglob(tape["recording"])
    sound, _ = read_wav(path)
    kept = listener.heard_in(np.ascontiguousarray(sound[:, 0]))
    assert same_words(prompt("vm-prev").text, kept) >= 0.7, kept
    assert "closes" not in words(kept) and "minutes" not in words(kept)
