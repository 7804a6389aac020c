"""A whole call with an agent that hears and speaks by itself, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engines.base import TtsOptions
from gateway.agents.sound import SoundAgent
from gateway.calls.call import Call
from gateway.calls.orders import Order
from gateway.calls.record import CallRecord
from gateway.calls.settings import CallFacts, SessionSettings
from gateway.calls.sound_stage import SoundStage
from gateway.calls.speaking import SpeakingVoice
from gateway.calls.stage import CallOver, StageEnd
from media.frame import Pcm
from media.legs.base import EndReason, LegAnswered, LegEvent, LegListener, Parties
from media.legs.loopback import FarEnd, LoopbackLeg
from tests.calls.place_call import Watcher
from tests.fakes.app_socket import AppDial
from tests.fakes.tts import ToneTts
from tests.fakes.voices import LoudIsVoice, sound
from tests.virtual_time import run_virtual

SETTINGS = SessionSettings()
TICK = 0.02


@dataclass
class SoundOutcome:
    """What came of a call."""

    end: StageEnd
    record: CallRecord
    leg: LoopbackLeg
    watcher: Watcher
    dial: AppDial
    tasks_left: list[str]

    @property
    def heard(self) -> Pcm:
        """What the caller heard, from the answer on."""
        return self.leg.sound()

    @property
    def sent(self) -> list[tuple[float, Any]]:
        """What the first connection was sent, with the time."""
        return self.dial.sockets[0].got

    @property
    def audible(self) -> list[tuple[float, float]]:
        """When the caller heard us, in seconds, to the frame."""
        spans: list[list[float]] = []
        for number, frame in enumerate(self.leg.heard):
            if frame.any():
                if spans and number * TICK - spans[-1][1] < TICK / 2:
                    spans[-1][1] = (number + 1) * TICK
                else:
                    spans.append([number * TICK, (number + 1) * TICK])
        return [(round(start, 2), round(end, 2)) for start, end in spans]


class CodecLeg(LoopbackLeg):
    """A far end whose network has this codec."""

    def __init__(
        self, codec: str, far_end: FarEnd, detector: LoudIsVoice, *, leg_id: str, sample_rate: int
    ) -> None:
        super().__init__(far_end, detector, leg_id=leg_id, sample_rate=sample_rate)
        self.codec = codec

    def attach(self, listener: LegListener) -> None:
        super().attach(_Renaming(listener, self.codec))


class _Renaming:
    def __init__(self, listener: LegListener, codec: str) -> None:
        self.hear, self._notice, self._codec = listener.hear, listener.notice, codec

    def notice(self, event: LegEvent) -> None:
        self._notice(replace(event, codec=self._codec) if isinstance(event, LegAnswered) else event)


def place_sound_call(
    make: Callable[[AppDial], SoundAgent],
    dial: AppDial,
    *,
    says: Sequence[tuple[float, float]] = (),
    presses: Sequence[tuple[float, str]] = (),
    until: float = 10.0,
    rate: int = 8000,
    settings: SessionSettings = SETTINGS,
    does: Sequence[tuple[float, LegEvent]] = (),
    meet: Callable[[SoundStage], Any] = lambda stage: None,
    obeyed: list[Order] | None = None,
    codec: str = "PCMU",
    tts: ToneTts | None = None,
) -> SoundOutcome:
    """The caller speaks in each (start, end), presses keys, and hangs up at `until`."""

    async def call() -> SoundOutcome:
        voice = sound(says, max((end for _, end in says), default=0.0) + 0.1, rate)
        far_end = FarEnd([(0.0, voice)], presses, hangs_up_at=until, parties=Parties("100", "200", "pbx"))
        leg = CodecLeg(codec, far_end, LoudIsVoice(), leg_id="call-1", sample_rate=rate)
        watcher = Watcher()
        served = Call(leg, CallFacts("call-1"), [watcher])
        served.open()

        async def obey(order: Order) -> None:
            assert obeyed is not None
            obeyed.append(order)

        spoken = SpeakingVoice(tts or ToneTts(), TtsOptions(rate), settings.deadlines)
        stage = SoundStage(served, make(dial), settings, obey, spoken)
        for at, event in does:
            asyncio.get_running_loop().call_at(at, served.notice, event)
        meeting = meet(stage)
        end = await stage.run()
        reason = end.reason if isinstance(end, CallOver) else EndReason.DIALPLAN_HUNG_UP
        record = await served.close(reason)
        if meeting is not None:
            await meeting
        await dial.aclose()
        await asyncio.sleep(0)
        mine = asyncio.current_task()
        left = [task.get_name() for task in asyncio.all_tasks() if task is not mine]
        return SoundOutcome(end, record, leg, watcher, dial, left)

    return run_virtual(call())


def with_guards(**seconds: Any) -> SessionSettings:
    """The settings with other guards."""
    turns = replace(SETTINGS.turns, guards=replace(SETTINGS.turns.guards, **seconds))
    return replace(SETTINGS, turns=turns)


def loud(seconds: float, level: int = 8000, rate: int = 8000) -> Pcm:
    """Something that a caller cannot miss, every sample of it."""
    return np.full(round(seconds * rate), level, np.int16)
