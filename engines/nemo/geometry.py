"""The arithmetic of a cache-aware encoder: samples, mel frames and output frames of one step.

A step hears one chunk: `look_ahead + 1` output frames. The first step of an utterance hears fewer mel frames
than the later ones, which hear the last few of the step before once more and drop what those give.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a loaded model cuts sound. All counts are of one stream."""

    sample_rate: int
    """Samples per second that the model hears."""
    hop: int
    """Samples from one mel frame to the next."""
    window: int
    """Samples that one mel frame sees, centred on its place."""
    subsampling: int
    """Mel frames of one output frame."""
    outputs: int
    """Output frames of a step: the look-ahead and the frame itself."""
    first_frames: int
    """New mel frames of an utterance's first step."""
    next_frames: int
    """New mel frames of every later step."""
    mel_cache: int
    """Earlier mel frames that a later step hears again."""
    dropped: int
    """Output frames of those, thrown away."""

    @property
    def output_seconds(self) -> float:
        """Sound of one output frame."""
        return self.hop * self.subsampling / self.sample_rate

    @property
    def chunk_seconds(self) -> float:
        """Sound that one step advances a stream by."""
        return self.output_seconds * self.outputs

    def need(self, first: bool) -> int:
        """New samples of a step.

        The first one needs half a window more than its last frame's place; each later one continues there.
        """
        if first:
            return self.window // 2 + self.hop * (self.first_frames - 1)
        return self.hop * self.next_frames

    def frames(self, first: bool) -> int:
        """New mel frames of a step."""
        return self.first_frames if first else self.next_frames

    def whole_frames(self, samples: int) -> int:
        """Mel frames of a whole utterance, as the model's front end counts them: one per full hop."""
        return samples // self.hop

    def frames_left(self, samples: int, done: int) -> int:
        """Mel frames of a whole utterance of so many samples that no step has heard, `done` being heard."""
        return max(0, self.whole_frames(samples) - done)


FASTCONFORMER_MS = 80
"""Sound of one output frame in every published cache-aware FastConformer: 8 mel frames of 10 ms."""


def fastconformer(look_ahead: int) -> Geometry:
    """A FastConformer's geometry at a look-ahead in output frames: 0, 1, 6 and 13 in the published models."""
    return Geometry(
        sample_rate=16000,
        hop=160,
        window=400,
        subsampling=8,
        outputs=look_ahead + 1,
        first_frames=1 + 8 * look_ahead,
        next_frames=8 * (look_ahead + 1),
        mel_cache=9,
        dropped=2,
    )
