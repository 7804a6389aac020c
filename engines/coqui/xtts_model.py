"""An XTTS model as the engine uses it: prompts, tokens for all rows, samples from a window of frames."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from TTS.tts.configs.xtts_config import XttsConfig
from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer
from TTS.tts.models.xtts import Xtts

from engines.base import EngineFailed, EngineRefused
from engines.coqui import weights
from engines.coqui.checkpoint import VOCABULARY, Checkpoint
from engines.coqui.window import Interpolation
from engines.coqui.xtts_rows import Past, Sampling, TokenRow, TokenRows
from engines.coqui.xtts_voices import Speaker
from engines.loudness import Samples
from engines.models.base import ModelUnfit

BEFORE = 14
"""Frames of context before a window: as far back as the vocoder sees."""
AFTER = 8
"""Frames of context after it: 85 ms, beyond which the vocoder's answer moves by 0.000 01 of full scale at
most."""
_TRAINING_ONLY = ("torch_mel_spectrogram_style_encoder", "torch_mel_spectrogram_dvae", "dvae")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text that is ready to be spoken."""

    ids: tuple[int, ...]
    speaker: Speaker
    speed: float
    seed: int

    @property
    def length(self) -> int:
        """Places that are read for it, its voice's opening not counted, which is read once."""
        return len(self.ids) + 3


class XttsModel:
    """A loaded model. Everything but `prompt` runs in the one thread that owns it."""

    def __init__(self, checkpoint: Checkpoint, device: str, greedy: bool = False) -> None:
        """Load the weights. Raises `ModelError`."""
        self.device = weights.device(device)
        self._xtts = _loaded(checkpoint, self.device)
        config, args = self._xtts.config, self._xtts.args
        self.rate = int(args.output_sample_rate)
        self.token = args.gpt_code_stride_len / args.input_sample_rate
        self._hop = int(args.output_hop_length)
        scales = (args.gpt_code_stride_len / self._hop, self.rate / args.input_sample_rate)
        self._scales: tuple[float, ...] = scales if scales[1] != 1 else scales[:1]
        self.held = self._held()
        self.languages = tuple(config.languages)
        sampling = Sampling(config.temperature, config.top_k, config.top_p, config.repetition_penalty, greedy)
        self._rows = TokenRows(self._xtts.gpt, sampling, self.device)
        self._openings: dict[str, Past] = {}

    def _held(self) -> float:
        """Seconds at a chunk's end, at most, that must wait for what follows."""
        settled = self._interpolation(1.0).settled
        frame = self._hop / self.rate
        held: float = max(n * self.token - (settled(n) - AFTER) * frame for n in range(4, 100))
        return held

    @property
    def library(self) -> Any:
        """The library's own model, for what is done once, such as taking a voice from a recording."""
        return self._xtts

    def longest(self, language: str) -> int:
        """Characters that the model was made for in that language."""
        return int(self._xtts.tokenizer.char_limits.get(language.split("-")[0], 250))

    def prompt(self, text: str, language: str, speaker: Speaker, speed: float) -> Prompt:
        """The text in the model's own letters. Thread-safe. Raises `EngineRefused` when it is too long."""
        ids = tuple(self._xtts.tokenizer.encode(text.strip().lower(), lang=language))
        most = self._xtts.args.gpt_max_text_tokens - 1
        if len(ids) > most:
            raise EngineRefused(f"{len(ids)} tokens are too many for one sentence: at most {most}")
        seed = zlib.crc32(f"{speaker.name}\n{language}\n{text}".encode())
        return Prompt(ids, speaker, speed, seed)

    @torch.inference_mode()
    def read(self, prompts: dict[int, Prompt]) -> tuple[int, ...]:
        """New rows with these prompts, and their first token; returns those that have all theirs now."""
        ended = self._rows.read(
            {row: (self._opening(p.speaker), self._embedded(p), p.seed) for row, p in prompts.items()}
        )
        for row, prompt in prompts.items():
            state = self._rows.rows[row]
            state.speaker, state.speed = prompt.speaker, prompt.speed
        return ended

    @torch.inference_mode()
    def step(self, rows: Sequence[int]) -> tuple[int, ...]:
        """One token for each of these rows; returns those that have all theirs now."""
        ended = self._rows.step(rows)
        for row in ended:
            self._rows.rest(row)
        return ended

    @torch.inference_mode()
    def voice(self, rows: Sequence[int]) -> dict[int, Samples]:
        """The samples that follow from the tokens since the last time; all of them once a row has ended."""
        windows = {row: self._window(self._rows.rows[row]) for row in rows}
        made: dict[int, Samples] = {row: np.zeros(0, np.float32) for row in rows}
        for group in _groups({row: window for row, window in windows.items() if window.last > window.first}):
            made.update(self._vocoded(group))
        for row, window in windows.items():
            self._rows.rows[row].voiced = max(window.first, window.last)
        return made

    def forget(self, row: int) -> None:
        """Free the row. Unknown ones are ignored."""
        self._rows.forget(row)

    def _embedded(self, prompt: Prompt) -> torch.Tensor:
        gpt = self._xtts.gpt
        ids = (gpt.start_text_token, *prompt.ids, gpt.stop_text_token)
        text = torch.tensor([ids], dtype=torch.int, device=self.device)
        embedded: torch.Tensor = gpt.text_embedding(text) + gpt.text_pos_embedding(text)
        return embedded[0]

    def _opening(self, speaker: Speaker) -> Past:
        if speaker.name not in self._openings:
            self._openings[speaker.name] = self._rows.opening(speaker.style)
        return self._openings[speaker.name]

    def _interpolation(self, speed: float) -> Interpolation:
        return Interpolation(self._scales if speed == 1 else (1 / speed, *self._scales))

    def _window(self, row: TokenRow) -> Window:
        """Frames that can be voiced now, and those around them."""
        stages = self._interpolation(row.speed)
        if row.ended:
            end = stages.length(row.count)
            return Window(row, stages, row.voiced, end, max(0, row.voiced - BEFORE), end)
        known = stages.settled(row.count)
        return Window(row, stages, row.voiced, known - AFTER, max(0, row.voiced - BEFORE), known)

    def _vocoded(self, group: dict[int, Window]) -> dict[int, Samples]:
        """Windows of one length in one go."""
        length = max(window.end - window.start for window in group.values())
        frames = []
        for window in group.values():
            start = max(0, window.end - length) if window.row.ended else window.start
            matrix, token = window.stages.weights(start, window.end, window.row.count)
            latents = window.row.latents[token : token + matrix.shape[1]]
            made = torch.from_numpy(matrix).to(self.device) @ latents
            frames.append(torch.nn.functional.pad(made, (0, 0, 0, length - len(made))))
            window.start = start
        speakers = torch.cat([window.row.speaker.timbre for window in group.values()])
        waves = self._xtts.hifigan_decoder.waveform_decoder(torch.stack(frames).transpose(1, 2), g=speakers)
        found: dict[int, Samples] = {}
        for wave, (row, window) in zip(waves[:, 0].float().cpu().numpy(), group.items(), strict=True):
            first, last = window.first - window.start, window.last - window.start
            found[row] = wave[first * self._hop : last * self._hop]
            if not np.isfinite(found[row]).all():
                raise EngineFailed("the model made numbers that are no sound")
        return found


@dataclass
class Window:
    """Frames `first` to `last` are to be samples; `start` to `end` go through the vocoder for that."""

    row: TokenRow
    stages: Interpolation
    first: int
    last: int
    start: int
    end: int


def _groups(windows: dict[int, Window]) -> list[dict[int, Window]]:
    """Windows that can go through the vocoder together.

    A window that ends before its passage does may be padded on the right, for what follows its context is cut
    off anyway. One at the end of its passage must keep its edge: it is lengthened on the left, if it can be.
    """
    if not windows:
        return []
    length = max(window.end - window.start for window in windows.values())
    fits = {r: w for r, w in windows.items() if not w.row.ended or w.end >= length}
    groups = [fits] if fits else []
    for row, window in windows.items():
        if row not in fits:
            groups.append({row: window})
    return groups


def _loaded(checkpoint: Checkpoint, device: torch.device) -> Any:
    vocabulary = checkpoint.folder / VOCABULARY
    try:
        tokenizer = VoiceBpeTokenizer(vocab_file=vocabulary)
    except Exception as error:  # the reader raises a bare Exception
        raise ModelUnfit(
            f"model: {vocabulary} is no vocabulary: {' '.join(str(error).split())[:200]}"
        ) from error
    with weights.fitting(checkpoint.config_file):
        config = XttsConfig()
        config.load_json(checkpoint.config_file)
        model = Xtts(config)
    with _published_classes():
        held = weights.state(checkpoint.weights)
    named = {key.removeprefix("xtts."): value for key, value in held.items()}
    named = {key: value for key, value in named.items() if key.split(".")[0] not in _TRAINING_ONLY}
    with weights.fitting(checkpoint.weights):
        model.tokenizer = tokenizer
        model.init_models()
        if any(key.startswith("gpt.gpt_inference.") for key in named):
            model.gpt.init_gpt_for_inference(kv_cache=True)
        model.load_state_dict(named, strict=True)
    model.gpt.eval()
    model.hifigan_decoder.eval()
    weights.plain(model.hifigan_decoder.waveform_decoder)
    return model.to(device)


@contextmanager
def _published_classes() -> Iterator[None]:
    """Allow the configuration classes that the published checkpoint carries, under their old address as well.

    They are plain records; the restricted reader still refuses everything else.
    """
    from TTS.config.shared_configs import BaseDatasetConfig
    from TTS.tts.configs.xtts_config import XttsArgs, XttsAudioConfig

    old = "TTS.tts.models.xtts."
    plain = [XttsConfig, XttsArgs, XttsAudioConfig, BaseDatasetConfig]
    with torch.serialization.safe_globals(
        [*plain, (XttsArgs, f"{old}XttsArgs"), (XttsAudioConfig, f"{old}XttsAudioConfig")]
    ):
        yield
