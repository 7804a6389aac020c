"""What an operator may set on Coqui's voices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engines.coqui.growth import ChunkSizes
from engines.coqui.licence import CPML, Licence
from engines.coqui.scheduler import Bounds
from engines.coqui.sound import Loudness

_LIMITS: dict[str, tuple[float, float]] = {
    "threads": (0, 256), "waiting": (1, 10_000), "deadline": (0.01, 600), "longest_text": (100, 100_000),
    "level": (-40, -10), "max_gain": (0, 30), "gather": (0, 0.2), "batch": (1, 256), "rows": (1, 1024),
    "patience": (0, 60), "load": (0.1, 1.0), "first_tokens": (3, 40), "longest_tokens": (4, 200),
}  # fmt: skip


def check(engine: str, settings: object) -> None:
    """Raise `ValueError`, naming the field, for a number out of range."""
    for name, (low, high) in _LIMITS.items():
        value = getattr(settings, name, low)
        if not low <= value <= high:
            raise ValueError(f"{engine}.{name} is {value}: choose a value from {low:g} to {high:g}")


@dataclass(frozen=True, slots=True)
class CoquiVitsSettings:
    """A VITS voice: whole sentences, those of several calls in one go."""

    model: str = ""
    """Folder with the voice's `config.json` and `model.pth`, or what the model store can fetch."""
    sha256: str = ""
    """Checksum of what is fetched; needed for every address that is not a local path."""
    licence: str = ""
    """Identifier of the voice's licence, as whoever published it says; shown in logs, health and metrics."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:1`; auto takes a GPU where there is one."""
    threads: int = 0
    """Processor threads of the model, 0 to 256; 0 leaves it to PyTorch."""
    batch: int = 16
    """Most sentences spoken in one go, 1 to 256."""
    gather: float = 0.012
    """Seconds to wait for sentences of other calls, 0 to 0.2; a batch costs little more than one sentence."""
    waiting: int = 64
    """Passages that may wait for their first sound before the next is refused as busy; 1 to 10,000."""
    patience: float = 1.0
    """0 to 60 seconds: a new passage that would wait longer is refused as busy, so that another engine may
    take it."""
    deadline: float = 10.0
    """Seconds after it is due by which a stretch of speech must be ready; 0.01 to 600."""
    level: float = -20.0
    """Active speech level in dBFS, -40 to -10. Telephone networks expect about -20."""
    max_gain: float = 12.0
    """Most dB by which a quiet sentence is raised; 0 to 30."""
    longest_text: int = 5000
    """Characters of one passage; a longer one is refused. 100 to 100,000."""

    def __post_init__(self) -> None:
        check("coqui_vits", self)

    def loudness(self) -> Loudness:
        return Loudness(self.level, self.max_gain)


@dataclass(frozen=True, slots=True)
class CoquiXttsSettings:
    """An XTTS voice: token by token, all calls together, the first sound after a few of them."""

    model: str = ""
    """Folder with `config.json`, `model.pth` and `vocab.json`, or what the model store can fetch."""
    sha256: str = ""
    """Checksum of what is fetched; needed for every address that is not a local path."""
    licence: str = CPML
    """Identifier of the weights' licence. The published XTTS weights, and what is derived from them, are
    under the Coqui Public Model License 1.0.0, which allows non-commercial use only."""
    accept_licence: str = ""
    """The same identifier, once you have read and accepted it; nothing is fetched or loaded before."""
    voices: Mapping[str, str] = field(default_factory=dict)
    """Names of voices and the recording that each is taken from: one speaker, 3 to 30 seconds, WAV or FLAC.
    The voices that come with the weights (`speakers_xtts.pth`) need no entry."""
    latents: str = ""
    """Folder that keeps what was computed from these recordings; "" computes it anew at each start."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:1`; auto takes a GPU where there is one."""
    threads: int = 0
    """Processor threads of the model, 0 to 256; 0 leaves it to PyTorch."""
    rows: int = 64
    """Passages that speak at once, 1 to 1024; each takes about 120 kB per token on the device."""
    waiting: int = 64
    """Passages that may wait to begin before the next is refused as busy; 1 to 10,000."""
    patience: float = 0.5
    """0 to 60 seconds: a new passage that could not begin by then is refused as busy, so that another engine
    may take it."""
    load: float = 0.8
    """0.1 to 1.0: share of the device's time that all speech together may need before no more is begun."""
    first_tokens: int = 4
    """Tokens (46 ms each) before the first sound, 3 to 40; more when the device is busy."""
    longest_tokens: int = 40
    """Tokens of one chunk once the listener has a reserve, 4 to 200."""
    greedy: bool = False
    """Always take the likeliest token: flat, but the same everywhere. Else as the model is configured."""
    deadline: float = 10.0
    """Seconds after it is due by which the next chunk must be there; 0.01 to 600."""
    level: float = -20.0
    """Active speech level in dBFS, -40 to -10. Telephone networks expect about -20."""
    max_gain: float = 12.0
    """Most dB by which quiet speech is raised; 0 to 30."""
    longest_text: int = 5000
    """Characters of one passage; a longer one is refused. 100 to 100,000."""

    def __post_init__(self) -> None:
        check("coqui_xtts", self)
        if self.longest_tokens < self.first_tokens:
            raise ValueError("coqui_xtts.longest_tokens is less than coqui_xtts.first_tokens")

    def bounds(self) -> Bounds:
        """For the scheduler."""
        sizes = ChunkSizes(self.first_tokens, self.longest_tokens)
        return Bounds(self.rows, self.waiting, self.patience, self.load, chunks=sizes)

    def terms(self) -> Licence:
        return Licence(self.licence, self.accept_licence)

    def loudness(self) -> Loudness:
        return Loudness(self.level, self.max_gain)
