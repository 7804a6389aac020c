"""Where the model runs, and whether it fits there."""

from __future__ import annotations

import os

import torch

from engines.base import EngineRefused
from engines.nemo.settings import NemoSettings

_SPARE = 1 << 30
"""Octets that a GPU needs beside weights and streams: context, workspaces, activations."""


def choose(settings: NemoSettings) -> torch.device:
    """The device that the settings mean. Raises `EngineRefused` where it is not there."""
    there = torch.cuda.is_available()
    if settings.device == "cpu" or (settings.device == "auto" and not there):
        torch.set_num_threads(settings.threads or max(1, (os.cpu_count() or 2) - 1))
        return torch.device("cpu")
    if not there:
        raise EngineRefused(
            f"device: {settings.device} was asked for, but torch {torch.__version__} sees no GPU here; "
            "check the driver with nvidia-smi and that torch was installed with CUDA, or set device: cpu"
        )
    device = torch.device("cuda:0" if settings.device in ("auto", "cuda") else settings.device)
    if (device.index or 0) >= torch.cuda.device_count():
        raise EngineRefused(
            f"device: {settings.device} is not there; this machine has {torch.cuda.device_count()} GPUs"
        )
    torch.cuda.set_device(device)
    return device


def precision(settings: NemoSettings, device: torch.device) -> torch.dtype:
    """Of the encoder. Raises `EngineRefused` for bfloat16 where the GPU lacks it."""
    able = device.type == "cuda" and torch.cuda.is_bf16_supported()
    if settings.precision == "bfloat16" and device.type == "cuda" and not able:
        raise EngineRefused("precision: this GPU has no bfloat16; set float32")
    if settings.precision == "bfloat16" or (settings.precision == "auto" and able):
        return torch.bfloat16
    return torch.float32


def check_memory(device: torch.device, weights: int, streams: int, per_stream: int) -> None:
    """Raises `EngineRefused` with the cure when the GPU has too little memory left. All in octets."""
    if device.type != "cuda":
        return
    free, whole = torch.cuda.mem_get_info(device)
    needed = weights + streams * per_stream + _SPARE
    if needed > free:
        gib = 1 << 30
        raise EngineRefused(
            f"the GPU has {free / gib:.1f} of {whole / gib:.1f} GiB free, but {streams} streams here "
            f"need about {needed / gib:.1f}; lower max_streams, or stop what else uses the GPU"
        )
