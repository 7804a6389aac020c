"""Moonshine tiny-en run by onnxruntime: one array of samples in, greedy text with probabilities out.

The model's files come with the package `moonshine-voice`; only they are used, its code is never imported.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from engines.embedded.moonshine_tokens import (
    BEGIN,
    END,
    VOCABULARY_FILE,
    HotWords,
    SpokenWord,
    Vocabulary,
)

SAMPLE_RATE = 16_000
"""The model hears nothing else."""
SHORTEST = 1600
"""Samples below which there is nothing to decode: 0.1 s."""
_HEADS, _HEAD_SIZE = 8, 36
_TOKENS_PER_SECOND = 6.5
"""No one speaks faster; a decode beyond it is a loop."""
_SPARE_TOKENS = 4

Samples = npt.NDArray[np.float32]
_Array = npt.NDArray[Any]
_Cache = dict[str, _Array]


class DecodeAborted(Exception):
    """The caller asked a running decode to give way."""


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the model wrote for one array of samples."""

    tokens: tuple[int, ...]
    """Without the marks for begin and end; serves the next decode of the same audio as its draft."""
    words: tuple[SpokenWord, ...]
    text: str
    confidence: float
    """Geometric mean of the tokens' probabilities, 0..1; 0 when nothing was written."""


NOTHING = Decoded((), (), "", 0.0)


def find_model(package: str = "moonshine_voice", model: str = "tiny-en") -> Path:
    """Folder of the model's files in the installed package. Raises ModuleNotFoundError when it is missing."""
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / "assets" / model
        if (folder / "encoder_model.ort").is_file():
            return folder
    raise ModuleNotFoundError(
        f"the files of Moonshine {model} were not found; install moonshine-voice==0.1.0 "
        "(later releases no longer carry them)",
        name=package,
    )


class MoonshineModel:
    """The loaded model. Thread-safe: any number of threads may decode at once."""

    def __init__(self, folder: Path, vocabulary: Vocabulary | None = None) -> None:
        """Load encoder and decoder; about half a second."""
        self._encoder = _session(folder / "encoder_model.ort")
        self._decoder = _session(folder / "decoder_model_merged.ort")
        self._vocabulary = vocabulary or Vocabulary(folder / VOCABULARY_FILE)
        self._pasts = [i.name for i in self._decoder.get_inputs() if i.name.startswith("past")]
        presents = [o.name for o in self._decoder.get_outputs()][1:]
        self._own = [name for name in presents if ".decoder." in name]
        self._cross = [name for name in presents if ".encoder." in name]

    def decode(
        self,
        audio: Samples,
        *,
        draft: Sequence[int] = (),
        hot_words: HotWords | None = None,
        aborted: Callable[[], bool] = _never,
    ) -> Decoded:
        """Write down the audio (mono, 16 kHz, -1..1).

        `draft` is a guess at the tokens from an earlier decode of nearly the same audio: checked in one step
        instead of one per token, it saves a third of the time. Raises `DecodeAborted` soon after
        `aborted` answers True.
        """
        if len(audio) < SHORTEST:
            return NOTHING
        run = _Run(self, audio, hot_words, aborted)
        limit = int(len(audio) / SAMPLE_RATE * _TOKENS_PER_SECOND) + _SPARE_TOKENS
        run.check_draft(list(draft[:limit]))
        while not run.ended and len(run.tokens) < limit:
            run.step()
        return run.decoded(self._vocabulary)


class _Run:
    """One greedy decode."""

    def __init__(
        self, model: MoonshineModel, audio: Samples, hot_words: HotWords | None, aborted: Callable[[], bool]
    ) -> None:
        self.tokens: list[int] = []
        self.ended = False
        self._probabilities: list[float] = []
        self._model = model
        self._hot_words = hot_words
        self._aborted = aborted
        # The decoder wants the mask of the samples, too: it strides over them itself.
        mask = np.ones((1, len(audio)), np.int64)
        feed: _Cache = {"input_values": audio[None], "attention_mask": mask}
        hidden = self._run(model._encoder, ["last_hidden_state"], feed)[0]
        self._fixed: _Cache = {"encoder_attention_mask": mask, "encoder_hidden_states": hidden}
        self._cache: _Cache = {}

    def check_draft(self, draft: list[int]) -> None:
        """First step of every decode: keep of the draft what the model itself would write, and one more."""
        empty = np.zeros((1, _HEADS, 0, _HEAD_SIZE), np.float32)
        outputs = ["logits", *self._model._own, *self._model._cross]
        feed = dict.fromkeys(self._model._pasts, empty)
        logits = self._decode(outputs, [BEGIN, *draft], feed, cached=False)
        for place in range(len(draft) + 1):
            token = self._take(logits[place])
            if self.ended or place == len(draft) or token != draft[place]:
                break
        for name in self._model._own:
            past = _past(name)
            self._cache[past] = self._cache[past][:, :, : place + 1]

    def step(self) -> None:
        """Write one more token."""
        logits = self._decode(["logits", *self._model._own], self.tokens[-1:], self._cache, cached=True)
        self._take(logits[0])

    def decoded(self, vocabulary: Vocabulary) -> Decoded:
        words = vocabulary.words(self.tokens, self._probabilities[: len(self.tokens)])
        text = vocabulary.text(self.tokens)
        confidence = float(np.exp(np.mean(np.log(self._probabilities)))) if text else 0.0
        return Decoded(tuple(self.tokens), tuple(words), text, confidence)

    def _take(self, logits: npt.NDArray[np.float32]) -> int:
        if self._hot_words:
            self._hot_words.apply(logits, self.tokens[-1] if self.tokens else BEGIN)
        token = int(logits.argmax())
        self._probabilities.append(1.0 / float(np.exp(logits - logits[token]).sum()))
        if token == END:
            self.ended = True
        else:
            self.tokens.append(token)
        return token

    def _decode(self, outputs: list[str], tokens: list[int], past: _Cache, *, cached: bool) -> _Array:
        results = self._run(
            self._model._decoder,
            outputs,
            {
                "input_ids": np.array([tokens], np.int64),
                "use_cache_branch": np.array([cached]),
                **self._fixed,
                **past,
            },
        )
        self._cache.update(zip(map(_past, outputs[1:]), results[1:], strict=True))
        logits: _Array = results[0][0]
        return logits

    def _run(self, session: ort.InferenceSession, outputs: list[str], feed: _Cache) -> list[_Array]:
        if self._aborted():
            raise DecodeAborted
        results: list[_Array] = session.run(outputs, feed)
        return results


def _past(present: str) -> str:
    return present.replace("present", "past_key_values")


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    # One thread per decode: the pool decides how many run. A spinning thread would starve the RTP clock.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = False
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
