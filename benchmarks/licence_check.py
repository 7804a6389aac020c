"""What a licence check costs a request: nothing that can be seen, and no word over the network.

    python -m benchmarks.licence_check [--checks 200000]

A service asks its view of the licence, as every request and every call does, while the proxy has granted it,
while the proxy is away, and when the licence ran out. Requests to the proxy are counted: none for
checks.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import httpx

from benchmarks.report import Report
from license.client import ClientSettings, LicenceClient
from license.entitlement import DAY, Terms
from license.keeper import Clocks, Keeper
from license.outbox import DiskOutbox
from license.proxy import create_proxy
from license.settings import ProxySettings
from license.signature import new_key, public_of
from license.upstream import HttpVendor
from license.vendor import Office, create_vendor

KEY = "lk-bench"
_MOST_MICROSECONDS = 50.0


class Counted(httpx.ASGITransport):
    """Counts what goes over it; breaks when told so."""

    requests = 0
    broken = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        if self.broken:
            raise httpx.ConnectError("away")
        return await super().handle_async_request(request)


def checked(service: LicenceClient, count: int) -> float:
    """Microseconds of one check."""
    began = time.perf_counter()
    for running in range(count):
        service.refusal("streams", running % 100, 256)
    return 1e6 * (time.perf_counter() - began) / count


async def measure(folder: Path, count: int, report: Report) -> None:
    """All three states."""
    private, moved = new_key(), [0.0]
    clocks = Clocks(lambda: time.time() + moved[0], lambda: time.monotonic() + moved[0])
    office = Office(private, clocks.wall, {KEY: Terms("bench", clocks.wall() + 100 * DAY, max_streams=200)})
    vendor = HttpVendor("http://vendor", KEY, 5.0)
    vendor._client._transport = httpx.ASGITransport(app=create_vendor(office))
    settings = ProxySettings(KEY, public_of(private), folder, upstream="http://vendor")
    keeper = Keeper(settings, vendor, clocks)
    await keeper.check()
    wire = Counted(app=create_proxy(keeper, KEY))
    asked = ClientSettings("http://proxy", KEY, public_of(private), folder / "service")
    outbox = DiskOutbox(folder / "service" / "usage")
    await outbox.start()
    service = LicenceClient(asked, clocks, outbox, wire)
    for state, later in (("granted", 0.0), ("proxy away", 3600.0), ("run out", 200 * DAY)):
        wire.broken, moved[0] = bool(later), later
        await service.ask()
        before = wire.requests
        each = checked(service, count)
        report.row(state, count, each, wire.requests - before, service.standing().step.value)
        report.bar(f"one check, {state}", each, _MOST_MICROSECONDS, "µs")
        report.bar(f"requests for checks, {state}", wire.requests - before, 0)
    await service.aclose()
    await outbox.aclose()
    await keeper.aclose()


def main() -> int:
    arguments = argparse.ArgumentParser(
        prog="python -m benchmarks.licence_check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("--checks", type=int, default=200_000, help="of each state (200000)")
    options = arguments.parse_args()
    report = Report("licence_check", ("licence", "checks", "µs each", "requests", "step"))
    with tempfile.TemporaryDirectory(prefix="licence-") as folder:
        asyncio.run(measure(Path(folder), options.checks, report))
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
