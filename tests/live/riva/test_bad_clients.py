"""Workers as an operator starts them, under clients that misbehave, while somebody else is on the line.

Whatever happens, the good caller's words stay and come in time, the worker's memory is bounded, and the bad
client is told why.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import riva.client  # type: ignore[import-untyped]

from benchmarks.wer import word_errors
from engines.riva.wire import grpc
from tests.engines.riva.sounds import recorded
from tests.live.riva.bad_clients import UNTOLD
from tests.live.riva.test_workers import free_ports

pytestmark = pytest.mark.live

PROMPT = ("vm-prev.wav", "Press four for the previous message")
LIMITS = {"IDLE_SECONDS": "3", "UNREAD_SECONDS": "2"}
LATER = 3.0
"""Seconds by which the good caller may be served later than before: beyond it he is starved. Mostly
it is hundredths; the attackers share the worker's cores."""
MOST_GROWTH = 350_000_000
"""Octets that any attack may add for as long as it lasts."""


class Worker:
    """A running `offhook asr` or `offhook tts`."""

    def __init__(self, process: subprocess.Popen[bytes], ports: list[int]) -> None:
        self.process = process
        self.address = f"127.0.0.1:{ports[0]}"
        self._http = f"http://127.0.0.1:{ports[1]}"

    def memory(self) -> int:
        """Octets that it holds."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the worker died")

    def calm(self) -> bool:
        """Whether new streams are let in: no final waited long lately, and nobody is served."""
        waits = [float(line.split()[-1]) for line in self._metrics() if 'what="final_wait"' in line]
        return not self.running() and max(waits, default=0.0) < 0.1

    def running(self) -> int:
        """Requests that it serves."""
        with urllib.request.urlopen(f"{self._http}/health", timeout=5.0) as answer:
            assert json.load(answer)["state"] == "ready"
        running = [line for line in self._metrics() if line.startswith("offhook_worker_running{")]
        return round(sum(float(line.split()[-1]) for line in running))

    def _metrics(self) -> list[str]:
        with urllib.request.urlopen(f"{self._http}/metrics", timeout=5.0) as answer:
            lines: list[str] = answer.read().decode().splitlines()
        return lines


@contextmanager
def serving(kind: str) -> Iterator[Worker]:
    ports = free_ports(2)
    prefix = f"OFFHOOK_{kind.upper()}_WORKER__"
    environ = {
        **os.environ,
        f"{prefix}GRPC__PORT": str(ports[0]),
        f"{prefix}HTTP__PORT": str(ports[1]),
        f"{prefix}GRPC__KEEPALIVE_SECONDS": "1",
        f"{prefix}GRPC__KEEPALIVE_WAIT": "1",
        **{f"{prefix}LIMITS__{name}": value for name, value in LIMITS.items()},
    }
    command = [sys.executable, "-c", "from gateway.cli import main; main()", kind]
    with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL) as process:
        worker = Worker(process, ports)
        try:
            wait_for(lambda: _ready(worker), 60.0)
            yield worker
        finally:
            process.terminate()
            assert process.wait(30) == 0


def _ready(worker: Worker) -> bool:
    try:
        return worker.running() == 0
    except OSError:
        return False


@pytest.fixture(scope="module")
def asr() -> Iterator[Worker]:
    with serving("asr") as worker:
        with calling(worker):
            pass
        yield worker


@pytest.fixture(scope="module")
def tts() -> Iterator[Worker]:
    with serving("tts") as worker:
        with listening(worker):
            pass
        yield worker


class Caller(threading.Thread):
    """Somebody who was on the line before: one stream in real time, a prompt and a pause, again and again."""

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self._address = worker.address
        self._over = threading.Event()
        self._ended: list[float] = []
        self.heard: list[str] = []
        self.waits: list[float] = []
        """Seconds from the end of each prompt to its final; the pause that ends it is in there."""

    def run(self) -> None:
        auth = riva.client.Auth(uri=self._address, options=[("grpc.use_local_subchannel_pool", 1)])
        config = riva.client.RecognitionConfig(encoding=1, sample_rate_hertz=8000, language_code="en-US")
        streaming = riva.client.StreamingRecognitionConfig(config=config, interim_results=True)
        try:
            service = riva.client.ASRService(auth)
            for answer in service.streaming_response_generator(self._chunks(), streaming):
                for result in answer.results:
                    if result.is_final:
                        self.waits.append(time.monotonic() - self._ended[len(self.waits)])
                        self.heard.append(result.alternatives[0].transcript)
        finally:
            auth.channel.close()

    def hang_up(self) -> None:
        self._over.set()
        self.join()

    def _chunks(self) -> Iterator[bytes]:
        prompt, pause = recorded(PROMPT[0]).tobytes(), bytes(24_000)
        due = time.monotonic()
        while not self._over.is_set():
            for octets in (prompt, pause):
                for place in range(0, len(octets), 320):
                    due += 0.02
                    time.sleep(max(0.0, due - time.monotonic()))
                    yield octets[place : place + 320]
                if octets is prompt:
                    self._ended.append(time.monotonic())


@contextmanager
def calling(worker: Worker) -> Iterator[Caller]:
    """A caller who has been understood once before anything happens."""
    wait_for(worker.calm, 20.0)
    caller = Caller(worker)
    caller.start()
    try:
        wait_for(lambda: bool(caller.heard), 30.0)
        yield caller
    finally:
        caller.hang_up()
    for text in caller.heard:
        assert word_errors(PROMPT[1], text)[0] == 0


class Listener(threading.Thread):
    """Somebody who was listening before: one stream, a sentence every one and a half seconds."""

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self._address = worker.address
        self._over = threading.Event()
        self._asked: list[float] = []
        self.waits: list[float] = []
        """Seconds from each sentence to its first sound."""

    def run(self) -> None:
        with grpc.insecure_channel(self._address) as channel:
            stub = riva.client.proto.riva_tts_pb2_grpc.RivaSpeechSynthesisStub(channel)
            for answer in stub.SynthesizeOnline(self._texts()):
                if answer.id.value == str(len(self.waits)):
                    self.waits.append(time.monotonic() - self._asked[len(self.waits)])

    def hang_up(self) -> None:
        self._over.set()
        self.join()

    def _texts(self) -> Iterator[Any]:
        while not self._over.is_set():
            text = riva.client.proto.riva_tts_pb2.SynthesizeSpeechRequest(
                text="Hold the line.", language_code="en-US", encoding=1, sample_rate_hz=8000
            )
            text.id.value = str(len(self._asked))
            self._asked.append(time.monotonic())
            yield text
            self._over.wait(1.5)


@contextmanager
def listening(worker: Worker) -> Iterator[Listener]:
    listener = Listener(worker)
    listener.start()
    try:
        wait_for(lambda: bool(listener.waits), 30.0)
        yield listener
    finally:
        listener.hang_up()


class Attack:
    """A bad client at work, and the worker's memory meanwhile."""

    def __init__(self, worker: Worker, name: str) -> None:
        self._worker = worker
        command = [sys.executable, "-m", "tests.live.riva.bad_clients", name, worker.address]
        self.before = worker.memory()
        self.most = self.before
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._over = threading.Event()
        self._watching = threading.Thread(target=self._watch)
        self._watching.start()

    def told(self) -> dict[str, int]:
        """What it was told, once it is done."""
        out, _ = self.process.communicate(timeout=60)
        counted: dict[str, int] = json.loads(out)
        return counted

    def end(self) -> int:
        """Octets that the worker held more than before, at the most."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        if self.process.stdout is not None and not self.process.stdout.closed:
            self.process.communicate()
        self._over.set()
        self._watching.join()
        return self.most - self.before

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self.most = max(self.most, self._worker.memory())


@contextmanager
def attack(worker: Worker, name: str) -> Iterator[Attack]:
    made = Attack(worker, name)
    try:
        yield made
    finally:
        grown = made.end()
    assert grown < MOST_GROWTH
    print(f"{name}: grown by {grown / 1e6:.0f} MB")  # noqa: T201


def report(name: str, told: dict[str, int], waits: list[float]) -> None:
    """Figures, for who runs this with `-s`."""
    print(f"{name}: {told}; waits {[round(wait, 3) for wait in waits]} s")  # noqa: T201


def wait_for(condition: Any, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("wrong_fields", {"INVALID_ARGUMENT", "UNIMPLEMENTED"}),
        ("half_frames", {"OK"}),
        ("big_messages", {"RESOURCE_EXHAUSTED"}),
        ("listens_never", {"DEADLINE_EXCEEDED"}),
        ("opens", {"RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "HELD"}),
    ],
)
def test_a_bad_client_harms_no_other_recognition(asr: Worker, name: str, expected: set[str]) -> None:
    with calling(asr) as caller:
        before = len(caller.waits)
        with attack(asr, name) as bad:
            told = bad.told()
        wait_for(lambda: len(caller.waits) > before, 30.0)
    report(name, told, caller.waits)
    assert set(told) <= expected | {"CANCELLED", UNTOLD}
    assert max(caller.waits[before:]) < caller.waits[0] + LATER


@pytest.mark.parametrize("name", ["vanishes", "stops"])
def test_a_client_that_is_gone_gives_back_what_it_held(asr: Worker, name: str) -> None:
    with calling(asr) as caller, attack(asr, name) as bad:
        before = len(caller.waits)
        assert bad.process.stdout is not None
        assert bad.process.stdout.readline() == "{}\n"
        wait_for(lambda: asr.running() == 1, 30.0)
        wait_for(lambda: len(caller.waits) > before, 30.0)
    report(name, {}, caller.waits)
    assert max(caller.waits) < caller.waits[0] + LATER


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("speaks_never_read", {"DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}),
        ("text_forever", {"RESOURCE_EXHAUSTED"}),
        ("opens_texts", {"RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "HELD"}),
    ],
)
def test_a_bad_client_harms_no_other_voice(tts: Worker, name: str, expected: set[str]) -> None:
    with listening(tts) as listener:
        before = len(listener.waits)
        with attack(tts, name) as bad:
            told = bad.told()
        wait_for(lambda: len(listener.waits) > before, 30.0)
    report(name, told, listener.waits)
    assert set(told) <= expected | {"CANCELLED", UNTOLD}
    assert max(listener.waits[before:]) < listener.waits[0] + LATER


def test_memory_is_level_after_all_of_it(asr: Worker) -> None:
    """The second round of the heaviest attack adds nothing to the first."""
    levels = []
    for _ in range(2):
        with attack(asr, "opens") as bad:
            bad.told()
        levels.append(asr.memory())
    print(f"levels: {[round(level / 1e6) for level in levels]} MB")  # noqa: T201
    assert levels[1] - levels[0] < 50_000_000
