"""The loop's side of a SIP call: one state, one closing event, and nothing lost before somebody listens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar, cast

import framebus
import numpy as np
import pytest

from media.frame import AudioFrame, Voice
from media.legs.base import (
    Direction,
    DtmfReceived,
    EndReason,
    LegAnswered,
    LegClosed,
    LegError,
    LegEvent,
    LegHeld,
    LegResumed,
    Parties,
    PlayoutStarted,
)
from media.legs.recorded import RecordedLeg
from media.legs.sip import LegState, SipLeg
from media.legs.sip_call import SipCall
from media.legs.sip_ends import EndedBy
from media.legs.sip_facts import Accepted, Confirmed, Digit, Ended, MediaChanged
from media.legs.sip_settings import SipSettings
from media.recorder import TapeDisk

T = TypeVar("T")
UP = MediaChanged(active=True, held=False, codec="PCMU", sample_rate=8000)
HELD = MediaChanged(active=True, held=True, codec="PCMU", sample_rate=8000)
GONE = Ended(EndedBy.FAR_END, 200, "said goodbye", {"rx_packets": 7})


class ScriptedCall:
    """Writes down what the leg asks of the SIP thread."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def respond(self, code: int, headers: Any = (), phrase: str = "") -> None:
        self.asked.append(("respond", code, *headers))

    def end(self, code: int, headers: Any = ()) -> None:
        self.asked.append(("end", code, *(value for _, value in headers)))

    def send_keys(self, digits: str, *, rtp: bool, info: bool) -> None:
        self.asked.append(("keys", digits, rtp, info))


class Desk:
    """An endpoint without a network."""

    def __init__(self, **settings: Any) -> None:
        self.settings = SipSettings(**settings)
        self.call = ScriptedCall()

    async def on_call(self, key: int, command: Callable[[SipCall], T]) -> T:
        return command(cast(SipCall, self.call))

    def post_to_call(self, key: int, command: Callable[[SipCall], None]) -> None:
        command(cast(SipCall, self.call))

    async def transfer_target(self, key: int, target: str) -> str:
        return f"sip:{target}@peer"

    async def replace_target(self, leg_id: str) -> str:
        return f"<sip:{leg_id}@peer?Replaces=x>"

    def patch(self, bus_leg: int, leg_id: str) -> bool:
        return leg_id.startswith("sip-")

    def unpatch(self, bus_leg: int) -> None: ...

    def bus_stats(self, leg: int) -> dict[str, int]:
        return {"underrun": 3}


class Bus:
    """The few functions of the frame bus that a playout needs."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def write(self, leg: int, pcm: Any, reply: int) -> int:
        self.asked.append("write")
        return len(pcm)

    def clear(self, leg: int) -> tuple[int, int]:
        return 1, 160

    def position(self, leg: int) -> tuple[int, int]:
        return 1, 80


class Ear:
    def __init__(self) -> None:
        self.heard: list[int] = []
        self.events: list[LegEvent] = []

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        self.heard.append(frame.pts)

    def notice(self, event: LegEvent) -> None:
        self.events.append(event)

    def kinds(self) -> list[type]:
        return [type(event) for event in self.events]


class Scene:
    """A leg, its desk and its listener."""

    def __init__(self, direction: Direction = Direction.INBOUND, **settings: Any) -> None:
        self.desk = Desk(**settings)
        self.bus = Bus()
        self.leg = SipLeg(self.desk, 1, self.bus, 5, direction, Parties("a", "b"))
        self.ear = Ear()
        self.leg.attach(self.ear)

    def up(self) -> Scene:
        for fact in (Accepted(), UP, Confirmed()):
            self.leg.fact(fact)
        return self


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


def frame(pts: int) -> AudioFrame:
    return AudioFrame(np.zeros(160, np.int16), 8000, pts, 0.0)


def test_a_call_from_answer_to_goodbye() -> None:
    async def main() -> None:
        scene = Scene().up()
        assert (scene.leg.state, scene.leg.sample_rate) == (LegState.UP, 8000)
        scene.leg.fact(Digit("5", 1.0))
        scene.leg.fact(GONE)
        assert scene.ear.kinds() == [LegAnswered, DtmfReceived, LegClosed]
        closed = scene.ear.events[-1]
        assert isinstance(closed, LegClosed)
        assert (closed.reason, closed.sip_code, closed.detail) == (
            EndReason.CALLER_HUNG_UP, 200, "said goodbye",
        )  # fmt: skip
        stats = {"rx_packets": 7, "codec": "PCMU", "sample_rate": 8000, "underrun": 3}
        assert scene.leg.stats() == {**stats, "one_way": 0, "keys_repeated": 0}

    run(main)


@pytest.mark.parametrize("facts", [(Accepted(), UP), (UP, Accepted())])
def test_it_is_up_when_both_the_answer_and_the_media_are_there(facts: tuple[Any, ...]) -> None:
    async def main() -> None:
        scene = Scene()
        states = []
        for fact in facts:
            scene.leg.fact(fact)
            states.append(scene.leg.state)
        assert states == [LegState.SETUP, LegState.UP]

    run(main)


def test_the_closing_event_comes_once_and_last() -> None:
    async def main() -> None:
        scene = Scene().up()
        for fact in (GONE, GONE, Digit("1", 0.0), HELD):
            scene.leg.fact(fact)
        assert scene.ear.kinds() == [LegAnswered, LegClosed]

    run(main)


def test_hold_and_resume_are_told_once_each() -> None:
    async def main() -> None:
        scene = Scene().up()
        for fact in (HELD, HELD, UP, UP):
            scene.leg.fact(fact)
        assert scene.ear.kinds() == [LegAnswered, LegHeld, LegResumed]

    run(main)


def test_hanging_up_twice_asks_once_and_our_reason_wins() -> None:
    async def main() -> None:
        scene = Scene().up()
        await scene.leg.hangup(EndReason.NO_INPUT)
        await scene.leg.hangup(EndReason.DRAINED)
        assert scene.desk.call.asked == [("end", 0, 'Q.850;cause=31;text="no_input"')]
        scene.leg.fact(Ended(EndedBy.US, 200, ""))
        closed = scene.ear.events[-1]
        assert isinstance(closed, LegClosed) and closed.reason is EndReason.NO_INPUT

    run(main)


def test_a_goodbye_that_crosses_ours_is_the_far_ends() -> None:
    async def main() -> None:
        scene = Scene().up()
        await scene.leg.hangup(EndReason.NO_INPUT)
        scene.leg.fact(GONE)
        closed = scene.ear.events[-1]
        assert isinstance(closed, LegClosed) and closed.reason is EndReason.CALLER_HUNG_UP

    run(main)


def test_hanging_up_before_the_answer_refuses() -> None:
    async def main() -> None:
        scene = Scene()
        await scene.leg.hangup(EndReason.ENGINE_FAILED)
        assert scene.desk.call.asked[0][:2] == ("end", 503)

    run(main)


def test_answering_waits_for_media_and_fails_when_the_call_ends() -> None:
    async def main() -> None:
        scene = Scene()
        answering = asyncio.create_task(scene.leg.answer())
        await asyncio.sleep(0)
        assert not answering.done()
        scene.leg.fact(Ended(EndedBy.FAR_END, 487, ""))
        with pytest.raises(LegError) as error:
            await answering
        assert error.value.sip_code == 487

    run(main)


def test_without_an_ack_the_call_is_given_up() -> None:
    async def main() -> None:
        scene = Scene(ack_timeout_s=1.0)
        scene.leg.fact(Accepted())
        scene.leg.fact(UP)
        await asyncio.sleep(1.05)
        assert scene.desk.call.asked == [("end", 0, 'Q.850;cause=102;text="signalling_lost"')]

    run(main)


def test_an_ack_that_owed_us_an_answer_and_brought_none_ends_the_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("media.legs.sip._ANSWER_IN_ACK_S", 0.01)

    async def main() -> None:
        scene = Scene()
        scene.leg.fact(Accepted())
        scene.leg.fact(Confirmed())
        await asyncio.sleep(0.03)
        assert scene.desk.call.asked == [("end", 0, 'Q.850;cause=102;text="media_lost"')]
        late = Scene()
        for fact in (Accepted(), Confirmed(), UP):
            late.leg.fact(fact)
        await asyncio.sleep(0.03)
        assert late.desk.call.asked == [] and late.leg.state is LegState.UP

    run(main)


def test_early_media_is_there_when_audio_flows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("media.legs.sip._EARLY_MEDIA_S", 0.02)

    async def main() -> None:
        scene = Scene()
        ringing = asyncio.create_task(scene.leg.ring(early_media=True))
        await asyncio.sleep(0)
        assert scene.desk.call.asked == [("respond", 183)] and not ringing.done()
        scene.leg.fact(UP)
        await ringing
        assert (scene.leg.state, scene.leg.sample_rate) == (LegState.SETUP, 8000)
        with pytest.raises(LegError, match="no offer"):
            await Scene().leg.ring(early_media=True)
        gone = Scene()
        ringing = asyncio.create_task(gone.leg.ring(early_media=True))
        await asyncio.sleep(0)
        gone.leg.fact(GONE)
        with pytest.raises(LegError, match="before it was up"):
            await ringing

    run(main)


def test_a_refusal_carries_its_headers_and_a_harmless_text() -> None:
    async def main() -> None:
        scene = Scene()
        await scene.leg.reject(486, retry_after=9, reason='busy "now"\r\nVia: evil')
        assert scene.desk.call.asked == [
            ("respond", 486, ("Retry-After", "9"), ("Warning", '399 offhook "busy nowVia: evil"'))
        ]

    run(main)


@pytest.mark.parametrize("code", [200, 183, 299, 700, 0])
def test_only_refusals_refuse(code: int) -> None:
    async def main() -> None:
        with pytest.raises(LegError):
            await Scene().leg.reject(code)

    run(main)


def test_what_does_not_fit_the_state_is_an_error() -> None:
    async def main() -> None:
        scene = Scene().up()
        for wrong in (scene.leg.answer(), scene.leg.ring(), scene.leg.reject(486)):
            with pytest.raises(LegError):
                await wrong
        with pytest.raises(LegError):
            await Scene(Direction.OUTBOUND).leg.answer()
        with pytest.raises(LegError):
            await Scene().leg.send_dtmf("1")

    run(main)


def test_keys_go_out_as_the_settings_say() -> None:
    async def main() -> None:
        scene = Scene(dtmf_info=False).up()
        await scene.leg.send_dtmf("12#")
        assert scene.desk.call.asked == [("keys", "12#", True, False)]
        for bad in ("", "x", "1 2"):
            with pytest.raises(LegError):
                await scene.leg.send_dtmf(bad)
        with pytest.raises(LegError):
            await Scene(dtmf_info=False, dtmf_rtp=False).up().leg.send_dtmf("1")

    run(main)


def test_what_came_before_the_listener_is_delivered_first_and_bounded() -> None:
    async def main() -> None:
        desk, ear = Desk(), Ear()
        leg = SipLeg(desk, 1, Bus(), 5, Direction.INBOUND, Parties("a", "b"))
        for fact in (Accepted(), UP):
            leg.fact(fact)
        for pts in range(150):
            leg.frame(frame(pts), Voice(False, 0.0))
        leg.fact(GONE)
        leg.attach(ear)
        assert ear.kinds() == [LegAnswered, LegClosed]
        assert ear.heard == list(range(50, 150))

    run(main)


def test_playout_events_are_passed_on() -> None:
    async def main() -> None:
        scene = Scene().up()
        for kind in (framebus.STARTED, framebus.MARK, framebus.DRAINED, framebus.UNDERRUN):
            scene.leg.bus_event(kind, 3, 160, 1.5)
        assert scene.ear.events[1] == PlayoutStarted(3, 1.5)
        assert len(scene.ear.events) == 4

    run(main)


def test_the_playout_is_silent_once_the_leg_is_over() -> None:
    async def main() -> None:
        scene = Scene().up()
        pcm = np.zeros(160, np.int16)
        assert scene.leg.playout.write(pcm, 1) == 160
        assert (scene.leg.playout.clear(), scene.leg.playout.position()) == (160, 80)
        scene.leg.fact(GONE)
        assert scene.leg.playout.write(pcm, 1) == 0
        assert (scene.leg.playout.clear(), scene.leg.playout.position()) == (160, 160), (
            "what was sent stays known"
        )
        assert scene.bus.asked == ["write"]

    run(main)


def test_a_recorded_leg_is_not_patched_past_its_tape(tmp_path: Path) -> None:
    async def main() -> None:
        near, far = Scene().up(), Scene().up()
        assert near.leg.patch(far.leg)
        with closing(TapeDisk()) as disk:
            assert not near.leg.patch(RecordedLeg(far.leg, tmp_path / "far.wav", disk))

    run(main)
