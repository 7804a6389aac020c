"""A Coqui VITS voice as the engine uses it: phonemes of a sentence, and many sentences to samples in one go.

The library's own inference reads its speed and its noise from attributes that all requests share, and draws
one noise for the whole batch. Here every sentence has its own: how it sounds depends on it alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from TTS.config import load_config
from TTS.tts.models.vits import Vits
from TTS.tts.utils.helpers import generate_path, sequence_mask
from TTS.tts.utils.text.tokenizer import TTSTokenizer

from engines.base import EngineFailed, EngineRefused
from engines.coqui import weights
from engines.coqui.alignment import owners
from engines.coqui.checkpoint import Checkpoint, inside
from engines.loudness import Samples
from engines.models.base import ModelError, ModelUnfit
from engines.text.stretches import Stretch

TAIL = 14
"""Silent frames after each sentence, as far as the vocoder sees, so that its end does not depend on what the
batch puts behind it."""
_LONGEST = 60.0
"""Seconds of one sentence; what would take longer is a broken model or text."""
_MOST_PHONEMES = 2000
_ONLY_VOICE = "voice"


@dataclass(frozen=True, slots=True)
class Sentence:
    """One stretch of text as the model reads it."""

    ids: tuple[int, ...]
    owners: tuple[int, ...]
    """The spoken word that each phoneme belongs to, -1 for none."""
    words: int
    voice: str
    speed: float
    seed: int


@dataclass(frozen=True, slots=True)
class Said:
    """What became of a sentence."""

    pcm: Samples
    spans: tuple[tuple[float, float], ...]
    """Start and end in seconds of each spoken word."""


class VitsModel:
    """A loaded voice. Everything but `sentence` runs in the one thread that owns it."""

    def __init__(self, checkpoint: Checkpoint, device: str) -> None:
        """Load the weights. Raises `ModelError`."""
        self.device = weights.device(device)
        self._vits, self._speakers = _loaded(checkpoint, self.device)
        self._tokenizer: TTSTokenizer = self._vits.tokenizer
        config = self._vits.config
        self.rate = int(config.audio.sample_rate)
        self._hop = int(np.prod(self._vits.args.upsample_rates_decoder))
        self.voices: tuple[str, ...] = tuple(self._speakers) or (_ONLY_VOICE,)
        self._language = str(config.phoneme_language or "en")
        self.languages: tuple[str, ...] = (_tag(self._language),)

    @property
    def library(self) -> Any:
        """The library's own model."""
        return self._vits

    def sentence(self, stretch: Stretch, voice: str, speed: float) -> Sentence:
        """The stretch in phonemes. Thread-safe. Raises `EngineRefused` when it is too long."""
        symbols = self._symbols(stretch.text)
        words = [part for word in stretch.words for part in word.spoken.split()]
        owner = owners(words, symbols)
        known = [(symbol, mine) for symbol, mine in zip(symbols, owner, strict=True) if self._known(symbol)]
        ids = [self._tokenizer.characters.char_to_id(symbol) for symbol, _ in known]
        mine = [word for _, word in known]
        if self._tokenizer.add_blank:
            ids = self._tokenizer.intersperse_blank_char(ids)
            mine = [-1, *(word for own in mine for word in (own, own))]
        if self._tokenizer.use_eos_bos:
            ids, mine = self._tokenizer.pad_with_bos_eos(ids), [-1, *mine, -1]
        if len(ids) > _MOST_PHONEMES:
            raise EngineRefused(
                f"{len(ids)} phonemes are too many for one sentence: at most {_MOST_PHONEMES}"
            )
        seed = zlib.crc32(f"{voice}\n{stretch.text}".encode())
        return Sentence(tuple(ids), tuple(mine), len(words), voice, speed, seed)

    @torch.inference_mode()
    def speak(self, sentences: Sequence[Sentence]) -> list[Said]:
        """All sentences at once. Raises `EngineFailed` when one of them comes out broken."""
        vits = self._vits
        lengths = torch.tensor([len(s.ids) for s in sentences], device=self.device)
        ids = torch.zeros(len(sentences), int(lengths.max()), dtype=torch.long, device=self.device)
        for place, sentence in enumerate(sentences):
            ids[place, : len(sentence.ids)] = torch.tensor(sentence.ids)
        speaker = self._speaker(sentences)
        hidden, means, deviations, mask = vits.text_encoder(ids, lengths, lang_emb=None)
        frames = torch.ceil(self._durations(hidden, mask, speaker, sentences))
        sizes = torch.clamp_min(frames.sum([1, 2]), 1).long()
        if int(sizes.max()) * self._hop > _LONGEST * self.rate:
            raise EngineFailed(f"a sentence came out longer than {_LONGEST:g} s")
        heard = sequence_mask(sizes, None).to(mask.dtype).unsqueeze(1)
        path = generate_path(frames[:, 0], (mask * heard.transpose(1, 2)).transpose(1, 2)).transpose(1, 2)
        means = (path @ means.transpose(1, 2)).transpose(1, 2)
        deviations = (path @ deviations.transpose(1, 2)).transpose(1, 2)
        noise = self._noise(sentences, means.shape[1], sizes.tolist(), means.shape[2], draw=1)
        latent = means + noise * torch.exp(deviations) * vits.inference_noise_scale
        latent = vits.flow(latent, heard, g=speaker, reverse=True) * heard
        waves = vits.waveform_decoder(torch.nn.functional.pad(latent, (0, TAIL)), g=speaker)
        return self._said(waves[:, 0].float().cpu().numpy(), sizes.tolist(), frames[:, 0].cpu(), sentences)

    def _said(
        self, waves: Samples, sizes: list[int], frames: torch.Tensor, sentences: Sequence[Sentence]
    ) -> list[Said]:
        found = []
        for wave, size, spent, sentence in zip(waves, sizes, frames.numpy(), sentences, strict=True):
            pcm = wave[: size * self._hop]
            if not np.isfinite(pcm).all():
                raise EngineFailed("the model made numbers that are no sound")
            ends = np.cumsum(spent[: len(sentence.ids)]) * (self._hop / self.rate)
            found.append(Said(pcm, _spans(sentence, ends)))
        return found

    def _durations(
        self, hidden: torch.Tensor, mask: torch.Tensor, speaker: Any, sentences: Sequence[Sentence]
    ) -> torch.Tensor:
        """Frames of each phoneme, before rounding; (sentences, 1, phonemes)."""
        vits = self._vits
        told = speaker if vits.args.condition_dp_on_speaker else None
        if vits.args.use_sdp:
            sizes = [len(sentence.ids) for sentence in sentences]
            noise = self._noise(sentences, 2, sizes, hidden.shape[2], draw=0) * vits.inference_noise_scale_dp
            logs = _stochastic(vits.duration_predictor, hidden, mask, told, noise)
        else:
            logs = vits.duration_predictor(hidden, mask, g=told, lang_emb=None)
        slow = torch.tensor([1 / sentence.speed for sentence in sentences], device=self.device)
        frames: torch.Tensor = torch.exp(logs) * mask * vits.length_scale * slow[:, None, None]
        return frames

    def _noise(
        self, sentences: Sequence[Sentence], width: int, sizes: list[int], longest: int, draw: int
    ) -> torch.Tensor:
        """Each sentence's own noise, whatever it is batched with; (sentences, width, longest)."""
        noise = np.zeros((len(sentences), width, longest), np.float32)
        for place, (sentence, size) in enumerate(zip(sentences, sizes, strict=True)):
            chance = np.random.default_rng((sentence.seed, draw))
            noise[place, :, :size] = chance.standard_normal((size, width), dtype=np.float32).T
        return torch.from_numpy(noise).to(self.device)

    def _speaker(self, sentences: Sequence[Sentence]) -> torch.Tensor | None:
        if not self._speakers:
            return None
        ids = [self._speakers[sentence.voice] for sentence in sentences]
        embedded: torch.Tensor = self._vits.emb_g(torch.tensor(ids, device=self.device))
        return embedded.unsqueeze(-1)

    def _symbols(self, text: str) -> str:
        tokenizer = self._tokenizer
        if tokenizer.text_cleaner is not None:
            text = tokenizer.text_cleaner(text, lang=self._language.split("-")[0])
        if tokenizer.phonemizer is not None:
            text = tokenizer.phonemizer.phonemize(text, separator="", language=self._language)
        return text

    def _known(self, symbol: str) -> bool:
        try:
            self._tokenizer.characters.char_to_id(symbol)
        except KeyError:
            return False
        return True


def _stochastic(
    predictor: Any, hidden: torch.Tensor, mask: torch.Tensor, speaker: Any, noise: torch.Tensor
) -> torch.Tensor:
    """The stochastic duration predictor, run backwards from a given noise (VITS, arXiv 2106.06103, 2.2.2)."""
    told = predictor.pre(hidden)
    if speaker is not None:
        told = told + predictor.cond(speaker)
    told = predictor.proj(predictor.convs(told, mask)) * mask
    flows = list(reversed(predictor.flows))
    values = noise
    for flow in [*flows[:-2], flows[-1]]:
        values = flow(torch.flip(values, [1]), mask, g=told, reverse=True)
    return values[:, :1]


def _spans(sentence: Sentence, ends: npt.NDArray[Any]) -> tuple[tuple[float, float], ...]:
    """Start and end of each spoken word; a word without a sound of its own is a moment after the last one."""
    starts = np.concatenate([[0.0], ends[:-1]])
    spans: list[tuple[float, float]] = []
    at = 0.0
    for word in range(sentence.words):
        places = [place for place, mine in enumerate(sentence.owners) if mine == word]
        if places:
            spans.append((float(starts[places[0]]), float(ends[places[-1]])))
            at = spans[-1][1]
        else:
            spans.append((at, at))
    return tuple(spans)


def _loaded(checkpoint: Checkpoint, device: torch.device) -> tuple[Any, dict[str, int]]:
    with weights.fitting(checkpoint.config_file):
        config = load_config(str(checkpoint.config_file))
        config.model_args.init_discriminator = False
        config.model_args.speaker_encoder_model_path = None
        speakers = _speakers(checkpoint, config)
        config.speakers = sorted(speakers, key=lambda name: speakers[name])
        try:
            vits = Vits(config)
        except FileNotFoundError as error:
            raise ModelError(f"this voice reads phonemes: install espeak-ng ({error})") from error
    held = weights.state(checkpoint.weights)
    wanted = {k: v for k, v in held.items() if not k.startswith(("disc.", "speaker_encoder"))}
    with weights.fitting(checkpoint.weights):
        vits.load_state_dict(wanted, strict=True)
    vits.eval()
    weights.plain(vits)
    return vits.to(device), speakers


def _speakers(checkpoint: Checkpoint, config: Any) -> dict[str, int]:
    """Names and numbers of the voices of a model for several."""
    if not (config.model_args.use_speaker_embedding or config.use_speaker_embedding):
        return {}
    if config.speakers:
        return {str(name): number for number, name in enumerate(config.speakers)}
    named = config.model_args.speakers_file or config.speakers_file
    if not named:
        raise ModelUnfit("model: the configuration names neither its speakers nor a file with them")
    path = inside(checkpoint.folder, str(named))
    held: Any = weights.read(path) if path.suffix == ".pth" else _json(path)
    try:
        return {str(name): int(number) for name, number in dict(held).items()}
    except (TypeError, ValueError) as error:
        raise ModelUnfit(f"model: {path} is no list of speakers: {error}") from error


def _json(path: Any) -> Any:
    import json

    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelUnfit(f"model: {path} is not JSON: {error}") from error


def _tag(language: str) -> str:
    """`en-us` as `en-US`."""
    short, _, country = language.partition("-")
    return f"{short}-{country.upper()}" if country else short
