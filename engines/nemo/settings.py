"""What an operator may choose about a NeMo recogniser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CHUNKS_MS = (80, 1120)
"""Shortest and longest chunk that is taken; the model says which of them it was trained for."""
MOST_STREAMS = 4096


@dataclass(frozen=True, slots=True)
class NemoSettings:
    """A cache-aware streaming recogniser of NVIDIA NeMo, on a GPU or, for trials, on the processor."""

    model: str = ""
    """The `.nemo` file: a path, an address, or a name that the model store knows. Must be given to serve."""
    sha256: str = ""
    """64 hexadecimal digits that the file must have; needed for what comes from elsewhere."""
    decoder: Literal["auto", "ctc", "rnnt"] = "auto"
    """Which of a hybrid model's decoders writes the words; `auto`: RNN-T where there is one."""
    chunk_ms: int = 160
    """80 to 1120: sound of one step. Longer chunks hear further ahead and cost less, but answer later; the
    model says which it was trained for (published ones: 80, 160, 560, 1120)."""
    device: str = "auto"
    """`auto`: the first GPU, else the processor; or `cpu`, `cuda`, `cuda:1` and so on."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the encoder; `auto`: bfloat16 on a GPU that has it, else float32. Features stay in float32."""
    attention: Literal["projected", "inputs"] = "projected"
    """What is kept of the past: keys and values as projected once, or each layer's inputs, which NeMo itself
    keeps and projects anew in every step. The same words, for less work."""
    cuda_graphs: bool = True
    """Replay each batch size's kernels as one graph; without effect on the processor."""
    threads: int = 0
    """0 to 64: of the processor for one step; 0: one per core but one."""
    max_streams: int = 0
    """1 to 4096: calls at once; 0: 512 on a GPU, 4 on the processor."""
    max_batch: int = 64
    """1 to 512: streams that one step advances; more take turns, oldest deadline first."""
    max_late: float = 0.5
    """Seconds that a step may have been late lately before new calls are refused, above 0, to 10."""
    max_behind: float = 20.0
    """Seconds of unheard sound, 1 to 120, after which a stream's utterance counts as failed."""
    hot_word_boost: float = 4.0
    """Lift of a hot word for which the call gives no figure, 0 to 20 as Riva counts it; each point is a
    quarter of a nat on the word's next piece."""
    languages: tuple[str, ...] = ("en-US",)
    """What the model was trained for; a `.nemo` does not say. Calls in other languages are refused."""

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "chunk_ms": CHUNKS_MS,
            "threads": (0, 64),
            "max_streams": (0, MOST_STREAMS),
            "max_batch": (1, 512),
            "max_late": (0.001, 10),
            "max_behind": (1, 120),
            "hot_word_boost": (0, 20),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: give {low:g} to {high:g}")
        if self.device not in ("auto", "cpu", "cuda") and not (
            self.device.startswith("cuda:") and self.device[5:].isdecimal()
        ):
            raise ValueError("device: give auto, cpu, cuda, or cuda:N")
        if not self.languages:
            raise ValueError("languages: name at least one, such as en-US")

    @property
    def buckets(self) -> tuple[int, ...]:
        """Batch sizes that steps really have: powers of two, and the largest."""
        sizes = [1]
        while sizes[-1] * 2 < self.max_batch:
            sizes.append(sizes[-1] * 2)
        return tuple(sorted({*sizes, self.max_batch}))
