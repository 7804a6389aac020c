"""An unmodified Pipecat bot on its Twilio serializer takes SIPp's calls: recorded speech both ways."""

from __future__ import annotations

import json
import os
import queue
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from callers.sipp import CallPlan, Sipp
from gateway.secret import Secret
from gateway.twilio_ids import account_sid, call_sid
from gateway.twilio_signature import signature
from media.wav import read_wav
from tests.live.gateway.listening import SPEECH, Listener, prompt, same_words, speech
from tests.live.gateway.node import Node

pytestmark = pytest.mark.live

ROOT = Path(__file__).resolve().parents[3]
BOT = ROOT / "tests/live/api/clients/pipecat_bot.py"
PYTHON = ROOT / os.environ.get("OFFHOOK_CLIENTS_VENV", ".venv-clients") / "bin" / "python"
TOKEN = "the-account-token"
TALK, ANSWER = "demo-thanks", "vm-prev"


class PipecatBot:
    """The bot's process, and what it printed."""

    def __init__(self, kind: str, rest: str = "", sounds: tuple[Path, ...] = ()) -> None:
        if not PYTHON.exists():
            pytest.fail(f"{PYTHON} is missing; cure: make setup-clients")
        command = [str(PYTHON), str(BOT), kind, account_sid("offhook"), TOKEN, rest, *map(str, sounds)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = f"ws://127.0.0.1:{self.line(60.0)}/ws"

    def line(self, seconds: float = 15.0) -> str:
        try:
            return self._lines.get(timeout=seconds)
        except queue.Empty:
            self.process.kill()
            assert self.process.stderr is not None
            raise AssertionError(f"the bot said nothing: {self.process.stderr.read()[-3000:]}") from None

    def seen(self) -> dict[str, Any]:
        """What the bot saw of its next call that is over."""
        told: dict[str, Any] = json.loads(self.line())
        return told

    def _read(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            self._lines.put(text.strip())

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(5.0)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


@contextmanager
def bots(**kinds: tuple[Path, ...]) -> Iterator[Mapping[str, PipecatBot]]:
    with ExitStack() as stack:
        made = {}
        for kind, sounds in kinds.items():
            made[kind] = PipecatBot(kind, sounds=sounds)
            stack.callback(made[kind].stop)
        yield made


def plan(*names: str) -> str:
    return "routes:\n" + "".join(
        f"  - {{name: {name}, match: {{called: {name}}}, actions: [answer, agent: {name}]}}\n"
        for name in names
    )


def agent(url: str) -> dict[str, object]:
    return {"kind": "media_stream", "url": url, "auth_token": TOKEN, "parameters": {"tier": "gold"}}


def test_a_pipecat_bot_hears_and_is_heard(listener: Listener, tmp_path: Path) -> None:
    sounds = (SPEECH / f"{TALK}.wav", SPEECH / f"{ANSWER}.wav")
    with bots(echo=(), talker=sounds, closer=()) as running, ExitStack() as stack:
        agents = {kind: agent(bot.url) for kind, bot in running.items()}
        node = stack.enter_context(Node(tmp_path, {"agents": agents}, plan(*agents)))

        said = "check-number-dial-again"
        # Like Twilio's, the stream carries nothing from before the bot had accepted it.
        audio = speech(tmp_path, said, lead=2.5, room=3.0)
        with Sipp(CallPlan(node.target, "echo", "echo", audio=audio, hold_s=9.0)) as call:
            assert call.wait().answered == 1
        (record,) = node.records("echo")
        assert record["end_reason"] == "caller_hung_up", record
        heard = listener.heard_by_caller(node.recording(record))
        assert same_words(prompt(said).text, heard) >= 0.8, "his own words came back"
        seen = running["echo"].seen()
        assert seen["dialect"] == "twilio" and seen["call_sid"] == call_sid(record["call_id"])
        assert seen["body"] == {"from_number": "echo", "to_number": "echo", "tier": "gold"}
        assert seen["signed"] == signature(Secret(TOKEN), running["echo"].url)
        assert seen["frames"] > 300, "twenty milliseconds each, silence included"

        audio = speech(tmp_path, said, lead=2.5, room=6.0)
        with Sipp(CallPlan(node.target, "talker", "talker", audio=audio, hold_s=12.0)) as call:
            assert call.wait().answered == 1
        (record,) = node.records("talker")
        assert running["talker"].seen()["interruptions"] >= 1
        _check_interruption(record, node.recording(record), listener)
        assert record["counts"].get("sound_refused", 0) == 0

        audio = speech(tmp_path, said, room=3.0)
        with Sipp(CallPlan(node.target, "closer", "closer", audio=audio, hold_s=20.0)) as call:
            assert call.wait().hung_up_on == 1
        (record,) = node.records("closer")
        assert record["end_reason"] == "dialplan_hung_up", record


def test_a_pipecat_bot_hangs_up_by_twilios_rest_api(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    bot = PipecatBot("closer", rest=f"http://127.0.0.1:{port}")
    try:
        settings = {
            "agents": {"closer": agent(bot.url)}, "api": {"port": port}, "twiml": {"auth_token": TOKEN},
        }  # fmt: skip
        with Node(tmp_path, settings, plan("closer")) as node:
            audio = speech(tmp_path, "check-number-dial-again", room=3.0)
            with Sipp(CallPlan(node.target, "closer", "closer", audio=audio, hold_s=20.0)) as call:
                assert call.wait().hung_up_on == 1
            (record,) = node.records("closer")
            assert record["end_reason"] == "api_hung_up", record
            assert record["duration_seconds"] < 10
    finally:
        bot.stop()


def _check_interruption(record: dict[str, Any], recording: Path, listener: Listener) -> None:
    """The bot's greeting was cut, silence followed, then its answer; the record knows."""
    greeting, answer = record["turns"][0], record["turns"][1]
    assert greeting["number"] == 0 and greeting["interrupted"]
    assert answer["turn_ms"] is not None and 0 < answer["turn_ms"] < 3000
    assert record["barge_ins_ms"][0]["stop"] < 1500
    sound, rate = read_wav(recording)
    loud = np.abs(sound[:, 1].astype(int)) > 300
    seconds = np.flatnonzero(loud) / rate
    gaps = np.diff(seconds)
    cut = seconds[np.argmax(gaps)]
    assert gaps.max() > 1.0, "silence between what was cut and the answer"
    assert cut < 4.5, "the greeting lasts longer than the caller let it"
    assert same_words(prompt(ANSWER).text, listener.heard_by_caller(recording)) >= 0.8
