"""Other people's clients, as they are published, pointed at a node by its address alone. Recorded speech."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.wer import word_errors
from tests.live.gateway.node import Node

pytestmark = pytest.mark.live

ROOT = Path(__file__).resolve().parents[3]
CLIENTS = Path(__file__).parent / "clients"
PYTHON = ROOT / os.environ.get("OFFHOOK_CLIENTS_VENV", ".venv-clients") / "bin" / "python"
SPEECH = str(ROOT / "tests/data/speech/vm-prev.wav")
SAID = "Press four for the previous message"
TEXT = "Please hold the line."


class Served:
    """A node that asks for keys, and a key to it."""

    def __init__(self, node: Node, key: str) -> None:
        self.node = node
        self.key = key

    def ask(self, client: str, scene: str, *more: str, key: str = "") -> Any:
        """What the client's scene printed."""
        command = [str(PYTHON), str(CLIENTS / f"{client}.py"), scene, self.node.api, key or self.key, *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=self.node.folder)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if not PYTHON.exists():
        pytest.fail(f"{PYTHON} is missing; cure: make setup-clients")
    folder = tmp_path_factory.mktemp("clients")
    keys = {"api": {"keys": "always", "keys_file": str(folder / "keys.json")}}
    with Node(folder, keys) as node:
        command = [sys.executable, "-c", "from gateway.cli import main; main()", "keys", "create", "test"]
        made = subprocess.run([*command, "-c", str(node.config)], capture_output=True, text=True, timeout=30)
        yield Served(node, made.stdout.strip())


def same(text: str, said: str = SAID) -> bool:
    return word_errors(said, text)[0] == 0


def test_deepgrams_sdk_listens_live(served: Served) -> None:
    form = {
        "interim_results": True,
        "vad_events": True,
        "utterance_end_ms": "1000",
        "punctuate": True,
        "endpointing": 300,
    }
    told = served.ask("deepgram_sdk", "listen_live", SPEECH, json.dumps(form))
    kinds = [message["type"] for message in told]
    assert kinds[0] == "SpeechStarted" and kinds[-1] == "Metadata" and "UtteranceEnd" in kinds
    results = [message for message in told if message["type"] == "Results"]
    assert not results[0]["is_final"]
    assert all(message["metadata"]["request_id"] == told[-1]["request_id"] for message in results)
    final = next(message for message in results if message["is_final"])
    best = final["channel"]["alternatives"][0]
    assert same(best["transcript"]) and final["speech_final"]
    assert [word["word"] for word in best["words"]] == SAID.lower().split()
    assert 0.1 < best["words"][0]["start"] < 0.5 and 2.2 < best["words"][-1]["end"] < 2.9
    assert results[-1]["from_finalize"] and results[-1]["is_final"]
    assert told[-1]["duration"] == pytest.approx(4.0, abs=0.1)


def test_deepgrams_sdk_speaks_live_and_is_silenced(served: Served) -> None:
    told = served.ask("deepgram_sdk", "speak_live", "Your call is important to us. ", TEXT)
    kinds = [message.get("type", "sound") for message in told]
    assert kinds[0] == "Metadata" and kinds[-1] == "Cleared"
    flushed = kinds.index("Flushed")
    spoken = sum(message.get("octets", 0) for message in told[:flushed]) / 48_000
    never = sum(message.get("octets", 0) for message in told[flushed:]) / 48_000
    assert 2.0 < spoken < 5.0
    assert never < 3.0, "forty sentences were to be taken back"


def test_deepgrams_sdk_sends_files_and_asks_for_models(served: Served) -> None:
    heard = served.ask("deepgram_sdk", "listen_file", SPEECH)
    assert same(heard["results"]["channels"][0]["alternatives"][0]["transcript"])
    assert served.ask("deepgram_sdk", "speak_file", TEXT)["octets"] > 2000
    models = served.ask("deepgram_sdk", "models")
    assert models["stt"][0]["name"] == "moonshine" and models["tts"][0]["name"] == "heart"


def test_a_wrong_key_is_refused_in_deepgrams_own_shape(served: Served) -> None:
    found = served.ask("deepgram_sdk", "refused", key="wrong")
    assert found["socket"] == 401
    assert found["models"]["status"] == 401 and found["models"]["body"]["err_code"] == "INVALID_AUTH"


def test_livekits_deepgram_plugin(served: Served) -> None:
    told = served.ask("livekit_plugin", "listen_live", SPEECH)
    kinds = [event["type"] for event in told]
    assert (
        kinds.index("start_of_speech") < kinds.index("interim_transcript") < kinds.index("final_transcript")
    )
    assert kinds.index("final_transcript") < kinds.index("end_of_speech")
    assert same(next(event["text"] for event in told if event["type"] == "final_transcript"))
    assert same(served.ask("livekit_plugin", "listen_file", SPEECH))
    first, second = served.ask("livekit_plugin", "speak_live", TEXT, "Press four.")
    assert 0.8 < first < 3.0 and 0.4 < second < 2.0
    assert 0.8 < served.ask("livekit_plugin", "speak_file", TEXT) < 3.0


def test_pipecats_deepgram_services(served: Served) -> None:
    told = served.ask("pipecat_service", "listen_live", SPEECH)
    finals = [frame["text"] for frame in told if frame["type"] == "TranscriptionFrame"]
    assert same(" ".join(finals)) and any(frame["type"] == "InterimTranscriptionFrame" for frame in told)
    sound = served.ask("pipecat_service", "speak_live", TEXT)
    assert not [frame for frame in sound if frame["type"] == "error"]
    assert 0.8 < sum(frame.get("octets", 0) for frame in sound) / 48_000 < 3.0


def test_smallests_sdk_listens(served: Served) -> None:
    told = served.ask("smallest_sdk", "listen_live", SPEECH)
    assert told[0]["type"] == "speech_started" and "speech_ended" in [message["type"] for message in told]
    finals = [message for message in told if message["type"] == "transcription" and message["is_final"]]
    texts = [message["transcription"] for message in finals if message["transcription"]]
    assert all(message["transcription"] == message["transcript"] for message in finals)
    assert len(texts) == 2 and all(same(text) for text in texts)
    assert any(message["from_finalize"] for message in finals)
    assert [message["is_last"] for message in finals] == [False] * (len(finals) - 1) + [True]
    heard = served.ask("smallest_sdk", "listen_file", SPEECH)
    assert same(heard["transcription"]) and len(heard["words"]) == 6


def test_smallests_sdk_speaks(served: Served) -> None:
    told = served.ask("smallest_sdk", "speak_live", TEXT)
    assert [message["status"] for message in told[-2:]] == ["chunk", "complete"]
    assert 0.8 < sum(message["octets"] for message in told) / 48_000 < 3.0
    once, pieces = served.ask("smallest_sdk", "speak_helper", TEXT + " ", "Press four.")
    assert min(once, pieces) / 48_000 > 1.2
    assert served.ask("smallest_sdk", "speak_file", TEXT) / 48_000 > 0.8
    assert served.ask("smallest_sdk", "around")["health"]["status"] == "ok"


def test_livekits_smallest_plugin(served: Served) -> None:
    told = served.ask("livekit_plugin", "smallest_listen_live", SPEECH)
    kinds = [event["type"] for event in told]
    assert kinds.index("start_of_speech") < kinds.index("final_transcript") < len(kinds)
    assert "end_of_speech" in kinds
    assert same(" ".join(event["text"] for event in told if event["type"] == "final_transcript"))
    assert same(served.ask("livekit_plugin", "smallest_listen_file", SPEECH))
    for first, second in served.ask("livekit_plugin", "smallest_speak_live", TEXT, "Press four."):
        assert 0.8 < first < 3.0 and 0.4 < second < 2.0
    assert 0.8 < served.ask("livekit_plugin", "smallest_speak_file", TEXT) < 3.0


def test_pipecats_smallest_services(served: Served) -> None:
    told = served.ask("pipecat_service", "smallest_listen_live", SPEECH)
    finals = [frame["text"] for frame in told if frame["type"] == "TranscriptionFrame"]
    assert same(" ".join(finals)) and not [frame for frame in told if frame["type"] == "error"]
    sound = served.ask("pipecat_service", "smallest_speak_live", TEXT, "Press four.")
    assert not [frame for frame in sound if frame["type"] == "error"]
    assert 1.2 < sum(frame.get("octets", 0) for frame in sound) / 48_000 < 5.0
    words = " ".join(frame["text"] for frame in sound if frame["type"] == "word")
    assert same(words, f"{TEXT} Press four.")
