"""NeMo's real loading and stepping, on the processor, with small random models."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.gpu_engines
torch = pytest.importorskip("torch")
pytest.importorskip("nemo")

from engines.models.local import LocalModels  # noqa: E402
from engines.nemo.hot_words import HotWords  # noqa: E402
from engines.nemo.load import load  # noqa: E402
from engines.nemo.model import NemoModel  # noqa: E402
from engines.nemo.scheduler import Scheduler  # noqa: E402
from engines.nemo.settings import NemoSettings  # noqa: E402
from engines.nemo.utterance import Work  # noqa: E402
from engines.nemo.words import Token  # noqa: E402
from tests.engines.nemo.conftest import MakeModel  # noqa: E402
from tests.engines.nemo.reference import Reference  # noqa: E402
from tests.engines.nemo.streams import Ear, listen, noise, step  # noqa: E402

CHUNKS = (80, 160, 560, 1120)
SOUNDS = [noise(number, 0.004 + 0.37 * number) for number in range(8)]


@lru_cache(maxsize=4)
def loaded(path: Path, chunk_ms: int, decoder: Any, attention: Any = "projected") -> NemoModel:
    settings = NemoSettings(
        model=str(path), chunk_ms=chunk_ms, decoder=decoder, attention=attention, max_streams=5, threads=1
    )
    return load(settings, LocalModels())


def ids(tokens: Sequence[Token]) -> list[int]:
    return [token.id for token in tokens]


@pytest.mark.parametrize("chunk_ms", CHUNKS)
@pytest.mark.parametrize("decoder", ["ctc", "rnnt"])
@pytest.mark.parametrize("attention", ["inputs", "projected"])
def test_one_stream_writes_what_nemos_own_streaming_step_writes(
    nemo_file: MakeModel, chunk_ms: int, decoder: str, attention: str
) -> None:
    """Of whole chunks: at a ragged end NeMo's file reader adds an empty frame, or leaves the rest out."""
    path = nemo_file("hybrid")
    model, reference = loaded(path, chunk_ms, decoder, attention), Reference(path, chunk_ms, decoder)
    cut = model.geometry
    sounds = [
        noise(seed, (cut.first_frames + steps * cut.next_frames) * 0.01 + 0.002 * seed)
        for seed, steps in enumerate((1, 2, 3, 5 + 1280 // chunk_ms))
    ]
    ours = [listen(model, [sound])[0].text(model) for sound in sounds]
    assert ours == [reference.streamed(sound) for sound in sounds]
    assert len(set(ours)) == len(sounds) and all(ours)


@pytest.mark.parametrize("kind", ["ctc", "rnnt"])
def test_models_with_one_decoder_are_heard_alike(nemo_file: MakeModel, kind: str) -> None:
    path = nemo_file(kind)
    model, reference = loaded(path, 160, "auto"), Reference(path, 160, kind)
    sound = noise(5, 2.49)
    assert listen(model, [sound])[0].text(model) == reference.streamed(sound) != ""


@pytest.mark.parametrize("chunk_ms", CHUNKS[1:])
@pytest.mark.parametrize("decoder", ["ctc", "rnnt"])
def test_one_stream_writes_what_nemo_writes_of_the_whole_recording(
    nemo_file: MakeModel, chunk_ms: int, decoder: str
) -> None:
    """To the last frame, whatever is left behind the last chunk. Chunks of 80 ms differ at their beginning:
    NeMo's streaming hears zeros there that its offline pass does not."""
    model, reference = (
        loaded(nemo_file("hybrid"), chunk_ms, decoder),
        Reference(nemo_file("hybrid"), chunk_ms, decoder),
    )
    for sound in SOUNDS:
        ear = listen(model, [sound])[0]
        assert ids(ear.tokens) == reference.written(sound)
        assert ear.works.count(Work.FINAL) == 1 and ear.works[-1] is Work.FINAL


@pytest.mark.parametrize(
    ("chunk_ms", "decoder", "buckets"),
    [(80, "ctc", ()), (160, "rnnt", (1, 2, 4, 8)), (160, "ctc", (4, 8)), (560, "rnnt", ())],
)
def test_neighbours_change_nothing(
    nemo_file: MakeModel, chunk_ms: int, decoder: str, buckets: tuple[int, ...]
) -> None:
    """Streams that join, pause and leave at random, more than there are slots, in batches of any size."""
    model = loaded(nemo_file("hybrid"), chunk_ms, decoder)
    alone = [ids(listen(model, [sound])[0].tokens) for sound in SOUNDS]
    model._buckets = buckets
    try:
        for seed in range(12):
            order = random.Random(seed).sample(range(len(SOUNDS)), len(SOUNDS))
            ears = listen(model, [SOUNDS[place] for place in order], seed, max_batch=1 + seed % 5)
            assert [ids(ear.tokens) for ear in ears] == [alone[place] for place in order], f"seed {seed}"
    finally:
        model._buckets = ()


def test_a_peek_tells_the_words_so_far_and_changes_nothing(nemo_file: MakeModel) -> None:
    model = loaded(nemo_file("hybrid"), 560, "rnnt")
    sound = noise(3, 2.03)
    alone = listen(model, [sound])[0]
    peeked = [ear for seed in range(12) for ear in listen(model, [sound], seed)]
    assert sum(len(ear.peeks) for ear in peeked) > 5
    assert all(ids(ear.tokens) == ids(alone.tokens) for ear in peeked)
    reference = Reference(nemo_file("hybrid"), 560, "rnnt")
    scheduler = Scheduler(model.geometry, model.slots, 4)
    ear, lane = Ear(), scheduler.open(0.0)
    scheduler.start(lane, 1, ear)
    scheduler.push(lane, sound[:24000], 0.0)
    scheduler.pause(lane, 0.0)
    while scheduler.waiting:
        step(model, scheduler, scheduler.take(0.0))
    assert ids(ear.peeks[0]) == reference.written(sound[:24000])


def test_features_and_encoded_frames_are_nemos_to_the_sixth_digit(nemo_file: MakeModel) -> None:
    reference = Reference(nemo_file("hybrid"), 160, "ctc")
    sound = noise(8, 2.2)
    whole = reference.encode(sound)
    for attention in ("inputs", "projected"):
        model = loaded(nemo_file("hybrid"), 160, "ctc", attention)
        kept: list[Any] = []
        model._head = Recording(model._head, kept)
        try:
            listen(model, [sound])
        finally:
            model._head = model._head.inner
        ours = torch.cat(kept, 1)
        assert ours.shape == whole.shape
        assert float((ours - whole).abs().max()) < 1e-5
    features = reference.features(sound)
    front = model._frontend
    mel, _ = front.mel(
        torch.tensor([0]), torch.from_numpy(sound).float()[None] / 32768, torch.tensor([len(sound)]),
        torch.tensor([features.shape[1]]), True,
    )  # fmt: skip
    shared = min(mel.shape[2], features.shape[1])
    assert float((mel[0, :, :shared] - features[:, :shared]).abs().max()) < 1e-4


class Recording:
    """Serves `Head` around another and keeps what the encoder gave it."""

    def __init__(self, inner: Any, kept: list[Any]) -> None:
        self.inner, self.kept = inner, kept

    def decode(self, encoded: Any, pens: Any) -> Any:
        self.kept.append(encoded[0, :, : pens[0].frames].clone())
        return self.inner.decode(encoded, pens)

    def keep(self, slots: Any, kept: Any) -> None:
        self.inner.keep(slots, kept)

    def reset(self, slot: int) -> None:
        self.inner.reset(slot)


@pytest.mark.parametrize("attention", ["inputs", "projected"])
def test_a_stream_whose_numbers_break_is_reset_and_spoils_nobody(
    nemo_file: MakeModel, attention: str
) -> None:
    model = loaded(nemo_file("hybrid"), 160, "rnnt", attention)
    sounds = SOUNDS[3:6]
    alone = [ids(listen(model, [sound])[0].tokens) for sound in sounds]
    kept: Any = model._attention
    poisoned = kept._times if attention == "projected" else kept._time
    advance = kept.advance
    calls = 0

    def poison(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            poisoned[:, int(given[2][1])] = float("nan")
        return advance(*given)

    kept.advance = poison
    try:
        ears = listen(model, sounds)
    finally:
        del kept.advance
    assert [ear.error is not None for ear in ears] == [False, True, False]
    assert "NaN" in str(ears[1].error)
    assert [ids(ears[place].tokens) for place in (0, 2)] == [alone[0], alone[2]]
    assert bool(torch.isfinite(poisoned).all())
    again = listen(model, sounds)
    assert [ids(ear.tokens) for ear in again] == alone


@pytest.mark.parametrize("decoder", ["ctc", "rnnt"])
def test_hot_words_change_their_own_stream_only(nemo_file: MakeModel, decoder: str) -> None:
    model = loaded(nemo_file("hybrid"), 160, decoder)
    sounds = [SOUNDS[5], SOUNDS[6], SOUNDS[7]]
    plain = [listen(model, [sound])[0] for sound in sounds]
    hot = HotWords([(model.pieces_of("billing department"), 5.0)])
    lifted = listen(model, sounds, seed=4, hot_words=[None, hot, None])
    assert [ids(lifted[0].tokens), ids(lifted[2].tokens)] == [ids(plain[0].tokens), ids(plain[2].tokens)]
    assert ids(lifted[1].tokens) != ids(plain[1].tokens)
    assert lifted[1].text(model).count("b") > plain[1].text(model).count("b")
    none = HotWords([(model.pieces_of("billing department"), 0.0)])
    assert ids(listen(model, [sounds[1]], hot_words=[none])[0].tokens) == ids(plain[1].tokens)


def test_times_and_confidences_follow_the_sound(nemo_file: MakeModel) -> None:
    model = loaded(nemo_file("hybrid"), 160, "rnnt")
    sound = noise(6, 3.0)
    tokens = listen(model, [sound])[0].tokens
    frames = [token.frame for token in tokens]
    assert frames == sorted(frames) and frames[-1] <= len(sound) // 1280 + 1
    assert frames[-1] > 30
    assert all(0.0 < token.confidence <= 1.0 for token in tokens)


def test_bfloat16_runs_and_stays_near(nemo_file: MakeModel) -> None:
    """On the processor, for what it shows: nothing in the step insists on float32."""
    settings = NemoSettings(model=str(nemo_file("hybrid")), precision="bfloat16", max_streams=2, threads=1)
    model = load(settings, LocalModels())
    ear = listen(model, [noise(3, 2.0)])[0]
    assert ear.final and ear.tokens
