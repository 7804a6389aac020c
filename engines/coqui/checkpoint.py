"""A voice's files, looked at before anything heavy is imported: all there, of the right kind, harmless."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.models.base import ModelError, Models, ModelUnfit

CONFIG = "config.json"
WEIGHTS = "model.pth"
VOCABULARY = "vocab.json"
SPEAKERS = "speakers_xtts.pth"
_LARGEST_CONFIG = 4_000_000
_CHARACTERS = "TTS.tts.utils.text.characters."
"""Where the classes of alphabets live; a configuration may name no other, since naming one imports it."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A voice's folder, as far as it can be judged without loading it."""

    folder: Path
    config: Mapping[str, Any]

    @property
    def weights(self) -> Path:
        return self.folder / WEIGHTS

    @property
    def config_file(self) -> Path:
        return self.folder / CONFIG


def find(path: Path, kind: str) -> Checkpoint:
    """The voice of that kind ("vits", "xtts") in the folder, or beside the file. Raises `ModelError`."""
    folder = _innermost(path) if path.is_dir() else path.parent
    needed = [CONFIG, WEIGHTS] + ([VOCABULARY] if kind == "xtts" else [])
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"model: {folder} holds no {' and no '.join(missing)}")
    config = _read(folder / CONFIG)
    if config.get("model") != kind:
        told = str(config.get("model"))[:40]
        raise ModelUnfit(f"model: {folder / CONFIG} describes {told!r}, not {kind!r}")
    if kind == "vits":
        _check_vits(config)
    return Checkpoint(folder, config)


def fetched(models: Models, source: str, sha256: str) -> Path:
    """The voice's files, wherever they come from. Blocks meanwhile. Raises `ModelError`."""
    if not source:
        cure = "give its folder, or what the model store can fetch"
        raise ModelError(f"tts.settings.model names no voice: {cure}")
    return models.path(source, sha256)


def _innermost(folder: Path) -> Path:
    """The folder itself, or the only one in it: archives are often packed so."""
    inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _read(path: Path) -> Mapping[str, Any]:
    if path.stat().st_size > _LARGEST_CONFIG:
        raise ModelUnfit(f"model: {path} is too large for a configuration")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise ModelUnfit(f"model: {path} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise ModelUnfit(f"model: {path} is no configuration: it holds a {type(config).__name__}")
    return config


def _check_vits(config: Mapping[str, Any]) -> None:
    arguments = config.get("model_args") or {}
    characters = config.get("characters") or {}
    named = characters.get("characters_class") or _CHARACTERS
    if not str(named).startswith(_CHARACTERS) and named != "TTS.tts.models.vits.VitsCharacters":
        raise ModelUnfit(f"model: characters_class {str(named)[:80]!r} is none of the library's")
    if arguments.get("use_d_vector_file") or config.get("use_d_vector_file"):
        raise ModelUnfit("model: voices by d-vectors are not served; use one with a speaker embedding")
    if arguments.get("use_language_embedding") or config.get("use_language_embedding"):
        raise ModelUnfit("model: voices for several languages are not served; use one for each language")
    if arguments.get("encoder_sample_rate"):
        raise ModelUnfit("model: encoder_sample_rate is set; voices with two sample rates are not served")


def inside(folder: Path, named: str) -> Path:
    """A file that a configuration names, looked for in the voice's own folder and nowhere else.

    Configurations keep the paths of the machine on which the voice was trained; only the name is believed.
    Raises `ModelError` when it is not there.
    """
    path = folder / Path(named).name
    if not path.is_file():
        raise ModelUnfit(f"model: {CONFIG} names {named!r}, but {path} does not exist")
    return path
