"""XTTS' real loading and stepping, on the processor, with a small random model."""

from __future__ import annotations

import pickle
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.gpu_engines
torch = pytest.importorskip("torch")
pytest.importorskip("TTS")

from benchmarks import coqui_models  # noqa: E402
from engines.coqui.checkpoint import find  # noqa: E402
from engines.coqui.xtts_model import XttsModel  # noqa: E402
from engines.coqui.xtts_voices import Speaker, speakers  # noqa: E402
from engines.models.base import ModelError, ModelUnfit  # noqa: E402

TEXTS = ["hello thank you", "how can i help you today thank you for calling", "you"]
STEPS = 30


def loaded(folder: Path, greedy: bool = True) -> tuple[XttsModel, Speaker]:
    torch.set_num_threads(1)
    checkpoint = find(folder, "xtts")
    model = XttsModel(checkpoint, "cpu", greedy)
    return model, speakers(model.library, checkpoint, {}, "")["Random One"]


@pytest.fixture(scope="module")
def model(xtts_folder: Path) -> tuple[XttsModel, Speaker]:
    return loaded(xtts_folder)


def reference(model: XttsModel, speaker: Speaker, text: str, tokens: int) -> tuple[list[int], Any]:
    """Tokens and latents of the library's own generator, made to always take the likeliest token."""
    xtts = model.library
    if not hasattr(xtts.gpt, "gpt_inference"):
        xtts.gpt.init_gpt_for_inference(kv_cache=True)
        xtts.gpt.eval()
    with torch.inference_mode():
        ids = torch.IntTensor(xtts.tokenizer.encode(text, lang="en")).unsqueeze(0)
        generator = xtts.gpt.get_generator(
            fake_inputs=xtts.gpt.compute_embeddings(speaker.style, ids),
            top_k=1, top_p=1.0, temperature=1.0, do_sample=True, num_beams=1, num_return_sequences=1,
            length_penalty=1.0, repetition_penalty=float(xtts.config.repetition_penalty),
            output_attentions=False, output_hidden_states=True, return_dict_in_generate=True,
        )  # fmt: skip
        made = []
        for _, step in zip(range(tokens), generator, strict=False):
            made.append(step)
        generator.close()
    return [int(token) for token, _ in made], torch.cat([latent for _, latent in made])


def spoken(model: XttsModel, speaker: Speaker, speed: float = 1.0) -> tuple[dict[int, Any], dict[int, Any]]:
    """All texts at once, the last joining late, one standing aside for a while; tokens' rows and waves."""
    prompts = {row: model.prompt(text, "en", speaker, speed) for row, text in enumerate(TEXTS)}
    waves = defaultdict(list)
    model.read({0: prompts[0], 1: prompts[1]})
    for step in range(STEPS):
        if step == 5:
            model.read({2: prompts[2]})
        now = [0, 1] if step < 5 else [1, 2] if 10 <= step < 15 else [0, 1, 2]
        model.step([row for row in now if not model._rows.rows[row].ended])
        if step % 7 == 6:
            for row, wave in model.voice([0, 1, 2] if step > 5 else [0, 1]).items():
                waves[row].append(wave)
    rows = dict(model._rows.rows)
    for row in rows.values():
        row.ended = True
    for number, wave in model.voice([0, 1, 2]).items():
        waves[number].append(wave)
    return rows, {row: np.concatenate(parts) for row, parts in waves.items()}


@pytest.fixture(autouse=True)
def no_rows(request: pytest.FixtureRequest) -> Any:
    yield
    if "model" in request.fixturenames:
        made = request.getfixturevalue("model")[0]
        for row in list(made._rows.rows):
            made.forget(row)


def test_the_same_tokens_as_the_librarys_own_generator_whoever_else_speaks(model: Any) -> None:
    xtts, speaker = model
    rows, _ = spoken(xtts, speaker)
    for number, text in enumerate(TEXTS):
        row = rows[number]
        assert row.count >= 20
        _, latents = reference(xtts, speaker, text, row.count)
        assert (latents - row.latents[: row.count]).abs().max() < 1e-5


@pytest.mark.parametrize("speed", [1.0, 1.3, 0.7])
def test_windows_joined_are_the_whole_within_a_hundred_thousandth(model: Any, speed: float) -> None:
    xtts, speaker = model
    rows, waves = spoken(xtts, speaker, speed)
    for number, row in rows.items():
        latents = row.latents[None, : row.count]
        with torch.inference_mode():
            if speed != 1:
                wide = torch.nn.functional.interpolate(
                    latents.transpose(1, 2), scale_factor=1 / speed, mode="linear"
                )
                latents = wide.transpose(1, 2)
            whole = xtts.library.hifigan_decoder(latents, g=speaker.timbre).squeeze().numpy()
        assert len(waves[number]) == len(whole)
        assert np.abs(waves[number] - whole).max() < 1e-5


def test_drawn_tokens_do_not_depend_on_the_neighbours(xtts_folder: Path) -> None:
    drawn, speaker = loaded(xtts_folder, greedy=False)
    prompts = [drawn.prompt(text, "en", speaker, 1.0) for text in TEXTS]
    alone = []
    for number, prompt in enumerate(prompts):
        drawn.read({number: prompt})
        taken = [drawn._rows.rows[number].token]
        for _ in range(25):
            drawn.step([number])
            taken.append(drawn._rows.rows[number].token)
        alone.append(taken)
        drawn.forget(number)
    drawn.read(dict(enumerate(prompts)))
    together = [[drawn._rows.rows[number].token] for number in range(3)]
    for _ in range(25):
        drawn.step([0, 1, 2])
        for number in range(3):
            together[number].append(drawn._rows.rows[number].token)
    assert together == alone
    assert len({tuple(taken) for taken in alone}) == 3


def test_a_row_ends_at_the_models_limit_and_is_freed(model: Any) -> None:
    xtts, speaker = model
    xtts.read({7: xtts.prompt("you", "en", speaker, 1.0)})
    steps = 2
    while not xtts.step([7]):
        steps += 1
    assert steps <= xtts.library.gpt.max_gen_mel_tokens
    assert len(xtts.voice([7])[7]) / xtts.rate == pytest.approx(steps * xtts.token, abs=0.03)
    xtts.forget(7)
    assert not xtts._rows.rows and not xtts._rows._batch.ids and not xtts._rows._batch.aside


def damaged(folder: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    return copy


def test_a_damaged_file_is_told_as_such(xtts_folder: Path, tmp_path: Path) -> None:
    copy = damaged(xtts_folder, tmp_path)
    whole = (copy / "model.pth").read_bytes()
    (copy / "model.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelUnfit, match="model.pth is damaged"):
        loaded(copy)
    (copy / "model.pth").write_bytes(b"not weights at all")
    with pytest.raises(ModelUnfit, match="model.pth is (damaged|refused)"):
        loaded(copy)


class Trap:
    """Whoever unpickles it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("name", ["model.pth", "speakers_xtts.pth"])
def test_a_file_that_carries_code_is_refused_and_runs_nothing(
    xtts_folder: Path, tmp_path: Path, name: str
) -> None:
    copy, mark = damaged(xtts_folder, tmp_path), tmp_path / "mark"
    torch.save({"model": Trap(mark)}, copy / name)
    with pytest.raises(ModelUnfit, match=f"{name} is refused, for it holds more than weights"):
        loaded(copy)
    (copy / name).write_bytes(pickle.dumps({"model": Trap(mark)}))
    with pytest.raises(ModelUnfit):
        loaded(copy)
    assert not mark.exists()


def test_the_published_files_own_settings_classes_are_read_and_nothing_is_rewritten(
    xtts_folder: Path, tmp_path: Path
) -> None:
    """The published checkpoint carries its settings as objects, two of them under an address that moved."""
    from TTS.tts.configs.xtts_config import XttsArgs, XttsAudioConfig, XttsConfig

    copy = damaged(xtts_folder, tmp_path)
    held = torch.load(copy / "model.pth", weights_only=True)
    now = XttsArgs.__module__
    XttsArgs.__module__ = XttsAudioConfig.__module__ = "TTS.tts.models.xtts"
    try:
        torch.save({**held, "config": XttsConfig()}, copy / "model.pth")
    finally:
        XttsArgs.__module__ = XttsAudioConfig.__module__ = now
    before = (copy / "model.pth").read_bytes()
    assert b"TTS.tts.models.xtts" in before
    (copy / "model.pth").chmod(0o444)
    loaded(copy)
    assert (copy / "model.pth").read_bytes() == before


def test_weights_of_another_model_are_refused(xtts_folder: Path, tmp_path: Path) -> None:
    copy = damaged(xtts_folder, tmp_path)
    arguments = find(copy, "xtts").config["model_args"]
    coqui_models.edited(copy, model_args={**arguments, "gpt_layers": 3})
    with pytest.raises(ModelUnfit, match="model.pth does not fit its config.json"):
        loaded(copy)


def test_a_missing_or_broken_vocabulary_is_told(xtts_folder: Path, tmp_path: Path) -> None:
    copy = damaged(xtts_folder, tmp_path)
    (copy / "vocab.json").write_text("{}")
    with pytest.raises(ModelUnfit, match=r"vocab.json is no vocabulary"):
        loaded(copy)
    (copy / "vocab.json").unlink()
    with pytest.raises(ModelError, match=r"holds no vocab.json"):
        loaded(copy)


def test_a_voice_is_taken_from_a_recording_once(xtts_folder: Path, tmp_path: Path, model: Any) -> None:
    import soundfile

    wave = 0.1 * np.random.default_rng(0).standard_normal(3 * 16000)
    soundfile.write(tmp_path / "anna.wav", wave.astype(np.float32), 16000)
    checkpoint, kept = find(xtts_folder, "xtts"), str(tmp_path / "kept")
    library = model[0].library
    named = {"anna": str(tmp_path / "anna.wav")}
    first = speakers(library, checkpoint, named, kept)
    assert list(first) == ["anna", "Random One"]
    assert first["anna"].style.shape == (1, 32, 64) and first["anna"].timbre.shape == (1, 512, 1)
    (again,) = Path(kept).iterdir()
    stamp = again.stat().st_mtime_ns
    second = speakers(library, checkpoint, named, kept)
    assert torch.equal(first["anna"].style, second["anna"].style) and again.stat().st_mtime_ns == stamp
    soundfile.write(tmp_path / "short.wav", wave[:4000], 16000)
    (tmp_path / "text.wav").write_text("hello")
    for name, reason in (("short.wav", "too short"), ("text.wav", "no recording"), ("no.wav", "not exist")):
        with pytest.raises(ModelError, match=reason):
            speakers(library, checkpoint, {"x": str(tmp_path / name)}, "")


def test_a_device_that_is_not_there_is_told() -> None:
    from engines.coqui import weights

    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="sees no GPU; choose auto or cpu"):
            weights.device("cuda")
    with pytest.raises(ModelError, match="choose auto, cpu or cuda"):
        weights.device("toaster")
