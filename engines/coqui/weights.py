"""Reading weights without running anything that lies in the file."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from engines.models.base import ModelError, ModelUnfit


def read(path: Path) -> dict[str, Any]:
    """The dictionary that the file holds: tensors and plain values. Raises `ModelError`.

    PyTorch's restricted reader refuses every other object, so a file cannot run code.
    """
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelUnfit(
            f"model: {path} is refused, for it holds more than weights: {_short(error)}"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ModelUnfit(f"model: {path} is damaged or no weights file: {_short(error)}") from error
    if not isinstance(held, dict):
        raise ModelUnfit(f"model: {path} holds a {type(held).__name__}, not weights by name")
    return held


def state(path: Path) -> dict[str, torch.Tensor]:
    """The `model` part of a Coqui checkpoint."""
    held = read(path).get("model")
    if not isinstance(held, dict):
        raise ModelUnfit(f"model: {path} has no part called 'model'; is it a Coqui checkpoint?")
    return held


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """Errors of weights that do not fit their configuration, told as such."""
    try:
        yield
    except (RuntimeError, KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
        raise ModelUnfit(f"model: {path} does not fit its config.json: {_short(error)}") from error


def device(name: str) -> torch.device:
    """The device of that name; `auto`: a GPU where there is one. Raises `ModelError`."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"device: {name!r} is none; choose auto, cpu or cuda") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"device: {name!r} was asked for, but PyTorch sees no GPU; choose auto or cpu")
    return chosen


def use_threads(threads: int) -> None:
    """Processor threads of everything PyTorch does in this process; 0 leaves it to PyTorch."""
    if threads:
        torch.set_num_threads(threads)


def plain(module: torch.nn.Module) -> None:
    """Fold weight normalisation into the weights: the same numbers, not worked out anew in every run."""
    for part in module.modules():
        if torch.nn.utils.parametrize.is_parametrized(part, "weight"):
            torch.nn.utils.parametrize.remove_parametrizations(part, "weight")


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
