"""What is awaited in a call ends when the call does, or makes room."""

from __future__ import annotations

import asyncio

import pytest

from engines.base import TtsOptions
from gateway.announcer import Announcer, BrokenOff, CallerGone
from gateway.calls.call import Call
from gateway.calls.orders import GoTo
from gateway.calls.settings import CallFacts, DeadlineSettings
from gateway.calls.speaking import SpeakingVoice
from media.legs.base import EndReason
from tests.fakes.desk import Phone
from tests.fakes.tts import ToneTts
from tests.virtual_time import run_virtual


def announcer() -> Announcer:
    voice = SpeakingVoice(ToneTts(), TtsOptions(8000), DeadlineSettings())
    return Announcer(Call(Phone(), CallFacts("c1")), voice)


def test_whoever_waits_is_broken_off_though_the_call_went_on_at_once() -> None:
    async def main() -> None:
        made = announcer()
        waiting = asyncio.create_task(made.until(asyncio.sleep(60.0)))
        await asyncio.sleep(1.0)
        made.break_off(GoTo("two"))
        made.go_on()
        with pytest.raises(BrokenOff) as broken:
            await waiting
        assert broken.value.order == GoTo("two") and made.free and not made.ending

    run_virtual(main())


def test_the_end_stays_whatever_went_on_before_it() -> None:
    async def main() -> None:
        made = announcer()
        waiting = asyncio.create_task(made.until(asyncio.sleep(60.0)))
        await asyncio.sleep(1.0)
        made.break_off(GoTo("two"))
        made.stop(EndReason.API_HUNG_UP)
        made.go_on()
        with pytest.raises(BrokenOff):
            await waiting
        with pytest.raises(CallerGone) as gone:
            await made.until(asyncio.sleep(60.0))
        assert gone.value.reason is EndReason.API_HUNG_UP and made.ending and not made.free

    run_virtual(main())
