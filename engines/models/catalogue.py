"""Models by name: published ones that the engines of this house were made for, and where their makers keep
them.

The files are their makers', under their makers' licences; nothing of them is shipped here. No digest stands
here that was not computed from the file itself, so most need one from the operator: `models.pins` or
`--sha256`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Known:
    """A published model."""

    url: str
    engine: str
    """Name of the engine that it is for."""
    licence: str
    """As its maker names it; read it there."""
    about: str
    """What it is, in a few words."""
    sha256: str = ""
    """Of the file, where we know it."""


_NVIDIA = "https://huggingface.co/nvidia"
_COQUI = "https://github.com/coqui-ai/TTS/releases/download/v0.6.1_models"

KNOWN: Mapping[str, Known] = MappingProxyType({
    "fastconformer-en-streaming": Known(
        f"{_NVIDIA}/stt_en_fastconformer_hybrid_large_streaming_multi/resolve/main/"
        "stt_en_fastconformer_hybrid_large_streaming_multi.nemo",
        "nemo",
        "CC-BY-4.0",
        "English, 114 M parameters, look-ahead of 0, 80, 480 or 1040 ms",
    ),
    "parakeet-realtime-eou": Known(
        f"{_NVIDIA}/parakeet_realtime_eou_120m-v1/resolve/main/parakeet_realtime_eou_120m-v1.nemo",
        "nemo",
        "NVIDIA Open Model License",
        "English, 120 M parameters, look-ahead of 80 ms, tells the end of an utterance",
    ),
    "nemotron-streaming-en": Known(
        f"{_NVIDIA}/nemotron-speech-streaming-en-0.6b/resolve/main/nemotron-speech-streaming-en-0.6b.nemo",
        "nemo",
        "NVIDIA Open Model License",
        "English with punctuation, 600 M parameters, look-ahead of 0 to 1040 ms",
    ),
    "vits-vctk": Known(
        f"{_COQUI}/tts_models--en--vctk--vits.zip",
        "coqui",
        "Apache-2.0",
        "English, 109 voices",
    ),
    "vits-ljspeech": Known(
        f"{_COQUI}/tts_models--en--ljspeech--vits.zip",
        "coqui",
        "Apache-2.0",
        "English, one voice",
    ),
})  # fmt: skip
"""By the names that `offhook models pull` and the engines' settings take."""
