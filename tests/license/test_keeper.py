"""The proxy against the reference vendor, both as applications, with time as an argument."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from license.client import ClientSettings, LicenceClient
from license.entitlement import DAY, Terms, issue_licence
from license.journal import Batch
from license.keeper import Clocks, Keeper
from license.proxy import create_proxy
from license.settings import ProxySettings
from license.signature import BadSignature, new_key, public_of
from license.standing import State, Step
from license.upstream import HttpVendor, Unreachable
from license.usage import Kind, UsageEvent
from license.vendor import Office, create_vendor

T = TypeVar("T")
START = 1_800_000_000.0
KEY = "lk-acme-1"
VENDOR_KEY = new_key()


@dataclass
class Clock:
    wall_time: float = START
    steady_time: float = 0.0

    def wall(self) -> float:
        return self.wall_time

    def steady(self) -> float:
        return self.steady_time

    def pass_(self, seconds: float) -> None:
        self.wall_time += seconds
        self.steady_time += seconds


class Scene:
    """A vendor, a proxy and a service of the customer's."""

    def __init__(self, folder: Path, clock: Clock | None = None, office: Office | None = None) -> None:
        self.clock = clock or Clock()
        self.office = office or Office(
            VENDOR_KEY, self.clock.wall, {KEY: Terms("acme", START + 100 * DAY, max_calls=10)}
        )
        self.folder = folder
        self.settings = ProxySettings(KEY, public_of(VENDOR_KEY), folder, upstream="http://vendor")
        self.keeper = self.open()

    def open(self) -> Keeper:
        vendor = HttpVendor("http://vendor", KEY, 5.0)
        vendor._client._transport = httpx.ASGITransport(app=create_vendor(self.office))
        return Keeper(self.settings, vendor, Clocks(self.clock.wall, self.clock.steady))

    def client(self) -> LicenceClient:
        transport = httpx.ASGITransport(app=create_proxy(self.keeper, KEY))
        return client(self.folder / "service", self.clock, transport)

    async def get(self, path: str, key: str = KEY) -> httpx.Response:
        transport = httpx.ASGITransport(app=create_proxy(self.keeper, KEY))
        async with httpx.AsyncClient(transport=transport, base_url="http://proxy") as asked:
            return await asked.get(path, headers={"Authorization": f"Bearer {key}"})


class MemoryOutbox:
    """Usage that waits, in memory."""

    def __init__(self) -> None:
        self.waiting: list[UsageEvent] = []

    def note(self, event: UsageEvent) -> None:
        self.waiting.append(event)

    async def take(self) -> Batch | None:
        return Batch("", tuple(self.waiting[:1000]), (0, 0)) if self.waiting else None

    async def settled(self, parcel: Batch) -> None:
        del self.waiting[: len(parcel.events)]


def client(folder: Path, clock: Clock, transport: httpx.AsyncBaseTransport) -> LicenceClient:
    settings = ClientSettings("http://proxy", KEY, public_of(VENDOR_KEY), folder)
    return LicenceClient(settings, Clocks(clock.wall, clock.steady), MemoryOutbox(), transport)


def run(folder: Path, work: Callable[[Scene], Awaitable[T]], **changes: Any) -> T:
    async def main() -> T:
        scene = Scene(folder, **changes)
        try:
            return await work(scene)
        finally:
            await scene.keeper.aclose()

    return asyncio.run(main())


def test_a_check_and_what_it_grants(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        assert scene.keeper.standing().state is State.READY
        assert await scene.keeper.check()
        assert scene.keeper.standing().state is State.CONNECTED
        health = await scene.get("/health")
        assert health.status_code == 200
        assert health.json()["license_valid"] and not health.json()["grace_period_active"]
        status = await scene.get("/v1/status")
        assert status.text.startswith('{"state":"Connected","last_successful_checkin":"2027-01-15T08:00:00Z"')
        assert "license_proxy_grace_period_active 0" in (await scene.get("/metrics")).text

    run(tmp_path, work)


@pytest.mark.parametrize("trouble", ["broken", "wrong", "unknown", "replayed"])
def test_answers_that_do_not_count(trouble: str, tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        await scene.keeper.check()
        match trouble:
            case "broken":
                scene.office.broken = True
            case "wrong":
                scene.office.wrong_key = new_key()
            case "unknown":
                scene.office.licences.clear()
            case _:
                old = scene.keeper._answer_text

                async def replay(nonce: str) -> str:
                    return old

                scene.keeper._vendor.check = replay  # type: ignore[method-assign, union-attr]
        assert not await scene.keeper.check()
        assert scene.keeper.standing().state is State.GRACE
        scene.clock.pass_(DAY + 1)
        assert scene.keeper.standing().state is State.EXPIRED
        assert (await scene.get("/health")).status_code == 503

    run(tmp_path, work)


def test_a_restart_in_an_outage_goes_on_with_what_is_remembered(tmp_path: Path) -> None:
    clock = Clock()

    async def first(scene: Scene) -> Office:
        await scene.keeper.check()
        return scene.office

    async def second(scene: Scene) -> None:
        scene.office.broken = True
        scene.clock.pass_(3600)
        assert not await scene.keeper.check()
        assert scene.keeper.standing().state is State.GRACE

    office = run(tmp_path, first, clock=clock)
    run(tmp_path, second, clock=clock, office=office)


def test_a_remembered_answer_that_was_edited_is_refused(tmp_path: Path) -> None:
    async def remember(scene: Scene) -> None:
        await scene.keeper.check()

    async def restart(scene: Scene) -> State:
        return scene.keeper.standing().state

    run(tmp_path, remember)
    kept = (tmp_path / "answer.jwt").read_text()
    head, body, signature = kept.split(".")
    (tmp_path / "answer.jwt").write_text(f"{head}.{body[:-4]}AAAA.{signature}")
    assert run(tmp_path, restart) is State.READY
    (tmp_path / "answer.jwt").write_text(kept)
    assert run(tmp_path, restart) is State.GRACE


def test_a_clock_that_was_set_back_gains_nothing(tmp_path: Path) -> None:
    clock = Clock()

    async def remember(scene: Scene) -> None:
        await scene.keeper.check()
        scene.clock.pass_(DAY + 60)

    async def cheat(scene: Scene) -> tuple[State, bool]:
        return scene.keeper.standing().state, scene.keeper._time.set_back

    run(tmp_path, remember, clock=clock)
    clock.wall_time = START + 60
    clock.steady_time = 0.0
    assert run(tmp_path, cheat, clock=clock) == (State.EXPIRED, True)


def test_usage_arrives_once_however_often_it_is_sent(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        client = scene.client()
        await client.ask()
        for number in range(2500):
            client.used(UsageEvent(f"{number:032x}", Kind.LISTEN_LIVE, 30_000_000, 4.0))
        await client.report()
        batch = scene.keeper.journal.next_batch()
        assert batch is not None
        await scene.keeper._vendor.report(batch.batch_id, batch.events)  # type: ignore[union-attr]
        while await scene.keeper.report():  # the answer to the first was lost: it is sent again
            pass
        assert len(scene.office.events) == 2500
        assert sorted(scene.office.batches.values()) == [500, 1000, 1000]
        assert len(scene.office.bodies) == 4
        scene.office.broken = True
        await client.aclose()
        await scene.keeper.used([UsageEvent("f" * 32, Kind.CALL, 30_000_000)])
        with pytest.raises(Unreachable):
            await scene.keeper.report()
        assert scene.keeper.journal.next_batch() is not None

    run(tmp_path, work)


def test_nothing_but_the_form_goes_through(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        transport = httpx.ASGITransport(app=create_proxy(scene.keeper, KEY))
        async with httpx.AsyncClient(transport=transport, base_url="http://proxy") as asked:
            good = {"event_id": "a" * 32, "kind": "call", "minute": 30_000_000}
            headers = {"Authorization": f"Bearer {KEY}"}
            for odd in ({"text": "my card number"}, {"caller": "+4930123"}):
                reply = await asked.post("/v1/usage", json={"events": [{**good, **odd}]}, headers=headers)
                assert reply.status_code == 422
            assert (await asked.post("/v1/usage", json={"events": [good]})).status_code == 401
        assert scene.keeper.journal.next_batch() is None

    run(tmp_path, work)


def test_a_service_sees_the_steps_without_asking(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        client = scene.client()
        assert client.refusal("calls", 0, 100) != ""
        await scene.keeper.check()
        assert await client.ask()
        assert client.refusal("calls", 9, 100) == ""
        assert "10 calls" in client.refusal("calls", 10, 100)
        assert client.refusal("streams", 99, 100) == ""
        client._client._transport = httpx.ASGITransport(app=create_vendor(scene.office))  # the proxy is gone
        assert not await client.ask()
        assert client.standing().step is Step.WARN and client.refusal("calls", 9, 100) == ""
        scene.clock.pass_(20 * 3600)
        assert client.refusal("calls", 4, 100) == "" and "5 calls" in client.refusal("calls", 5, 100)
        scene.clock.pass_(5 * 3600)
        assert "grace period is over" in client.refusal("calls", 0, 100)
        await client.aclose()

    run(tmp_path, work)


def test_a_grant_of_another_s_is_refused(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        await scene.keeper.check()
        assert (await scene.get("/v1/grant", "wrong")).status_code == 401
        client = scene.client()
        client._grant_key = new_key()
        assert not await client.ask()
        assert client.standing().state is State.READY
        await client.aclose()

    run(tmp_path, work)


def test_a_revoked_and_an_expired_licence(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        await scene.keeper.check()
        scene.clock.pass_(10)
        scene.office.revoked.add(KEY)
        await scene.keeper.check()
        assert scene.keeper.standing().reason == "the licence was revoked"
        scene.clock.pass_(10)
        scene.office.revoked.clear()
        scene.office.expire(KEY)
        await scene.keeper.check()
        assert scene.keeper.standing().reason == "the licence has run out"

    run(tmp_path, work)


def test_a_site_without_a_way_out(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        file = tmp_path / "licence.jwt"
        file.write_text(issue_licence(Terms("acme", START + DAY * 30, max_calls=3), VENDOR_KEY))  # noqa: ASYNC240
        settings = ProxySettings(KEY, public_of(VENDOR_KEY), tmp_path, licence_file=file)
        keeper = Keeper(settings, None, Clocks(clock.wall, clock.steady))
        assert keeper.standing().state is State.CONNECTED
        service = client(tmp_path / "service", clock, httpx.ASGITransport(app=create_proxy(keeper, KEY)))
        assert await service.ask() and service.refusal("calls", 2, 9) == "" != service.refusal("calls", 3, 9)
        clock.pass_(31 * DAY)
        assert keeper.standing().state is State.EXPIRED
        await service.aclose()
        await keeper.aclose()
        with pytest.raises(BadSignature):
            Keeper(
                replace(settings, vendor_public=public_of(new_key())), None, Clocks(clock.wall, clock.steady)
            )

    asyncio.run(main())


@pytest.mark.parametrize(
    "change", [{"licence_key": ""}, {"licence_key": "a b"}, {"upstream": ""}, {"check_seconds": 0}]
)
def test_settings_that_cannot_work(change: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        replace(ProxySettings(KEY, public_of(VENDOR_KEY), tmp_path, upstream="http://vendor"), **change)
