"""Many streams through one stepper, by the real scheduler, in an order that a seed decides."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from engines.base import EngineError
from engines.nemo.hot_words import HotWords
from engines.nemo.scheduler import Lane, Scheduler
from engines.nemo.stepper import Stepper
from engines.nemo.utterance import Post, Row, Utterance, Work
from engines.nemo.words import Script, Token
from media.frame import Pcm


def noise(seed: int, seconds: float, rate: int = 16000) -> Pcm:
    """Sound that changes all the time, so that random models write different things."""
    source = np.random.default_rng(seed)
    count = int(seconds * rate)
    tones = sum(
        np.sin(2 * np.pi * source.uniform(100, 4000) * np.arange(count) / rate + source.uniform(0, 6))
        * np.abs(np.sin(np.pi * source.uniform(0.5, 4) * np.arange(count) / rate))
        for _ in range(4)
    )
    return (tones * 2500 + source.normal(0, 900, count)).clip(-32768, 32767).astype(np.int16)


@dataclass
class Ear:
    """Serves `Listener`: remembers what was written."""

    tokens: list[Token] = field(default_factory=list)
    peeks: list[list[Token]] = field(default_factory=list)
    works: list[Work] = field(default_factory=list)
    error: EngineError | None = None
    final: bool = False

    def heard(self, utterance: Utterance, work: Work, tokens: Sequence[Token], post: Post) -> None:
        self.works.append(work)
        if work is Work.PEEK:
            self.peeks.append([*self.tokens, *tokens])
            return
        self.tokens += tokens
        self.final = work is Work.FINAL

    def failed(self, utterance: Utterance, error: EngineError, post: Post) -> None:
        self.error = error

    def text(self, stepper: Stepper) -> str:
        script = Script(stepper.vocabulary, stepper.geometry.output_seconds)
        script.add(self.tokens)
        return script.transcript(0, is_final=True).text


class NoPost:
    """Serves `Post` where nobody lives on a loop."""

    def add(self, loop: object, call: object) -> None: ...


@dataclass
class _Stream:
    sound: Pcm
    start: int
    ear: Ear
    hot_words: HotWords | None
    lane: Lane | None = None
    pushed: int = 0
    ended: bool = False


def listen(
    stepper: Stepper,
    sounds: Sequence[Pcm],
    seed: int | None = None,
    max_batch: int = 64,
    hot_words: Sequence[HotWords | None] = (),
    most: int = 4000,
) -> list[Ear]:
    """What each stream's ear heard. `seed`: streams join, push and pause at random; None: all alike."""
    choose = random.Random(seed)
    scheduler = Scheduler(stepper.geometry, stepper.slots, max_batch, max_late=1e9, max_behind=1e9)
    words = list(hot_words) or [None] * len(sounds)
    streams = [
        _Stream(sound, choose.randrange(30) if seed is not None else 0, Ear(), hot)
        for sound, hot in zip(sounds, words, strict=True)
    ]
    for tick in range(most):
        for stream in streams:
            _advance(scheduler, stream, tick, choose if seed is not None else None)
        taken = scheduler.take(float(tick))
        step(stepper, scheduler, taken)
        if all(stream.ear.final or stream.ear.error for stream in streams):
            return [stream.ear for stream in streams]
    raise AssertionError("not every stream got its final")


def _advance(scheduler: Scheduler, stream: _Stream, tick: int, choose: random.Random | None) -> None:
    """One tick of a caller's side."""
    if tick < stream.start or stream.ended:
        return
    if stream.lane is None:
        if scheduler.streams >= scheduler.slots:
            return
        stream.lane = scheduler.open(float(tick))
        scheduler.start(stream.lane, 1, stream.ear, stream.hot_words)
    size = choose.choice((0, 320, 1600, 5000)) if choose else 8000
    piece = stream.sound[stream.pushed : stream.pushed + size]
    stream.pushed += len(piece)
    if len(piece):
        scheduler.push(stream.lane, piece, float(tick))
    if choose and choose.random() < 0.1:
        scheduler.pause(stream.lane, float(tick))
    if stream.pushed >= len(stream.sound):
        scheduler.end(stream.lane, float(tick))
        stream.ended = True


def step(stepper: Stepper, scheduler: Scheduler, taken: list[tuple[Lane, Row]]) -> None:
    """One step, and what its outcomes mean for the streams."""
    rows = [row for _, row in taken if row.frames]
    outcomes = dict(zip(map(id, rows), stepper.step(rows) if rows else (), strict=True))
    for lane, row in taken:
        outcome = outcomes.get(id(row))
        if outcome is not None and outcome.error:
            row.utterance.listener.failed(row.utterance, EngineError(outcome.error), NoPost())
            scheduler.finish(lane, row.utterance)
            stepper.reset(row.slot)
            continue
        row.utterance.listener.heard(row.utterance, row.work, outcome.tokens if outcome else (), NoPost())
        if row.work is Work.FINAL:
            scheduler.finish(lane, row.utterance)
    scheduler.done([lane for lane, _ in taken])
    for lane, row in taken:
        if row.work is Work.FINAL:
            scheduler.close(lane)
