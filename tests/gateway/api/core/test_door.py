"""Who is let in."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.api.core.door import NOBODY, Door
from gateway.errors import Draining, KeyRefused, LicenceRefused, LimitReached, ScopeRefused
from gateway.keys.key import Scope
from gateway.keys.keyring import Keyring
from gateway.keys.limits import MemoryLimits
from license.usage import UsageEvent
from tests.fakes.speech_api import NOW, key_of


class Times:
    """Clocks that stand where they are put."""

    def __init__(self) -> None:
        self.now = 0.0
        self.counted: Counter[str] = Counter()

    def door(self, keyring: Keyring | None, places: int = 10) -> Door:
        return Door(
            keyring,
            MemoryLimits(lambda: self.now),
            lambda: NOW + timedelta(seconds=self.now),
            places=places,
            counted=lambda reason: self.counted.update([reason]),
        )


def admit(door: Door, key: str, scope: Scope | None = Scope.LISTEN) -> str:
    return asyncio.run(door.admit({"authorization": f"Token {key}"}, {}, scope)).key_id


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring(tmp_path / "keys.json")


def test_without_a_keyring_everybody_is_let_in() -> None:
    assert admit(Times().door(None), "whatever") == ""


def test_a_good_key_opens_and_a_wrong_one_does_not(keyring: Keyring) -> None:
    times = Times()
    key, door = key_of(keyring), times.door(keyring)
    assert admit(door, key) in key
    for wrong in ("", "x", key[:-1], key[:-1] + ("a" if key[-1] != "a" else "b"), key.upper()):
        with pytest.raises(KeyRefused):
            admit(door, wrong)
    assert times.counted == {"no_key": 1, "wrong_key": 4}


def test_a_revoked_key_is_refused_from_the_next_request_on(keyring: Keyring) -> None:
    key, door = key_of(keyring), Times().door(keyring)
    key_id = admit(door, key)
    Keyring(keyring._path).revoke(key_id, NOW)
    with pytest.raises(KeyRefused, match="revoked"):
        admit(door, key)


def test_a_key_runs_out(keyring: Keyring) -> None:
    times = Times()
    key, door = key_of(keyring, expires=NOW + timedelta(seconds=60)), times.door(keyring)
    assert admit(door, key)
    times.now = 60.0
    with pytest.raises(KeyRefused, match="expired"):
        admit(door, key)


def test_a_scope_is_held(keyring: Keyring) -> None:
    key, door = key_of(keyring, [Scope.SPEAK]), Times().door(keyring)
    assert admit(door, key, Scope.SPEAK) and admit(door, key, None)
    with pytest.raises(ScopeRefused, match="its scopes: speak"):
        admit(door, key, Scope.LISTEN)


def test_a_rate_is_held_and_told_when_to_come_again(keyring: Keyring) -> None:
    times = Times()
    key, door = key_of(keyring, per_minute=3), times.door(keyring)
    for _ in range(3):
        admit(door, key)
    with pytest.raises(LimitReached) as refused:
        admit(door, key)
    times.now += refused.value.retry_after
    assert admit(door, key)


def test_places_are_counted_by_key_and_for_all(keyring: Keyring) -> None:
    key, other = key_of(keyring, at_once=1), key_of(keyring)
    door = Times().door(keyring, places=2)

    async def main() -> None:
        one = await door.admit({"authorization": key}, {}, Scope.LISTEN)
        two = await door.admit({"authorization": other}, {}, Scope.LISTEN)
        async with door.place(one):
            with pytest.raises(LimitReached, match="1 requests at once"):
                await door.place(one).__aenter__()
            async with door.place(two):
                assert door.taken == 2
                with pytest.raises(LimitReached, match="all 2 places"):
                    await door.place(two).__aenter__()
        assert door.taken == 0
        async with door.place(one):
            pass

    asyncio.run(main())


def test_a_node_that_drains_lets_nobody_in() -> None:
    door = Times().door(None)
    door.draining = True
    with pytest.raises(Draining):
        admit(door, "")


class Shut:
    """A licence that allows nothing, or no more."""

    def __init__(self, *, expired: bool) -> None:
        self.expired = expired

    def forbids(self, kind: str) -> bool:
        return self.expired

    def refusal(self, kind: str, running: int, capacity: int) -> str:
        return f"no more {kind}"

    def used(self, event: UsageEvent) -> None: ...


@pytest.mark.parametrize(("expired", "refusal"), [(True, LicenceRefused), (False, LimitReached)])
def test_a_licence_keeps_new_work_out(expired: bool, refusal: type[Exception]) -> None:
    door = Door(None, MemoryLimits(lambda: 0.0), lambda: NOW, places=10, licence=Shut(expired=expired))
    with pytest.raises(refusal, match="no more streams"):
        asyncio.run(door.place(NOBODY).__aenter__())
    assert door.taken == 0


def test_a_cut_ends_what_lasts_and_nothing_else() -> None:
    door = Times().door(None)

    async def socket() -> str:
        try:
            async with door.place(NOBODY), door.lasting():
                await asyncio.Event().wait()
        except Draining:
            return "drained"
        return "left"

    async def request() -> None:
        async with door.place(NOBODY):
            await asyncio.sleep(0.2)

    async def main() -> None:
        tasks = [asyncio.create_task(socket()), asyncio.create_task(request())]
        await asyncio.sleep(0)
        assert await door.cut(0.05) == 1 and door.taken == 1
        assert await door.cut(0.05) == 0
        assert await asyncio.gather(*tasks) == ["drained", None] and door.taken == 0

    asyncio.run(main())


def test_what_is_late_by_itself_is_not_drained() -> None:
    door = Times().door(None)

    async def main() -> None:
        async with door.lasting():
            raise TimeoutError

    with pytest.raises(TimeoutError):
        asyncio.run(main())
