from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from callers.g711 import Pcm
from callers.speech import (
    RATE,
    Prompt,
    build_track,
    levels_dbfs,
    load_prompts,
    read_wav,
    silence,
    voiced_pieces,
    voiced_span,
    write_wav,
)


def tone(seconds: float, peak: int = 8000) -> Pcm:
    pcm: Pcm = (peak * np.sin(np.arange(round(seconds * RATE)) * 0.5)).astype(np.int16)
    return pcm


def test_wav_round_trip(tmp_path: Path) -> None:
    pcm = tone(0.1)
    assert np.array_equal(read_wav(write_wav(tmp_path / "a.wav", pcm)), pcm)


def test_level_of_full_scale_is_zero() -> None:
    loud = np.full(160, 32767, dtype=np.int16)
    assert levels_dbfs(loud) == pytest.approx([0.0, 0.0], abs=0.01)


def test_voiced_span_leaves_silence_and_faint_noise_out() -> None:
    pcm = np.concatenate([silence(0.2), tone(0.3), silence(0.1), tone(0.2), tone(0.5, peak=20)])
    assert voiced_span(pcm) == (round(0.2 * RATE), round(0.8 * RATE))
    assert voiced_span(silence(0.5)) == (0, 0)
    assert not len(voiced_pieces(silence(0)))


def test_track_knows_where_each_prompt_is_spoken() -> None:
    prompt = Prompt("p", "words", np.concatenate([silence(0.1), tone(0.4), silence(0.2)]))
    track = build_track([prompt, prompt], lead=1.0, gap=2.0, tail=0.5)
    assert track.seconds == pytest.approx(1.0 + 0.7 + 2.0 + 0.7 + 0.5)
    spans = [(spoken.start / RATE, spoken.end / RATE) for spoken in track.spoken]
    assert spans == [pytest.approx((1.1, 1.5)), pytest.approx((3.8, 4.2))]


def test_ulaw_file_has_one_byte_per_sample(tmp_path: Path) -> None:
    track = build_track([Prompt("p", "x", tone(0.1))], lead=0.1, gap=0, tail=0.1)
    assert len(track.write_ulaw(tmp_path / "t.ulaw").read_bytes()) == len(track.pcm)


def test_prompts_come_from_the_folder_list(tmp_path: Path) -> None:
    write_wav(tmp_path / "one.wav", tone(0.05))
    (tmp_path / "prompts.tsv").write_text('one.wav\tSay "hello".\n\n', encoding="utf-8")
    (prompt,) = load_prompts(tmp_path)
    assert (prompt.name, prompt.text, len(prompt.pcm)) == ("one", 'Say "hello".', 400)
