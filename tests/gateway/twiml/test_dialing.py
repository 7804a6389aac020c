"""Several are called for one caller: the first who answers wins, and the others stop ringing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from gateway.errors import DialDenied, DialFailed
from gateway.twiml.dialing import Race, outcome, press
from gateway.twiml.form import CallStatus
from gateway.twiml.host import DialProgress
from gateway.twiml.verbs import Dial, Number, Sip
from media.legs.base import EndReason, Leg, LegRinging
from tests.fakes.caller import ScriptedCaller
from tests.virtual_time import run_virtual


class Phone(ScriptedCaller):
    """A leg that is hung up without ever having talked."""

    def __init__(self, name: str) -> None:
        super().__init__([])
        self.name = name
        self.pressed: list[tuple[float, str]] = []

    async def hangup(self, reason: EndReason, *, cause: int = 0) -> None:
        self.hung_up.append(reason)

    async def send_dtmf(self, digits: str) -> None:
        self.pressed.append((asyncio.get_running_loop().time(), digits))


@dataclass
class Phones:
    """A `Dialer`: each address rings after a second, and does at its time what the script says."""

    script: dict[str, tuple[float, Exception | None]]
    asked: list[tuple[str, str, str, float]] = field(default_factory=list)
    legs: dict[str, Phone] = field(default_factory=dict)

    async def dial(
        self, target: str, *, trunk: str = "", caller: str = "", ring_seconds: float = 30.0,
        on_ringing: Callable[[LegRinging], None] | None = None,
    ) -> Leg:  # fmt: skip
        self.asked.append((target, trunk, caller, ring_seconds))
        seconds, error = self.script[target]
        await asyncio.sleep(min(1.0, seconds))
        if on_ringing is not None and seconds > 1.0:
            on_ringing(LegRinging(0.0, 180))
        await asyncio.sleep(max(0.0, min(seconds, ring_seconds) - 1.0))
        if seconds > ring_seconds:
            raise DialFailed("nobody answered", sip_code=408)
        if error is not None:
            raise error
        self.legs[target] = Phone(target)
        return self.legs[target]


def race(
    script: dict[str, tuple[float, Exception | None]], *, sequential: bool = False, gives_up: float = 1e9
) -> tuple[Phones, Race, list[str], Leg | Exception | None, float]:
    """The phones, the race, what was told, what came of it, and when."""
    phones, told = Phones(script), list[str]()

    def tell(moved: DialProgress) -> None:
        name = moved.target.number if isinstance(moved.target, Number) else moved.target.uri
        told.append(f"{name} {moved.event} {moved.status} {moved.sip_code}".removesuffix(" 0"))

    targets = tuple(Sip(name) if name.startswith("sip:") else Number(name) for name in script)
    made = Race(phones, Dial(targets, sequential=sequential), "call-1", 0, tell)

    async def main() -> tuple[Leg | Exception | None, float]:
        came: Leg | Exception | None = None
        try:
            async with asyncio.timeout(gives_up):
                came = await made.dial("", trunk="t", caller="c", ring_seconds=20.0)
        except (DialFailed, DialDenied, TimeoutError) as error:
            came = error
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1
        return came, asyncio.get_running_loop().time()

    came, at = run_virtual(main())
    return phones, made, told, came, at


def test_the_first_who_answers_wins_and_the_others_stop_ringing() -> None:
    phones, made, told, came, at = race(
        {"100": (9.0, None), "200": (4.0, None), "300": (2.0, DialFailed("", sip_code=486))}
    )
    assert came is phones.legs["200"] and at == 4.0
    assert set(phones.legs) == {"200"}
    assert made.winner is made.attempts[1]
    assert [one.status for one in made.attempts] == [
        CallStatus.CANCELED,
        CallStatus.IN_PROGRESS,
        CallStatus.BUSY,
    ]
    assert told[-3:] == ["300 completed busy 486", "200 answered in-progress", "100 completed canceled 487"]
    assert phones.asked[0] == ("100", "t", "c", 20.0)
    made.ended(7.0)
    assert told[-1] == "200 completed completed 200"
    assert len({one.call_sid for one in made.attempts}) == 3


def test_of_two_who_answer_at_once_one_is_hung_up() -> None:
    phones, made, told, came, _ = race({"100": (3.0, None), "200": (3.0, None)})
    legs = list(phones.legs.values())
    assert came in legs and [leg.hung_up for leg in legs if leg is not came] == [[EndReason.CANCELLED]]
    assert sum("answered" in line for line in told) == 1


def test_one_after_another_the_next_rings_when_one_will_not() -> None:
    script: dict[str, tuple[float, Exception | None]] = {
        "100": (2.0, DialFailed("", sip_code=603)), "200": (99.0, None), "sip:x@y": (1.0, None),
    }  # fmt: skip
    phones, _, told, came, at = race(script, sequential=True)
    assert came is phones.legs["sip:x@y"] and at == 23.0
    assert told == [
        "100 initiated initiated", "100 ringing ringing", "100 completed busy 603",
        "200 initiated initiated", "200 ringing ringing", "200 completed no-answer 408",
        "sip:x@y initiated initiated", "sip:x@y answered in-progress",
    ]  # fmt: skip


@pytest.mark.parametrize("sequential", [True, False])
def test_when_nobody_answers_the_last_failure_counts(sequential: bool) -> None:
    denied = DialDenied("no rule", reason="prefix")
    _, made, told, came, _ = race(
        {"100": (1.0, denied), "200": (2.0, DialFailed("", sip_code=404))}, sequential=sequential
    )
    assert isinstance(came, DialFailed) and made.winner is None
    assert "100 completed failed 403" in told and "200 completed failed 404" in told


def test_a_caller_who_gives_up_leaves_nobody_ringing() -> None:
    phones, made, told, came, _ = race({"100": (9.0, None), "200": (9.0, None)}, gives_up=2.0)
    assert isinstance(came, TimeoutError) and phones.legs == {}
    assert told[-2:] == ["100 completed canceled 487", "200 completed canceled 487"] or set(told[-2:]) == {
        "100 completed canceled 487", "200 completed canceled 487",
    }  # fmt: skip


def test_a_sip_address_is_dialled_without_the_headers_it_asks_for() -> None:
    uri = "sip:desk@example.com;transport=tcp?X-Case=7"
    assert (
        Race(Phones({}), Dial((Sip(uri),)), "c", 0, print).attempts[0].address
        == "sip:desk@example.com;transport=tcp"
    )


def test_sip_codes_are_told_in_twilios_words() -> None:
    assert [outcome(code) for code in (486, 603, 408, 480, 487, 404, 503)] == [
        "busy", "busy", "no-answer", "no-answer", "no-answer", "failed", "failed",
    ]  # fmt: skip


def test_keys_are_pressed_with_their_pauses() -> None:
    phone = Phone("100")
    run_virtual(press(phone, "ww12w#Wa"))
    assert phone.pressed == [(1.0, "12"), (1.5, "#"), (2.5, "A")]
