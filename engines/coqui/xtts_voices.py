"""The voices of an XTTS model: those that come with it, and those taken from recordings, worked out once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engines.coqui import weights
from engines.coqui.checkpoint import SPEAKERS, Checkpoint
from engines.models.base import ModelError, ModelUnfit

_RATE = 22050
_SHORTEST = 1.0


@dataclass(frozen=True, eq=False)
class Speaker:
    """What makes a voice."""

    name: str
    style: torch.Tensor
    """Opens every prompt, (1, places, width)."""
    timbre: torch.Tensor
    """Colours the vocoder, (1, 512, 1)."""


def speakers(
    model: Any, checkpoint: Checkpoint, recordings: Mapping[str, str], kept: str
) -> dict[str, Speaker]:
    """All voices, recordings first. `kept`: folder for what was computed from them, or "".

    Raises `ModelError`, naming the file.
    """
    found: dict[str, Speaker] = {}
    for name, path in recordings.items():
        found[name] = _recorded(model, checkpoint, name, Path(path).expanduser(), kept)
    published = checkpoint.folder / SPEAKERS
    if published.is_file():
        for name, parts in weights.read(published).items():
            if name not in found:
                found[name] = _speaker(model, name, _tensors(published, parts))
    if not found:
        raise ModelError(
            f"voices: the model brings no {SPEAKERS} and no recording is named; give at least one voice"
        )
    return found


def _tensors(path: Path, parts: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Style and timbre, in this order, under whichever names the file has them."""
    held = list(parts.values()) if isinstance(parts, dict) else []
    if len(held) != 2 or not all(isinstance(part, torch.Tensor) for part in held):
        raise ModelUnfit(f"voices: {path} holds something else than a style and a timbre for each voice")
    return held[0], held[1]


def _speaker(model: Any, name: str, parts: tuple[torch.Tensor, torch.Tensor]) -> Speaker:
    style, timbre = (part.detach().float().to(model.device) for part in parts)
    width = model.args.gpt_n_model_channels
    if style.ndim != 3 or style.shape[2] != width or timbre.shape[1:] != (model.args.d_vector_dim, 1):
        raise ModelUnfit(f"voices: {name!r} was made for another model")
    return Speaker(name, style, timbre)


def _recorded(model: Any, checkpoint: Checkpoint, name: str, path: Path, kept: str) -> Speaker:
    if not path.is_file():
        raise ModelError(f"voices.{name}: {path} does not exist")
    cache = _cache(checkpoint, path, kept)
    if cache and cache.is_file():
        return _speaker(model, name, _tensors(cache, weights.read(cache)))
    parts = _computed(model, name, path)
    if cache:
        cache.parent.mkdir(parents=True, exist_ok=True)
        fresh = cache.with_suffix(".part")
        torch.save({"style": parts[0].cpu(), "timbre": parts[1].cpu()}, fresh)
        fresh.replace(cache)
    return _speaker(model, name, parts)


def _cache(checkpoint: Checkpoint, path: Path, kept: str) -> Path | None:
    """Where the voice is kept: under the recording's content and the weights it was computed with."""
    if not kept:
        return None
    told = checkpoint.weights.stat()
    mark = hashlib.sha256(path.read_bytes() + f"{told.st_size} {told.st_mtime_ns}".encode()).hexdigest()
    return Path(kept).expanduser() / f"{mark[:32]}.pt"


@torch.inference_mode()
def _computed(model: Any, name: str, path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    import soundfile

    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (RuntimeError, OSError) as error:
        raise ModelUnfit(f"voices.{name}: {path} is no recording: {error}") from error
    if len(samples) < _SHORTEST * rate:
        raise ModelUnfit(f"voices.{name}: {path} is too short; record at least 3 seconds of one speaker")
    config = model.config
    wave = torch.from_numpy(samples.mean(axis=1))[None, : int(rate * config.max_ref_len)]
    if config.sound_norm_refs:
        wave = wave / wave.abs().max().clamp(min=1e-6) * 0.75
    style = model.get_gpt_cond_latents(
        wave.to(model.device), rate, length=config.gpt_cond_len, chunk_length=config.gpt_cond_chunk_len
    )
    return style, model.get_speaker_embedding(wave.to(model.device), rate)
