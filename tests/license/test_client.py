"""A service's view of the licence over restarts: what it remembers, and what it does not believe."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from license.client import LicenceClient
from license.entitlement import DAY, Terms
from license.standing import State, Step
from license.usage import Kind, UsageEvent
from license.vendor import Office
from tests.license.test_keeper import KEY, START, VENDOR_KEY, Clock, Scene, client

GONE = httpx.MockTransport(lambda request: httpx.Response(502))


async def remembered(folder: Path, clock: Clock, terms: Terms | None = None) -> None:
    """A service that had a grant, and stopped."""
    office = Office(VENDOR_KEY, clock.wall, {KEY: terms or Terms("acme", START + 100 * DAY, max_calls=10)})
    scene = Scene(folder, clock, office)
    await scene.keeper.check()
    service = scene.client()
    assert await service.ask()
    await service.aclose()
    await scene.keeper.aclose()


async def restarted(folder: Path, clock: Clock) -> LicenceClient:
    """The service again, its proxy away."""
    service = client(folder / "service", clock, GONE)
    assert not await service.ask()
    return service


def test_a_service_that_starts_without_its_proxy_goes_on_within_grace(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        await remembered(tmp_path, clock)
        clock.pass_(3600)
        clock.steady_time = 0.0  # another boot
        service = await restarted(tmp_path, clock)
        assert service.standing().state is State.GRACE
        assert service.refusal("calls", 9, 100) == "" != service.refusal("calls", 10, 100)
        await service.aclose()
        clock.pass_(23 * 3600)
        late = await restarted(tmp_path, clock)
        assert "grace period is over" in late.refusal("calls", 0, 100) and late.forbids("streams")
        await late.aclose()

    asyncio.run(main())


def test_one_that_never_had_a_grant_takes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        service = await restarted(tmp_path, Clock())
        assert service.standing().state is State.READY and service.refusal("calls", 0, 100)
        await service.aclose()

    asyncio.run(main())


def test_restarts_with_the_clock_set_back_gain_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        await remembered(tmp_path, clock)
        for _ in range(5):
            clock.pass_(5 * 3600)
            service = await restarted(tmp_path, clock)
            await service.aclose()
        clock.wall_time = START + 60
        cheat = await restarted(tmp_path, clock)
        assert cheat.standing().state is State.EXPIRED and cheat._time.set_back
        await cheat.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("file", ["grant.jwt", "clock.jwt"])
def test_what_was_edited_is_refused(file: str, tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        await remembered(tmp_path, clock)
        kept = tmp_path / "service" / file
        head, body, signature = kept.read_text().split(".")  # noqa: ASYNC240
        kept.write_text(f"{head}.{body[:-4]}AAAA.{signature}")  # noqa: ASYNC240
        service = client(tmp_path / "service", clock, GONE)
        assert service.standing().state is (State.READY if file == "grant.jwt" else State.GRACE)
        await service.aclose()

    asyncio.run(main())


def test_only_the_owner_can_read_what_is_kept(tmp_path: Path) -> None:
    asyncio.run(remembered(tmp_path, Clock()))
    kept = [tmp_path / "service" / name for name in ("grant.jwt", "clock.jwt")]
    kept += [tmp_path / name for name in ("answer.jwt", "clock.jwt")]
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    assert (tmp_path / "service").stat().st_mode & 0o77 == 0


def test_a_revoked_licence_stays_revoked_over_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        scene = Scene(tmp_path, clock)
        await scene.keeper.check()
        service = scene.client()
        await service.ask()
        clock.pass_(10)
        scene.office.revoked.add(KEY)
        await scene.keeper.check()
        await service.ask()
        await service.aclose()
        await scene.keeper.aclose()
        again = await restarted(tmp_path, clock)
        assert again.standing().reason == "the licence was revoked"
        await again.aclose()

    asyncio.run(main())


def heard(number: int, hours: float) -> UsageEvent:
    return UsageEvent(f"{number:032x}", Kind.LISTEN_LIVE, int(START // 60), hours * 3600)


def test_the_hours_of_a_month_are_announced_used_up_and_there_again(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()  # 15 January 2027
        scene = Scene(tmp_path, clock)
        scene.office.licences[KEY] = Terms("acme", START + 100 * DAY, hours=10)
        await scene.keeper.check()
        service = scene.client()
        steps = []
        for number, hours in enumerate((7.9, 0.2, 1.5, 0.5)):
            service.used(heard(number, hours))
            await service.report()
            await service.ask()
            steps.append(service.standing().step)
        assert steps == [Step.FULL, Step.WARN, Step.HALF, Step.NONE]
        assert "10 hours of this month" in service.refusal("streams", 0, 100)
        assert service.standing().state is State.CONNECTED
        assert (await scene.get("/health")).json()["hours_used"] == 10.1
        await scene.keeper.aclose()
        scene.keeper = scene.open()  # the tally outlives the proxy
        assert scene.keeper.standing().step is Step.NONE
        clock.pass_(20 * DAY)
        await scene.keeper.check()
        assert scene.keeper.standing().step is Step.FULL
        service._client._transport = GONE  # also without the proxy's word
        assert "hours" not in service.refusal("streams", 0, 100)
        await service.aclose()
        await scene.keeper.aclose()

    asyncio.run(main())


def test_usage_that_is_reported_twice_counts_once(tmp_path: Path) -> None:
    async def main() -> None:
        scene = Scene(tmp_path)
        for _ in range(3):
            await scene.keeper.used([heard(1, 2.0)])
        assert scene.keeper.hours() == 2.0
        batch = scene.keeper.journal.next_batch()
        assert batch is not None and len(batch.events) == 1
        await scene.keeper.aclose()

    asyncio.run(main())


def test_an_edited_tally_is_not_believed(tmp_path: Path) -> None:
    async def main() -> None:
        scene = Scene(tmp_path)
        await scene.keeper.used([heard(1, 2.0)])
        await scene.keeper.aclose()
        (tmp_path / "hours.jwt").write_text("{}")
        again = scene.open()
        assert again.hours() == 0.0 and again._tally.refused
        await again.aclose()

    asyncio.run(main())


def test_a_licence_covers_what_it_names(tmp_path: Path) -> None:
    async def main() -> None:
        scene = Scene(tmp_path)
        scene.office.licences[KEY] = Terms("acme", START + 100 * DAY, features=("streams", "teleportation"))
        await scene.keeper.check()
        service = scene.client()
        await service.ask()
        assert service.refusal("streams", 0, 10) == "" and not service.forbids("streams")
        assert "does not cover calls" in service.refusal("calls", 0, 10) and service.forbids("calls")
        await service.aclose()
        await scene.keeper.aclose()

    asyncio.run(main())
