"""`offhook asr` with a NeMo engine as an operator starts it, used by Riva's published client."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.gpu_engines
pytest.importorskip("nemo")

import riva.client  # type: ignore[import-untyped]  # noqa: E402

from engines.riva.wire import Status, grpc, health_pb2, health_pb2_grpc  # noqa: E402
from media.frame import Pcm  # noqa: E402
from tests.engines.nemo.conftest import MakeModel  # noqa: E402
from tests.engines.nemo.reference import Reference  # noqa: E402
from tests.engines.nemo.streams import noise  # noqa: E402

_READY_S = 120.0
ROOT = Path(__file__).parents[3]


def free_ports() -> int:
    """The first of two ports that are free."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def worker(folder: Path, **settings: object) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """`offhook asr` with these engine settings; its gRPC port, once it is ready."""
    port = free_ports()
    config = folder / "offhook.yaml"
    config.write_text(
        json.dumps({
            "asr": {"engine": "nemo", "settings": settings},
            "asr_worker": {"grpc": {"port": port}, "http": {"port": port + 1}},
        })
    )  # fmt: skip
    run = [sys.executable, "-c", "from gateway.cli import main; main()", "asr", "-c", str(config)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(run, env=environ, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        try:
            yield port, process
        finally:
            process.terminate()
            process.communicate(timeout=30)


def wait_ready(port: int, process: subprocess.Popen[bytes]) -> set[str]:
    """Every state that `/health` told on the way to ready."""
    states: set[str] = set()
    until = time.monotonic() + _READY_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port + 1}/health", timeout=1) as answer:
                states.add(json.load(answer)["state"])
        except urllib.error.HTTPError as error:
            states.add(json.load(error)["state"])
        except OSError:
            pass
        if "ready" in states:
            return states
        time.sleep(0.2)
    raise AssertionError(f"not ready, but {states}")


@pytest.fixture(scope="module")
def served(nemo_file: MakeModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("worker")
    with worker(folder, model=str(nemo_file("hybrid")), max_streams=6, threads=1) as (port, process):
        assert "warming" in wait_ready(port, process)
        yield port


@pytest.fixture
def service(served: int) -> Iterator[Any]:
    auth = riva.client.Auth(uri=f"127.0.0.1:{served}")
    yield riva.client.ASRService(auth)
    auth.channel.close()


def asked(**fields: Any) -> Any:
    return riva.client.RecognitionConfig(
        encoding=riva.client.AudioEncoding.LINEAR_PCM,
        sample_rate_hertz=16000,
        language_code="en-US",
        max_alternatives=1,
        **fields,
    )


def streamed(service: Any, pcm: Pcm, config: Any, pause: float = 0.0) -> list[Any]:
    """All results of one stream, by the client's own generator."""
    pieces = [pcm[place : place + 1600].tobytes() for place in range(0, len(pcm), 1600)]

    def chunks() -> Iterator[bytes]:
        for piece in pieces:
            time.sleep(pause)
            yield piece

    streaming = riva.client.StreamingRecognitionConfig(config=config, interim_results=True)
    answers = service.streaming_response_generator(chunks(), streaming)
    return [result for answer in answers for result in answer.results]


def texts(results: list[Any], final: bool) -> list[str]:
    return [r.alternatives[0].transcript.strip() for r in results if r.is_final == final]


def test_a_recording_gives_the_words_that_nemo_itself_writes(service: Any, nemo_file: MakeModel) -> None:
    sound = noise(21, 2.0)
    reference = Reference(nemo_file("hybrid"), 160, "rnnt")
    said = reference.model.tokenizer.ids_to_text(reference.written(sound))
    config = by_caller(asked(enable_word_time_offsets=True))
    results = streamed(service, sound, config, pause=0.1)
    (final,) = [result for result in results if result.is_final]
    assert " ".join(final.alternatives[0].transcript.split()) == " ".join(said.split())
    words = final.alternatives[0].words
    assert [word.word for word in words] == said.split()
    assert 0 <= words[0].start_time < words[-1].end_time <= 2080
    whole = final.alternatives[0].transcript
    interims = texts(results, final=False)
    assert len(interims) >= 2 and all(whole.startswith(interim) for interim in interims)


def test_words_come_while_the_caller_still_speaks(service: Any) -> None:
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(40):
            time.sleep(0.05)
            sent += 1
            yield noise(22, 0.1).tobytes()

    streaming = riva.client.StreamingRecognitionConfig(config=by_caller(asked()), interim_results=True)
    answers = service.streaming_response_generator(chunks(), streaming)
    first = next(result for answer in answers for result in answer.results)
    assert not first.is_final and first.alternatives[0].transcript and sent < 20
    assert any(result.is_final for answer in answers for result in answer.results)


def by_caller(config: Any) -> Any:
    """One segment, which the client ends itself: so that our endpointing has no part in the words."""
    from engines.riva.dialect import BY_CALLER, SEGMENTS

    config.custom_configuration[SEGMENTS] = BY_CALLER
    return config


def test_many_clients_at_once_hear_what_each_hears_alone(service: Any) -> None:
    sounds = [noise(30 + number, 1.1 + 0.3 * number) for number in range(4)]
    alone = [texts(streamed(service, sound, by_caller(asked())), final=True) for sound in sounds]
    together: list[list[str]] = [[] for _ in sounds]

    def one(place: int) -> None:
        heard = streamed(service, sounds[place], by_caller(asked()), pause=0.01 * (1 + place))
        together[place] = texts(heard, final=True)

    threads = [threading.Thread(target=one, args=(place,)) for place in range(len(sounds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone and all(alone)


def test_offline_recognition_and_other_rates_work(service: Any) -> None:
    sound = noise(40, 1.5)
    answer = service.offline_recognize(sound.tobytes(), asked())
    assert answer.results[0].alternatives[0].transcript
    eight = asked()
    eight.sample_rate_hertz = 8000
    assert service.offline_recognize(sound[::2].tobytes(), eight).results[0].alternatives[0].transcript


def test_hot_words_are_honoured_and_the_unknown_is_refused(service: Any) -> None:
    sound = noise(41, 2.0)
    plain = texts(streamed(service, sound, by_caller(asked())), final=True)
    config = by_caller(asked())
    riva.client.add_word_boosting_to_config(config, ["billing department", "hello"], 20.0)
    assert texts(streamed(service, sound, config), final=True) != plain
    with pytest.raises(grpc.RpcError) as refused:
        service.offline_recognize(bytes(3200), asked(enable_automatic_punctuation=True))
    assert refused.value.code() is Status.UNIMPLEMENTED and "punctuation" in refused.value.details()
    german = asked()
    german.language_code = "de-DE"
    with pytest.raises(grpc.RpcError, match="hears en-US, not de-DE"):
        service.offline_recognize(bytes(3200), german)


def test_the_worker_lists_its_health(served: int) -> None:
    """The library in this environment asks for it, unlike the one beside the embedded engines."""
    with grpc.insecure_channel(f"127.0.0.1:{served}") as channel:
        told = health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest())
    assert told.statuses["nvidia.riva.asr.RivaSpeechRecognition"].status == 1


def test_clients_that_vanish_leave_no_stream_behind(served: int, service: Any) -> None:
    for _ in range(12):  # twice as many as there are slots
        auth = riva.client.Auth(uri=f"127.0.0.1:{served}")
        streaming = riva.client.StreamingRecognitionConfig(config=by_caller(asked()), interim_results=True)
        generator = riva.client.ASRService(auth).streaming_response_generator(
            (noise(50, 0.5).tobytes() for _ in range(40)), streaming
        )
        next(iter(generator))
        auth.channel.close()
    until = time.monotonic() + 10
    while _metric(served, "streams") and time.monotonic() < until:
        time.sleep(0.1)
    assert _metric(served, "streams") == 0
    assert texts(streamed(service, noise(51, 1.0), by_caller(asked())), final=True)


def _metric(port: int, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port + 1}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    values = [line for line in lines if f'"{name}"' in line and "engine" in line]
    assert values, f"no metric tells {name}"
    return float(values[0].rpartition(" ")[2])


def test_a_model_that_cannot_stream_stops_the_worker_with_the_reason(
    nemo_file: MakeModel, tmp_path: Path
) -> None:
    with worker(tmp_path, model=str(nemo_file("hybrid")), chunk_ms=240) as (_, process):
        _, told = process.communicate(timeout=60)
    assert process.returncode == 2
    assert b"not trained for 240, but for 160, 560, 1120, 80" in told


def test_marks_and_capitals_come_through(nemo_file: MakeModel, tmp_path: Path) -> None:
    with worker(tmp_path, model=str(nemo_file("rnnt", punctuation=True)), threads=1) as (port, process):
        wait_ready(port, process)
        auth = riva.client.Auth(uri=f"127.0.0.1:{port}")
        service = riva.client.ASRService(auth)
        sounds = [noise(60 + number, 3.0) for number in range(4)]
        config = asked(enable_automatic_punctuation=True)
        marked = " ".join(
            text
            for sound in sounds
            for text in texts(streamed(service, sound, by_caller(config)), final=True)
        )
        plain = texts(streamed(service, sounds[0], by_caller(asked())), final=True)[0]
        auth.channel.close()
    assert set(marked) & set(".?,") or any(letter.isupper() for letter in marked)
    assert plain == plain.lower() and not np.isin(list(plain), list(".?,")).any()
