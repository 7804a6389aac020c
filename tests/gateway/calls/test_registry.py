from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from gateway.calls.orders import Order, OrderRefused
from gateway.calls.registry import CallRegistry, RegistrySettings
from media.legs.base import EndReason
from tests.virtual_time import run_virtual


@dataclass
class Running:
    call_id: str
    ended: Callable[[str], None] = lambda call_id: None
    reasons: list[EndReason] = field(default_factory=list)

    def hang_up(self, reason: EndReason) -> None:
        self.reasons.append(reason)
        self.ended(self.call_id)

    async def obey(self, order: Order) -> None:
        raise OrderRefused("nobody asks")


def test_exactly_the_surplus_is_refused() -> None:
    registry = CallRegistry(RegistrySettings(max_calls=3, retry_after=7))
    verdicts = [registry.admit(str(n)) for n in range(5)]
    assert [verdict is None for verdict in verdicts] == [True, True, True, False, False]
    assert verdicts[3] is not None
    assert (verdicts[3].sip_code, verdicts[3].retry_after, verdicts[3].reason) == (503, 7, "full")
    assert registry.refused == {"full": 2} and len(registry) == 3


def test_a_place_is_given_back_once() -> None:
    registry = CallRegistry(RegistrySettings(max_calls=1))
    assert registry.admit("a") is None
    registry.remove("a")
    registry.remove("a")
    assert registry.admit("b") is None and registry.admit("c") is not None


def test_running_calls_are_found() -> None:
    registry = CallRegistry(RegistrySettings())
    registry.admit("a")
    registry.add(call := Running("a"))
    assert registry.get("a") is call and registry.get("b") is None and list(registry) == [call]
    with pytest.raises(KeyError, match="not admitted"):
        registry.add(Running("b"))


def test_a_drain_waits_and_then_cuts() -> None:
    async def drain() -> tuple[int, float]:
        registry = CallRegistry(RegistrySettings())
        loop = asyncio.get_running_loop()
        for name in "ab":
            registry.admit(name)
            registry.add(Running(name, registry.remove))
        loop.call_later(5.0, registry.remove, "a")
        cut = await registry.drain(limit=20.0)
        assert registry.draining and len(registry) == 0
        refusal = registry.admit("c")
        assert refusal is not None and refusal.reason == "draining"
        return cut, loop.time()

    assert run_virtual(drain()) == (1, 20.0)


def test_a_drain_ends_with_the_last_call() -> None:
    async def drain() -> tuple[int, float]:
        registry = CallRegistry(RegistrySettings())
        registry.admit("a")
        asyncio.get_running_loop().call_later(5.0, registry.remove, "a")
        return await registry.drain(limit=20.0), asyncio.get_running_loop().time()

    assert run_virtual(drain()) == (0, 5.0)


@pytest.mark.parametrize("change", [{"max_calls": 0}, {"retry_after": -1}])
def test_settings_out_of_range_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        RegistrySettings(**change)
