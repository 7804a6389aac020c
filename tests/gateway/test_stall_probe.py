"""The stall probe measures lateness and shows what caused it."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from structlog.testing import capture_logs

from gateway.stall_probe import StallProbe, StallSettings

QUICK = StallSettings(interval_seconds=0.01, warn_seconds=0.06)


def hog(seconds: float) -> None:
    """Holds the loop up, as a careless handler would."""
    time.sleep(seconds)


def test_a_stall_is_measured_and_its_culprit_named() -> None:
    lags: list[float] = []

    async def scene() -> None:
        probe = StallProbe(lags.append, QUICK)
        probe.start()
        await asyncio.sleep(0.05)
        hog(0.25)
        await asyncio.sleep(0.05)
        probe.close()
        probe.close()

    with capture_logs() as logs:
        asyncio.run(scene())
    assert 0.2 < max(lags) < 2
    stalls = [entry for entry in logs if entry["event"] == "event loop stalled"]
    worst = max(stalls, key=lambda entry: entry["seconds"])
    assert worst["seconds"] == pytest.approx(max(lags), abs=0.001)
    assert any(line.endswith(" hog") for line in worst["stack"])


def test_a_smooth_loop_is_reported_all_the_time() -> None:
    lags: list[float] = []

    async def scene() -> None:
        probe = StallProbe(lags.append, StallSettings(0.01, 1.0))
        probe.start()
        await asyncio.sleep(0.2)
        probe.close()

    asyncio.run(scene())
    assert len(lags) >= 5
    assert min(lags) >= 0


def test_closing_leaves_no_thread_and_no_timer() -> None:
    lags: list[float] = []

    async def scene() -> int:
        probe = StallProbe(lags.append, QUICK)
        probe.start()
        probe.close()
        await asyncio.sleep(0.03)
        return len(lags)

    assert asyncio.run(scene()) == 0
    assert [thread.name for thread in threading.enumerate() if thread.name == "stall-watch"] == []


@pytest.mark.parametrize("bad", [{"interval_seconds": 0.0}, {"interval_seconds": 0.2, "warn_seconds": 0.1}])
def test_impossible_settings_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="_seconds: must"):
        StallSettings(**bad)
