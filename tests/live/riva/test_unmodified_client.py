"""Riva's own client, as it is published, against the embedded engines, with recorded speech."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import riva.client  # type: ignore[import-untyped]
import riva.client.argparse_utils  # type: ignore[import-untyped]

from benchmarks.wer import word_errors
from engines.embedded.hibari import HibariTts
from engines.embedded.moonshine import MoonshineAsr, MoonshineSettings
from engines.riva.wire import Status, grpc
from tests.engines.riva.fakes import Node, node_apart
from tests.engines.riva.sounds import SPEECH, recorded

pytestmark = pytest.mark.live

PROMPTS = [line.split("\t") for line in (SPEECH / "prompts.tsv").read_text(encoding="utf-8").splitlines()]


async def embedded() -> tuple[Any, Any]:
    asr, tts = MoonshineAsr(MoonshineSettings()), HibariTts()
    await asr.warm_up()
    await tts.warm_up()
    return asr, tts


@pytest.fixture(scope="module")
def server() -> Iterator[Node]:
    with node_apart(embedded) as made:
        yield made


@pytest.fixture
def auth(server: Node) -> Iterator[Any]:
    made = riva.client.Auth(uri=server.address)
    yield made
    made.channel.close()


def config(**fields: Any) -> Any:
    return riva.client.RecognitionConfig(language_code="en-US", max_alternatives=1, **fields)


def wrong(texts: list[str]) -> float:
    """Share of the prompts' words that were misheard."""
    counted = [word_errors(text, got) for (_, text), got in zip(PROMPTS, texts, strict=True)]
    return sum(errors for errors, _ in counted) / sum(words for _, words in counted)


def test_files_are_recognised_as_transcribe_file_offline_sends_them(auth: Any) -> None:
    service = riva.client.ASRService(auth)
    heard = []
    for name, _ in PROMPTS:
        answer = service.offline_recognize(
            (SPEECH / name).read_bytes(), config(enable_automatic_punctuation=True)
        )
        heard.append("".join(result.alternatives[0].transcript for result in answer.results))
    assert wrong(heard) < 0.08


def test_files_are_recognised_as_transcribe_file_streams_them(auth: Any) -> None:
    service = riva.client.ASRService(auth)
    heard = []
    for name, _ in PROMPTS:
        path = SPEECH / name
        streaming = riva.client.StreamingRecognitionConfig(config=config(), interim_results=True)
        riva.client.add_audio_file_specs_to_config(streaming, path)
        with riva.client.AudioChunkFileIterator(path, 1600) as chunks:
            found = [r for a in service.streaming_response_generator(chunks, streaming) for r in a.results]
        heard.append(" ".join(r.alternatives[0].transcript for r in found if r.is_final))
    assert wrong(heard) < 0.08
    assert all(text == text.lower() for text in heard)


@pytest.mark.parametrize("rate", [16000, 44100])
def test_raw_sound_of_other_rates_is_recognised(auth: Any, rate: int) -> None:
    pcm = recorded("vm-prev.wav")
    places = np.arange(len(pcm) * rate // 8000) * 8000 / rate
    raw = np.interp(places, np.arange(len(pcm)), pcm).astype(np.int16).tobytes()
    asked = config(encoding=riva.client.AudioEncoding.LINEAR_PCM, sample_rate_hertz=rate)
    answer = riva.client.ASRService(auth).offline_recognize(raw, asked)
    assert (
        word_errors("Press four for the previous message", answer.results[0].alternatives[0].transcript)[0]
        == 0
    )


def test_interims_come_while_somebody_speaks(auth: Any) -> None:
    path = SPEECH / "tt-monkeysintro.wav"
    streaming = riva.client.StreamingRecognitionConfig(config=config(), interim_results=True)
    riva.client.add_audio_file_specs_to_config(streaming, path)
    with riva.client.AudioChunkFileIterator(path, 800, riva.client.sleep_audio_length) as chunks:
        answers = riva.client.ASRService(auth).streaming_response_generator(chunks, streaming)
        told = [(r.is_final, r.alternatives[0].transcript) for a in answers for r in a.results]
    assert told[-1][0] and not told[0][0]
    assert told[-1][1].startswith(told[0][1])


def test_the_clients_printer_understands_our_answers(auth: Any, tmp_path: Path) -> None:
    service = riva.client.ASRService(auth)
    path = SPEECH / "vm-prev.wav"
    streaming = riva.client.StreamingRecognitionConfig(config=config(), interim_results=True)
    riva.client.add_audio_file_specs_to_config(streaming, path)
    out = tmp_path / "out.txt"
    with riva.client.AudioChunkFileIterator(path, 800) as chunks:
        answers = service.streaming_response_generator(chunks, streaming)
        riva.client.print_streaming(answers, output_file=str(out), additional_info="confidence")
    assert "## press four for the previous message" in out.read_text(encoding="utf-8")


def test_a_text_is_spoken_at_once_and_in_pieces(auth: Any) -> None:
    service = riva.client.SpeechSynthesisService(auth)
    text = "Your call is important to us. Please hold the line."
    whole = service.synthesize(text, sample_rate_hz=22050, enable_word_time_offsets=True)
    pieces = list(service.synthesize_online(text, sample_rate_hz=22050))
    assert len(pieces) > 2
    assert b"".join(piece.audio for piece in pieces) == whole.audio
    assert 2.0 < len(whole.audio) / 2 / 22050 < 8.0
    assert [word.word for word in whole.meta.words] == text.split()
    assert np.abs(np.frombuffer(whole.audio, np.int16)).max() > 3000


def test_what_we_speak_we_understand(auth: Any) -> None:
    said = riva.client.SpeechSynthesisService(auth).synthesize(
        "Please leave a message after the tone.", sample_rate_hz=16000
    )
    asked = config(encoding=riva.client.AudioEncoding.LINEAR_PCM, sample_rate_hertz=16000)
    answer = riva.client.ASRService(auth).offline_recognize(said.audio, asked)
    heard = answer.results[0].alternatives[0].transcript
    assert word_errors("please leave a message after the tone", heard)[0] <= 1


def test_the_client_is_told_what_is_served_and_what_is_not(auth: Any) -> None:
    service = riva.client.ASRService(auth)
    told = service.stub.GetRivaSpeechRecognitionConfig(
        riva.client.proto.riva_asr_pb2.RivaSpeechRecognitionConfigRequest()
    )
    assert told.model_config[0].model_name == "moonshine"
    asked = config(encoding=riva.client.AudioEncoding.LINEAR_PCM, sample_rate_hertz=8000)
    riva.client.add_word_boosting_to_config(asked, ["Offhook"], 4.0)
    with pytest.raises(grpc.RpcError) as refused:
        service.offline_recognize(bytes(1600), asked)
    assert refused.value.code() is Status.UNIMPLEMENTED
    assert "speech_contexts" in refused.value.details()
    german = config(encoding=riva.client.AudioEncoding.LINEAR_PCM, sample_rate_hertz=8000)
    german.language_code = "de-DE"
    with pytest.raises(grpc.RpcError, match="English only"):
        service.offline_recognize(bytes(1600), german)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--language-code", "en-US"], riva.client.argparse_utils.EXIT_OK),
        (
            [
                "--automatic-punctuation",
                "--max-alternatives",
                "3",
                "--stop-history",
                "800",
                "--stop-history-eou",
                "240",
            ],
            riva.client.argparse_utils.EXIT_OK,
        ),
        (["--language-code", "de-DE"], riva.client.argparse_utils.EXIT_INVALID_ARGUMENT),
        (["--model-name", "parakeet"], riva.client.argparse_utils.EXIT_INVALID_ARGUMENT),
        (["--speaker-diarization"], riva.client.argparse_utils.EXIT_GENERIC_ERROR),
        (["--boosted-lm-words", "Offhook"], riva.client.argparse_utils.EXIT_GENERIC_ERROR),
    ],
)
def test_the_clients_own_command_line_works(
    server: Node, words: list[str], expected: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Arguments, helpers, printer and exit codes, as its transcription scripts put them together."""
    parser = argparse.ArgumentParser()
    tools = riva.client.argparse_utils
    tools.add_connection_argparse_parameters(parser)
    tools.add_asr_config_argparse_parameters(parser, max_alternatives=True, profanity_filter=True)
    chosen = parser.parse_args(["--server", server.address, *words])
    path = SPEECH / "vm-prev.wav"

    @tools.cli_main  # type: ignore[untyped-decorator]
    def main() -> None:
        made = riva.client.Auth(uri=chosen.server, use_ssl=chosen.use_ssl)
        asked = riva.client.RecognitionConfig(
            language_code=chosen.language_code,
            model=chosen.model_name,
            max_alternatives=chosen.max_alternatives,
            profanity_filter=chosen.profanity_filter,
            enable_automatic_punctuation=chosen.automatic_punctuation,
            verbatim_transcripts=not chosen.no_verbatim_transcripts,
        )
        riva.client.add_word_boosting_to_config(asked, chosen.boosted_lm_words, chosen.boosted_lm_score)
        riva.client.add_speaker_diarization_to_config(
            asked, chosen.speaker_diarization, chosen.diarization_max_speakers
        )
        riva.client.add_endpoint_parameters_to_config(
            asked,
            chosen.start_history,
            chosen.start_threshold,
            chosen.stop_history,
            chosen.stop_history_eou,
            chosen.stop_threshold,
            chosen.stop_threshold_eou,
        )
        riva.client.add_custom_configuration_to_config(asked, chosen.custom_configuration)
        try:
            service = riva.client.ASRService(made)
            riva.client.print_offline(service.offline_recognize(path.read_bytes(), asked))
        finally:
            made.channel.close()

    assert main() == expected
    told = capsys.readouterr()
    if expected == tools.EXIT_OK:
        assert "final transcript: press" in told.out.lower()
    else:
        assert any(
            name in told.err for name in ("hears English only", "model:", "diarization", "speech_contexts")
        )
