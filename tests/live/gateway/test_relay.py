"""Callers of SIPp and raw sockets talk with a ConversationRelay app that knows the public protocol alone."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from callers.sipp import CallPlan, Sipp
from gateway.twilio_ids import call_sid, is_sid
from tests.live.gateway.listening import Listener, prompt, same_words, speech
from tests.live.gateway.node import Node, eventually
from tests.live.sip.phone import Phone

pytestmark = pytest.mark.live

ROOT = Path(__file__).resolve().parents[3]
APP = ROOT / "tests/live/api/clients/relay_app.py"
PYTHON = ROOT / os.environ.get("OFFHOOK_CLIENTS_VENV", ".venv-clients") / "bin" / "python"
TOKEN = "the-account-token"
KINDS = ("echo", "greeter", "story", "ender", "killed", "keys", "stranger")
STORY = (
    "Once upon a time there was a miller who had three sons. He left his mill to the first of them, and "
    "his donkey to the second. The youngest got nothing but the cat, and was not pleased with it at all. "
    "But the cat asked for a pair of boots, and promised that they would both be rich before long."
)
SAID = "check-number-dial-again"


class RelayApp:
    """The app's process, and what it was told."""

    def __init__(self) -> None:
        if not PYTHON.exists():
            pytest.fail(f"{PYTHON} is missing; cure: make setup-clients")
        command = [str(PYTHON), str(APP), TOKEN, STORY]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"ws://127.0.0.1:{int(self._process.stdout.readline())}/relay"
        self._told: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def told(self, kind: str, *types: str) -> list[dict[str, Any]]:
        """What the sessions of a kind were told so far, of these types."""
        return [one for one in self._told if one["kind"] == kind and (not types or one["type"] in types)]

    def closed(self, kind: str) -> list[dict[str, Any]]:
        """All that a session was told, once it is over."""

        def look() -> list[dict[str, Any]]:
            assert self.told(kind, "closed"), self.told(kind)
            return self.told(kind)

        return eventually(look)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._told.append(json.loads(line))

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(5.0)
        if self._process.stdout is not None:
            self._process.stdout.close()


class Served:
    """A node and the app behind it."""

    def __init__(self, node: Node, app: RelayApp) -> None:
        self.node = node
        self.app = app

    def call(self, kind: str, audio: Path, seconds: float) -> dict[str, Any]:
        """Place a call and return its record."""
        with Sipp(CallPlan(self.node.target, kind, kind, audio=audio, hold_s=seconds)) as call:
            assert call.wait().answered == 1
        (record,) = self.node.records(kind)
        return record


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with ExitStack() as stack:
        app = RelayApp()
        stack.callback(app.stop)
        agents: dict[str, dict[str, Any]] = {
            kind: {
                "kind": "conversation_relay", "url": f"{app.url}/{kind}", "auth_token": TOKEN,
                "parameters": {"tier": "gold"},
            }
            for kind in KINDS
        }  # fmt: skip
        agents["echo"] |= {"greeting": "Hello, this is the relay.", "events": ["speaker-events"]}
        agents["stranger"] |= {"auth_token": "wrong", "limits": {"reconnect_seconds": 1.0}}
        plan = "routes:\n" + "".join(
            f"  - {{name: {kind}, match: {{called: {kind}}}, actions: [answer, agent: {kind}]}}\n"
            for kind in KINDS
        )
        folder = tmp_path_factory.mktemp("relay")
        yield Served(stack.enter_context(Node(folder, {"agents": agents}, plan)), app)


def test_the_app_gets_the_words_and_its_tokens_are_spoken(
    served: Served, listener: Listener, tmp_path: Path
) -> None:
    record = served.call("echo", speech(tmp_path, SAID, lead=3.0, room=6.0), 12.0)
    told = served.app.closed("echo")
    setup = told[0]
    assert setup["type"] == "setup" and setup["customParameters"] == {"tier": "gold"}
    assert setup["callSid"] == call_sid(record["call_id"]) and is_sid(setup["sessionId"], "VX")
    assert setup["from"] == setup["to"] == "echo"
    (asked,) = served.app.told("echo", "prompt")
    assert same_words(prompt(SAID).text, asked["voicePrompt"]) >= 0.8 and asked["last"]
    heard = listener.heard_by_caller(served.node.recording(record))
    assert same_words("Hello, this is the relay. You said: " + prompt(SAID).text, heard) >= 0.8
    speakers = [f"{one['name']} {one['value']}" for one in served.app.told("echo", "info")]
    assert speakers == [
        "agentSpeaking on", "agentSpeaking off", "clientSpeaking on", "clientSpeaking off",
        "agentSpeaking on", "agentSpeaking off",
    ]  # fmt: skip
    assert record["end_reason"] == "caller_hung_up" and record["events"][-1]["event"] != "agent_fault"
    assert TOKEN not in str(served.node.log)


def test_the_app_speaks_first(served: Served, listener: Listener, tmp_path: Path) -> None:
    record = served.call("greeter", speech(tmp_path, SAID, lead=8.0, room=0.5), 6.0)
    heard = listener.heard_by_caller(served.node.recording(record))
    assert same_words("Welcome to the greeter, please wait.", heard) >= 0.8
    assert [turn["number"] for turn in record["turns"]] == [0]


def test_a_barge_in_tells_the_words_that_were_heard(
    served: Served, listener: Listener, tmp_path: Path
) -> None:
    audio = speech(tmp_path, SAID, "vm-prev", room=6.0)
    record = served.call("story", audio, 18.0)
    told = [one for one in served.app.closed("story") if one["type"] in ("prompt", "interrupt")]
    assert [one["type"] for one in told] == ["prompt", "interrupt", "prompt"]
    heard = told[1]["utteranceUntilInterrupt"]
    assert STORY.startswith(heard) and len(heard.split()) >= 3
    assert 1000 < told[1]["durationUntilInterruptMs"] < 9000
    words = listener.heard_by_caller(served.node.recording(record))
    assert same_words(heard, words) >= 0.7
    assert same_words(prompt("vm-prev").text, told[2]["voicePrompt"]) >= 0.6
    assert record["turns"][0]["heard"] == heard


def test_the_end_hangs_up_once_the_goodbye_was_heard(
    served: Served, listener: Listener, tmp_path: Path
) -> None:
    audio = speech(tmp_path, SAID, room=4.0)
    with Sipp(CallPlan(served.node.target, "ender", "ender", audio=audio, hold_s=25.0)) as call:
        assert call.wait().hung_up_on == 1
    (record,) = served.node.records("ender")
    heard = listener.heard_by_caller(served.node.recording(record))
    assert same_words("Thank you for calling. Goodbye.", heard) >= 0.8
    assert served.app.closed("ender")[-1]["type"] == "closed"


def test_a_socket_that_is_killed_in_mid_call_is_dialled_again(
    served: Served, listener: Listener, tmp_path: Path
) -> None:
    record = served.call("killed", speech(tmp_path, SAID, room=6.0), 11.0)
    told = served.app.closed("killed")
    assert [(one["connection"], one["type"]) for one in told if one["type"] != "closed"] == [
        (1, "setup"), (1, "prompt"), (2, "setup"), (2, "prompt"),
    ]  # fmt: skip
    heard = listener.heard_by_caller(served.node.recording(record))
    assert same_words("You said: " + prompt(SAID).text, heard) >= 0.8
    faults = [event for event in record["events"] if event["event"] == "agent_fault"]
    assert [(fault["kind"], fault["action"]) for fault in faults] == [("cut", "reconnected")]


def test_keys_arrive_one_by_one(served: Served) -> None:
    host, port = served.node.target.split(":")
    with Phone((host, int(port)), "keys") as phone:
        phone.invite()
        phone.expect(200)
        phone.ack()
        phone.rtp.listen(1.0)
        for code in (4, 2, 11):
            phone.rtp.key(code)
            phone.rtp.listen(0.3)
        phone.rtp.listen(2.5)
        phone.request("BYE")
        phone.expect(200)
    told = served.app.closed("keys")
    assert [one["digit"] for one in told if one["type"] == "dtmf"] == ["4", "2", "#"]
    (record,) = served.node.records("1001")
    assert "4 2" in record["turns"][-1]["reply"] or "4, 2" in record["turns"][-1]["reply"]


def test_an_app_that_does_not_believe_us_is_given_up(served: Served, tmp_path: Path) -> None:
    with Sipp(CallPlan(served.node.target, "stranger", "stranger", hold_s=25.0)) as call:
        assert call.wait().hung_up_on == 1
    (record,) = served.node.records("stranger")
    assert record["end_reason"] == "dead_air"
    assert served.app.told("stranger") == []
