"""One segment: interims, the early decode and its taking back, pieces of a long turn, exactly one final."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from engines.base import EngineBusy, EngineFailed, Transcript
from engines.embedded.decode_pool import Priority
from engines.embedded.moonshine_interim import InterimSettings
from engines.embedded.moonshine_segment import Phase, PieceSettings, Segment, Workshop
from media.frame import AudioFrame
from tests.fakes.decodes import HeldPool, TellingEar

RATE = 8000
LOUD, QUIET = 8000, 2


class Bench:
    """A segment between a pool and an ear that the test holds."""

    def __init__(self, *answers: str, interim: bool = True) -> None:
        self.pool = HeldPool()
        self.ear = TellingEar(list(answers))
        self.counts: Counter[str] = Counter()
        interims = InterimSettings(every=0.5, first=1.0)
        shop = Workshop(self.pool, self.ear, self.counts, interims, PieceSettings())
        self.segment = Segment(
            7, shop, sample_rate=RATE, hot_words=None, interim=interim, changed=lambda: None
        )
        self._pts = 0

    def push(self, seconds: float, level: int = LOUD) -> None:
        for _ in range(round(seconds * 50)):
            pcm = np.full(160, level, np.int16)
            pcm[::2] *= -1
            self.segment.push(AudioFrame(pcm, RATE, self._pts, 0.0))
            self._pts += 160

    def take(self) -> list[Transcript]:
        taken, self.segment.outbox = self.segment.outbox, []
        return taken

    @property
    def texts(self) -> list[str]:
        return [transcript.text for transcript in self.take()]


def test_final_holds_all_audio_pushed() -> None:
    bench = Bench("hello there", interim=False)
    bench.push(2.0)
    bench.segment.end()
    assert bench.take() == []
    bench.pool.run()
    assert bench.take() == [Transcript(7, "hello there", True, confidence=0.9, stable_chars=11)]
    assert bench.segment.phase is Phase.SETTLED
    assert [len(stretch.pcm) for stretch in bench.ear.heard] == [2 * RATE]


def test_interims_show_only_what_two_passes_agree_on() -> None:
    bench = Bench("please in", "please enter your", "please enter your pass")
    shown: list[list[str]] = []
    for _ in range(3):
        bench.push(1.0 if not shown else 0.5)
        bench.pool.run()
        shown.append(bench.texts)
    assert shown == [[], ["please"], ["please enter your"]]


def test_no_interims_unless_asked_for() -> None:
    bench = Bench(interim=False)
    bench.push(5.0)
    assert bench.pool.waiting == []


def test_one_pass_at_a_time() -> None:
    bench = Bench()
    bench.push(3.0)
    assert bench.pool.waiting == [Priority.INTERIM]
    assert bench.counts["interim_skipped"] == 4


def test_early_decode_becomes_the_final_at_once() -> None:
    bench = Bench("press one", interim=False)
    bench.push(2.0)
    bench.segment.pause()
    bench.pool.run()
    early = bench.take()
    assert [(t.text, t.early, t.is_final) for t in early] == [("press one", True, False)]
    bench.push(0.4, QUIET)
    bench.segment.end()
    assert [(t.text, t.early, t.is_final) for t in bench.take()] == [("press one", False, True)]
    assert bench.pool.waiting == []
    assert bench.counts["early_claimed"] == 1


def test_early_decode_still_running_is_claimed_and_made_urgent() -> None:
    bench = Bench("press one", interim=False)
    bench.push(2.0)
    bench.segment.pause()
    bench.segment.end()
    assert bench.pool.waiting == [Priority.FINAL]
    bench.pool.run()
    assert [(t.text, t.early, t.is_final) for t in bench.take()] == [("press one", False, True)]


def test_speech_after_the_pause_spoils_the_early_decode_even_without_resume() -> None:
    bench = Bench("press", "press one", interim=False)
    bench.push(2.0)
    bench.segment.pause()
    bench.pool.run()
    bench.push(0.4, LOUD)
    bench.segment.end()
    bench.pool.run()
    assert bench.take()[-1].text == "press one"
    assert bench.counts["early_stale"] == 1


@pytest.mark.parametrize("finished", [True, False])
def test_resume_throws_the_early_decode_away(finished: bool) -> None:
    bench = Bench(*(["press"] if finished else []), "press one", interim=False)
    bench.push(2.0)
    bench.segment.pause()
    if finished:
        bench.pool.run()
    bench.take()
    bench.segment.resume()
    bench.push(1.0)
    bench.segment.end()
    bench.pool.run()
    assert [(t.text, t.is_final) for t in bench.take()] == [("press one", True)]
    assert bench.counts["early_thrown_away"] == 1
    assert len(bench.ear.heard[-1].pcm) == 3 * RATE


def test_early_decode_serves_as_draft_of_the_next() -> None:
    bench = Bench("press one", "press one now", interim=False)
    bench.push(2.0)
    bench.segment.pause()
    bench.pool.run()
    bench.segment.resume()
    bench.push(1.0)
    bench.segment.end()
    bench.pool.run()
    assert bench.ear.heard[1].draft == (0, 1)


def test_early_decode_shed_after_it_was_claimed_is_decoded_as_a_final() -> None:
    bench = Bench("press one", interim=False)
    bench.push(2.0)
    bench.segment.pause()
    bench.segment.end()
    bench.pool.drop()
    assert bench.pool.waiting == [Priority.FINAL]
    bench.pool.run()
    assert [t.text for t in bench.take() if t.is_final] == ["press one"]


def test_early_decode_shed_at_once_costs_nothing_but_time() -> None:
    bench = Bench("press one", interim=False)
    bench.pool.shed.add(Priority.EARLY)
    bench.push(2.0)
    bench.segment.pause()
    assert bench.pool.waiting == []
    bench.segment.end()
    bench.pool.run()
    assert bench.texts == ["press one"]


def test_long_turn_is_cut_at_its_pause_and_its_pieces_joined() -> None:
    bench = Bench(interim=False)
    bench.push(8.0)
    bench.push(0.4, QUIET)
    bench.push(3.6)
    assert bench.pool.waiting == [Priority.FINAL]
    bench.push(1.0)
    bench.segment.end()
    bench.pool.run()
    first, second = bench.ear.heard
    assert len(first.pcm) / RATE == pytest.approx(8.2, abs=0.11)
    assert len(first.pcm) + len(second.pcm) == 13 * RATE
    assert bench.texts == ["1 2 3 4 5 6 7 8 1 2 3 4"]
    assert bench.counts["pieces_cut"] == 1


def test_final_waits_for_the_pieces_before_it() -> None:
    bench = Bench("the end", "the beginning", interim=False)
    bench.push(13.0)
    bench.segment.end()
    bench.pool.run_one(1)
    assert bench.take() == []
    bench.pool.run()
    assert bench.texts == ["the beginning the end"]


def test_cancel_leaves_nothing_behind() -> None:
    bench = Bench()
    bench.push(13.0)
    bench.segment.pause()
    bench.segment.cancel()
    bench.pool.run()
    assert bench.ear.heard == []
    assert bench.take() == []
    assert bench.segment.phase is Phase.SETTLED


def test_segment_without_audio_has_an_empty_final() -> None:
    bench = Bench("")
    bench.segment.end()
    bench.pool.run()
    assert [(t.text, t.is_final) for t in bench.take()] == [("", True)]


def test_broken_decode_of_a_final_is_an_error_not_silence() -> None:
    bench = Bench(interim=False)
    bench.ear.breaks = True
    bench.push(1.0)
    bench.segment.end()
    bench.pool.run()
    assert isinstance(bench.segment.error, EngineFailed)
    assert bench.take() == []
    assert bench.segment.phase is Phase.SETTLED


def test_broken_early_decode_is_tried_again_as_the_final() -> None:
    bench = Bench("press one", interim=False)
    bench.push(1.0)
    bench.ear.breaks = True
    bench.segment.pause()
    bench.pool.run()
    bench.ear.breaks = False
    bench.segment.end()
    bench.pool.run()
    assert bench.texts == ["press one"]


def test_full_queue_is_an_error_of_the_segment() -> None:
    bench = Bench(interim=False)
    bench.pool.full = True
    bench.push(1.0)
    bench.segment.end()
    assert isinstance(bench.segment.error, EngineBusy)


def test_endless_pause_stays_bounded() -> None:
    bench = Bench(interim=False)
    bench.push(1.0)
    bench.segment.pause()
    bench.push(60.0, QUIET)
    assert bench.counts["pieces_cut"] >= 2


@pytest.mark.parametrize(
    "wrong", [{"longest": 5.0}, {"longest": 30.0}, {"shortest": 11.0}, {"shortest": 1.0}]
)
def test_piece_settings_name_the_field(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PieceSettings(**wrong)
