"""Recordings: what ends them, what is kept of them, and their words."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from gateway.dialplan.actions import Answer, SayText
from gateway.dialplan.actions_ask import Record
from gateway.dialplan.match import Match, Route
from gateway.dialplan.plan import Dialplan
from gateway.dialplan.steps import Step
from media.legs.base import DtmfReceived, EndReason, LegEvent
from media.wav import read_wav
from tests.fakes.asr import ScriptedAsr
from tests.fakes.desk import FrontDesk, Phone
from tests.fakes.tts import ToneTts
from tests.virtual_time import run_virtual

WORDS = [(1.0, 2.0, "hello"), (3.5, 4.5, "world")]
"""Two sentences, with a pause longer than that which ends one."""
SPANS = [(1.0, 2.0), (3.5, 4.5)]


class Taped:
    """What came of a call that was recorded."""

    def __init__(self, folder: Path, action: Record, says: Sequence[tuple[float, float]] = SPANS) -> None:
        self.folder = folder
        self.tts = ToneTts()
        self.asr = ScriptedAsr(WORDS)
        self.phone = Phone(says=says)
        self.action = action
        self.hangs_up = 0.0

    def run(self, does: Sequence[tuple[float, LegEvent]] = ()) -> Taped:
        async def main() -> None:
            desk = FrontDesk([], asr=self.asr, tts=self.tts, folder=self.folder)
            step = Step(self.action, no_input=(Step(SayText("Nothing.")),))
            steps = (Step(Answer()), step, Step(SayText("You said ${transcript}.")))
            desk.plan = Dialplan((Route("one", Match(), steps),))
            self.phone.does = list(does)
            desk.reception.take(self.phone)
            if self.hangs_up:
                await asyncio.sleep(self.hangs_up)
                self.phone.close(EndReason.CALLER_HUNG_UP)
            await desk.until_idle()
            (self.record,) = desk.keeper.records

        run_virtual(main())
        return self

    @property
    def sound(self) -> tuple[float, float]:
        """Seconds of the file, and of voice in it."""
        (path,) = self.folder.rglob("*.wav")
        assert path.stat().st_mode & 0o77 == 0, "nobody else may read it"
        pcm, rate = read_wav(path)
        return len(pcm) / rate, float(np.count_nonzero(np.abs(pcm) > 1000)) / rate


def test_silence_ends_it_and_is_not_kept(tmp_path: Path) -> None:
    taped = Taped(tmp_path, Record(silence=2.0, transcript=True, beep=False)).run()
    seconds, voice = taped.sound
    assert voice == pytest.approx(2.0, abs=0.05)
    assert seconds == pytest.approx(5.3, abs=0.1), "to the end of the last word, and a breath"
    assert taped.tts.spoken == ["You said hello world."]


def test_a_key_ends_it(tmp_path: Path) -> None:
    does = [(2.4, DtmfReceived("5", 2.4)), (5.0, DtmfReceived("#", 5.0))]
    taped = Taped(tmp_path, Record(silence=0, transcript=True, beep=False)).run(does)
    assert taped.sound[0] == pytest.approx(5.0, abs=0.05)
    assert taped.tts.spoken == ["You said hello world."]


def test_the_limit_ends_it_in_the_middle_of_a_word_which_is_written_down(tmp_path: Path) -> None:
    taped = Taped(tmp_path, Record(max_seconds=4.2, transcript=True, beep=False)).run()
    assert taped.sound[0] == pytest.approx(4.2, abs=0.05)
    assert taped.tts.spoken == ["You said hello world."]


def test_who_hangs_up_leaves_what_he_said(tmp_path: Path) -> None:
    taped = Taped(tmp_path, Record(transcript=True, beep=False))
    taped.hangs_up = 3.0
    taped.run()
    assert taped.sound[1] == pytest.approx(1.0, abs=0.05)
    assert taped.record.end_reason is EndReason.CALLER_HUNG_UP and taped.tts.spoken == []


def test_who_says_nothing_is_told_so(tmp_path: Path) -> None:
    taped = Taped(tmp_path, Record(silence=2.0, beep=False), says=()).run()
    assert taped.sound == (0.0, 0.0)
    assert taped.tts.spoken == ["Nothing.", "You said ."]


def test_the_beep_is_not_in_it(tmp_path: Path) -> None:
    taped = Taped(tmp_path, Record(silence=1.0), says=()).run()
    beep = [np.abs(pcm).max() for at, _, pcm in taped.phone.playout.heard if at < 0.5]
    assert max(beep) > 3000 and taped.sound[1] == 0.0


def test_a_recogniser_that_is_lost_costs_the_words_and_not_the_sound(tmp_path: Path) -> None:
    taped = Taped(tmp_path, Record(silence=2.0, transcript=True, beep=False))
    taped.asr = ScriptedAsr(WORDS, dies_at=[1.5, 1.6, 1.7])
    taped.run()
    assert taped.sound[1] == pytest.approx(2.0, abs=0.05)
    assert taped.tts.spoken == ["You said ."]


def test_two_recordings_of_one_second_have_two_names(tmp_path: Path) -> None:
    async def main() -> None:
        desk = FrontDesk([], folder=tmp_path)
        record = Step(Record(max_seconds=1.0, beep=False, silence=0))
        desk.plan = Dialplan((Route("one", Match(), (Step(Answer()), record, record)),))
        desk.reception.take(Phone(says=SPANS))
        await desk.until_idle()

    run_virtual(main())
    assert len(list(tmp_path.rglob("*.wav"))) == 2
