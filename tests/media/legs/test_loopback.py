from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from media.frame import AudioFrame, Pcm, Voice
from media.legs.base import (
    DtmfReceived,
    EndReason,
    LegAnswered,
    LegClosed,
    LegError,
    LegEvent,
    PlayoutDrained,
    PlayoutStarted,
    TransferAsked,
)
from media.legs.loopback import FarEnd, LoopbackLeg
from media.vad import VadMode, VadSettings, open_detector
from tests.virtual_time import run_virtual


class Ear:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.frames: list[AudioFrame] = []
        self.voices: list[Voice] = []
        self.events: list[LegEvent] = []

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        self.frames.append(frame)
        self.voices.append(voice)

    def notice(self, event: LegEvent) -> None:
        self.events.append(event)

    @property
    def sound(self) -> Pcm:
        return np.concatenate([frame.pcm for frame in self.frames])


def called(
    far_end: FarEnd,
    seconds: float = 1.0,
    also: Callable[[LoopbackLeg], Awaitable[None]] | None = None,
    sample_rate: int = 8000,
) -> tuple[LoopbackLeg, Ear]:
    """A call in virtual time: answered at once, left alone for `seconds`, then hung up."""

    async def main() -> tuple[LoopbackLeg, Ear]:
        detector = open_detector(VadSettings(mode=VadMode.WEBRTC))
        leg, ear = LoopbackLeg(far_end, detector, sample_rate=sample_rate), Ear()
        leg.attach(ear)
        await leg.answer()
        if also:
            await also(leg)
        await asyncio.sleep(seconds)
        await leg.hangup(EndReason.AGENT_HUNG_UP)
        return leg, ear

    return run_virtual(main())


def loud(seconds: float, value: int = 3000, rate: int = 8000) -> Pcm:
    return np.full(int(seconds * rate), value, np.int16)


@pytest.mark.parametrize("rate", [8000, 16000])
def test_frames_come_on_the_grid_with_what_is_said_where_it_is_said(rate: int) -> None:
    says = [(0.1, loud(0.05, rate=rate)), (0.5, loud(0.1, 77, rate))]
    _, ear = called(FarEnd(says), 0.99, sample_rate=rate)
    assert [frame.pts for frame in ear.frames] == [index * rate // 50 for index in range(49)]
    assert ear.frames[0].arrived == pytest.approx(0.02)
    assert ear.frames[-1].arrived == pytest.approx(0.98)
    said = np.flatnonzero(ear.sound) / rate
    assert said[0] == pytest.approx(0.1) and said[-1] == pytest.approx(0.6, abs=0.001)
    assert len(ear.voices) == len(ear.frames)


def test_overlapping_sounds_are_added_and_held_within_range() -> None:
    _, ear = called(FarEnd(says=[(0.0, loud(0.1, 30_000)), (0.05, loud(0.1, 30_000))]), 0.3)
    assert int(ear.sound.max()) == 32767
    assert ear.sound[1000] == 30_000


def test_the_far_end_hears_the_playout_and_its_news_arrive() -> None:
    async def say(leg: LoopbackLeg) -> None:
        leg.playout.write(np.arange(1, 401, dtype=np.int16), 1)
        leg.playout.finish()

    leg, ear = called(FarEnd(), 0.5, say)
    assert leg.sound()[:400].tolist() == list(range(1, 401))
    assert len(leg.heard) == len(ear.frames)
    news = [event for event in ear.events if isinstance(event, PlayoutStarted | PlayoutDrained)]
    assert [type(event) for event in news] == [PlayoutStarted, PlayoutDrained]
    assert [event.at for event in news] == pytest.approx([0.02, 0.06])
    assert isinstance(news[1], PlayoutDrained) and news[1].samples == 400
    assert leg.stats()["samples_sent"] == 400


def test_keys_are_pressed_in_order_at_their_times() -> None:
    _, ear = called(FarEnd(presses=[(0.5, "4"), (0.1, "12")]))
    pressed = [(event.digit, event.at) for event in ear.events if isinstance(event, DtmfReceived)]
    assert [digit for digit, _ in pressed] == ["1", "2", "4"]
    assert pressed[0][1] == pytest.approx(0.1) and pressed[2][1] == pytest.approx(0.5)


def test_it_hangs_up_when_it_said_it_would() -> None:
    _, ear = called(FarEnd(hangs_up_at=0.4), 2.0)
    closed = [event for event in ear.events if isinstance(event, LegClosed)]
    assert len(closed) == 1 and ear.events[-1] is closed[0]
    assert closed[0].reason is EndReason.CALLER_HUNG_UP and closed[0].at == pytest.approx(0.4)
    assert len(ear.frames) == 20


def test_it_hangs_up_after_silence_counted_from_the_last_sound_of_either() -> None:
    async def answer_late(leg: LoopbackLeg) -> None:
        await asyncio.sleep(0.8)
        leg.playout.write(loud(0.4), 1)

    _, ear = called(FarEnd(says=[(0.0, loud(0.5))], quiet_limit=1.0), 10.0, answer_late)
    closed = ear.events[-1]
    assert isinstance(closed, LegClosed) and closed.at == pytest.approx(1.2 + 1.0, abs=0.05)


def test_what_happened_before_somebody_listened_comes_first() -> None:
    async def main() -> list[LegEvent]:
        leg, ear = LoopbackLeg(FarEnd(), open_detector(VadSettings(mode=VadMode.WEBRTC))), Ear()
        await leg.ring()
        await leg.answer()
        leg.attach(ear)
        await leg.hangup(EndReason.DIALPLAN_HUNG_UP)
        await leg.hangup(EndReason.AGENT_HUNG_UP)
        return ear.events

    events = run_virtual(main())
    assert [type(event) for event in events] == [LegAnswered, LegClosed]
    assert isinstance(events[1], LegClosed) and events[1].reason is EndReason.DIALPLAN_HUNG_UP


def test_a_refused_call_cannot_be_answered() -> None:
    async def main() -> LegClosed:
        leg = LoopbackLeg(FarEnd(), open_detector(VadSettings(mode=VadMode.WEBRTC)))
        await leg.reject(486, reason="busy")
        with pytest.raises(LegError):
            await leg.answer()
        with pytest.raises(LegError):
            await leg.send_dtmf("1")
        closed = leg.noticed[-1]
        assert isinstance(closed, LegClosed)
        return closed

    closed = run_virtual(main())
    assert (closed.reason, closed.sip_code, closed.detail) == (EndReason.REJECTED, 486, "busy")


def test_keys_sent_to_it_are_noted() -> None:
    async def press(leg: LoopbackLeg) -> None:
        await leg.send_dtmf("12")
        await leg.send_dtmf("#")

    assert called(FarEnd(), 0.1, press)[0].digits_sent == "12#"


def test_a_minute_of_call_is_the_same_to_the_sample_every_time() -> None:
    far_end = FarEnd(says=[(second, loud(0.3)) for second in range(0, 60, 7)])
    first, second = called(far_end, 60.0), called(far_end, 60.0)
    assert first[1].voices == second[1].voices
    assert first[0].noticed == second[0].noticed


def test_a_far_end_on_hold_is_not_heard() -> None:
    voice = np.full(8000, 3000, np.int16)

    async def hold_for_a_while(leg: LoopbackLeg) -> None:
        await asyncio.sleep(0.2)
        await leg.hold(True)
        await leg.hold(True)
        await asyncio.sleep(0.2)
        await leg.hold(False)

    leg, ear = called(FarEnd(says=[(0.0, voice)]), 0.2, hold_for_a_while)
    loud = [bool(frame.pcm.any()) for frame in ear.frames]
    assert loud[:9] == [True] * 9 and loud[11:19] == [False] * 8 and loud[22:] == [True] * len(loud[22:])
    assert leg.holds == [True, False]


@pytest.mark.parametrize(
    ("script", "codes", "error"),
    [
        ([(0.1, 100), (0.2, 180), (0.9, 200)], [100, 180, 200], 0),
        ([(0.1, 403)], [], 403),
        ([(0.1, 100), (0.4, 486)], [100, 486], 486),
        ([], [], 408),
        ([(0.1, 100), (3.0, 200)], [100], 408),
    ],
)
def test_a_transfer_goes_as_the_script_says(
    script: list[tuple[float, int]], codes: list[int], error: int
) -> None:
    told: list[int] = []
    failed: list[int] = []

    async def send_away(leg: LoopbackLeg) -> None:
        await leg.hold(True)
        try:
            await leg.transfer("4711", deadline=2.0, progress=told.append)
        except LegError as problem:
            failed.append(problem.sip_code)

    leg, _ = called(FarEnd(transfers=script), 0.1, send_away)
    assert (told, failed) == (codes, [error] if error else [])
    assert leg.holds == ([True, False] if error else [True]) and leg.transferred_to == ["4711"]


def test_a_far_end_that_hangs_up_once_it_was_sent_away_has_gone() -> None:
    async def send_away(leg: LoopbackLeg) -> None:
        await leg.transfer("4711", deadline=5.0, progress=lambda code: None)

    _, ear = called(FarEnd(transfers=[(2.0, 200)], hangs_up_at=1.0), 0.0, send_away)
    assert isinstance(ear.events[-1], LegClosed)


def test_a_far_end_that_asks_to_be_sent_elsewhere_is_answered_once() -> None:
    async def agree(leg: LoopbackLeg) -> None:
        with pytest.raises(LegError):
            await leg.accept_transfer()
        await asyncio.sleep(0.3)
        await leg.accept_transfer()
        await leg.refuse_transfer()
        await leg.report_transfer(200)

    leg, ear = called(FarEnd(asks=[(0.2, "sip:4711@example.net")]), 0.1, agree)
    assert [event.target for event in ear.events if isinstance(event, TransferAsked)] == [
        "sip:4711@example.net"
    ]
    assert leg.transfer_answers == [202, 100, 200]
