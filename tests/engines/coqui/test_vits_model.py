"""VITS' real loading and speaking, on the processor, with a small random voice."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.gpu_engines
torch = pytest.importorskip("torch")
pytest.importorskip("TTS")

from benchmarks import coqui_models  # noqa: E402
from engines.coqui.checkpoint import find  # noqa: E402
from engines.coqui.reading import stretches  # noqa: E402
from engines.coqui.vits_model import TAIL, Sentence, VitsModel  # noqa: E402
from engines.models.base import ModelError, ModelUnfit  # noqa: E402

TEXTS = ["Hello there, this is a test.", "Yes.", "How can I help you today, my friend?"]


@pytest.fixture(scope="module")
def model(vits_folder: Path) -> VitsModel:
    torch.set_num_threads(1)
    return VitsModel(find(vits_folder, "vits"), "cpu")


def read(model: VitsModel, text: str, number: int = 0, speed: float = 1.0) -> Sentence:
    return model.sentence(stretches(text, "en")[0], model.voices[number % len(model.voices)], speed)


def test_a_voice_tells_its_speakers_and_reads_as_the_library_does(model: VitsModel) -> None:
    assert model.voices == ("speaker0", "speaker1", "speaker2")
    assert model.languages == ("en",) and model.rate == 22050
    for text in TEXTS:
        said = stretches(text, "en")[0].text
        assert list(read(model, text).ids) == model.library.tokenizer.text_to_ids(said)


def test_how_a_sentence_sounds_does_not_depend_on_its_neighbours(model: VitsModel) -> None:
    sentences = [read(model, text, number) for number, text in enumerate(TEXTS)]
    alone = [model.speak([sentence])[0] for sentence in sentences]
    for order in ([0, 1, 2], [2, 1, 0], [1, 1, 0, 2]):
        for number, said in zip(order, model.speak([sentences[n] for n in order]), strict=True):
            assert said.spans == alone[number].spans
            assert np.abs(said.pcm - alone[number].pcm).max() < 1e-5
    assert np.abs(alone[0].pcm).max() > 1e-3


def test_without_noise_it_is_the_librarys_own_speech_but_for_the_very_end(model: VitsModel) -> None:
    library = model.library
    told = library.inference_noise_scale, library.inference_noise_scale_dp
    library.inference_noise_scale = library.inference_noise_scale_dp = 0.0
    try:
        for number, text in enumerate(TEXTS):
            sentence = read(model, text, number)
            ours = model.speak([sentence])[0].pcm
            with torch.inference_mode():
                theirs = library.inference(
                    torch.tensor([sentence.ids]),
                    aux_input={
                        "x_lengths": torch.tensor([len(sentence.ids)]),
                        "speaker_ids": torch.tensor([number]),
                    },
                )["model_outputs"][0, 0].numpy()
            assert len(ours) == len(theirs)
            same = len(ours) - TAIL * 256
            assert same <= 0 or np.abs(ours[:same] - theirs[:same]).max() < 1e-5
    finally:
        library.inference_noise_scale, library.inference_noise_scale_dp = told


def test_each_sentence_of_a_batch_has_its_own_speed(model: VitsModel) -> None:
    text = TEXTS[2]
    before = model.library.length_scale
    slow, normal, fast = model.speak([read(model, text, speed=speed) for speed in (0.5, 1.0, 2.0)])
    assert len(slow.pcm) > 1.5 * len(normal.pcm) > 2 * len(fast.pcm)
    assert model.library.length_scale == before


def test_words_have_their_times_and_speakers_their_sound(model: VitsModel) -> None:
    sentence = read(model, TEXTS[0])
    said = model.speak([sentence])[0]
    assert len(said.spans) == 6
    times = [time for span in said.spans for time in span]
    assert times == sorted(times) and 0 < times[-1] <= len(said.pcm) / model.rate
    other = model.speak([read(model, TEXTS[0], 1)])[0]
    assert len(other.pcm) != len(said.pcm) or np.abs(other.pcm - said.pcm).max() > 1e-3


def copied(folder: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    return copy


def test_files_that_do_not_fit_are_told(vits_folder: Path, tmp_path: Path) -> None:
    copy = copied(vits_folder, tmp_path)
    arguments = dict(find(copy, "vits").config["model_args"])
    coqui_models.edited(copy, model_args={**arguments, "hidden_channels": 48})
    with pytest.raises(ModelUnfit, match=r"model.pth does not fit its config.json"):
        VitsModel(find(copy, "vits"), "cpu")
    coqui_models.edited(copy, model_args={**arguments, "num_layers_flow": "many"})
    with pytest.raises(ModelUnfit, match=r"config.json does not fit|does not fit its config.json"):
        VitsModel(find(copy, "vits"), "cpu")
    coqui_models.edited(copy, model_args=arguments)
    (copy / "speakers.json").write_text("[]")
    with pytest.raises(ModelError):
        VitsModel(find(copy, "vits"), "cpu")
    (copy / "speakers.json").unlink()
    with pytest.raises(ModelUnfit, match=r"names '/trained/elsewhere/speakers.json'"):
        VitsModel(find(copy, "vits"), "cpu")


def test_damaged_weights_are_told(vits_folder: Path, tmp_path: Path) -> None:
    copy = copied(vits_folder, tmp_path)
    whole = (copy / "model.pth").read_bytes()
    (copy / "model.pth").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(ModelUnfit, match="is damaged"):
        VitsModel(find(copy, "vits"), "cpu")
    torch.save({"weights": {}}, copy / "model.pth")
    with pytest.raises(ModelUnfit, match="no part called 'model'"):
        VitsModel(find(copy, "vits"), "cpu")


def test_numbers_that_are_no_sound_are_an_error(vits_folder: Path) -> None:
    from engines.base import EngineFailed

    broken: Any = VitsModel(find(vits_folder, "vits"), "cpu")
    with torch.no_grad():
        broken.library.waveform_decoder.conv_post.weight.fill_(float("nan"))
    with pytest.raises(EngineFailed, match="no sound"):
        broken.speak([read(broken, TEXTS[0])])
