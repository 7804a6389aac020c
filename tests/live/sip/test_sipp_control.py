"""Hold and transfer against SIPp: each scenario says what a far end expects, and fails without it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from callers.sipp import find_sipp, free_port
from tests.live.sip.process import GatewayProcess

pytestmark = pytest.mark.live

SCENARIOS = Path(__file__).parent / "scenarios"


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with GatewayProcess() as process:
        yield process


class FarEnd:
    """One call of SIPp's that goes as its scenario says."""

    def __init__(self, gateway: GatewayProcess, scenario: str, folder: Path) -> None:
        gateway.drain(0.05)
        command = [
            find_sipp(),
            f"127.0.0.1:{gateway.ports['udp']}",
            "-sf",
            str(SCENARIOS / f"{scenario}.xml"),
        ]
        command += ["-nostdin", "-i", "127.0.0.1", "-p", str(free_port()), "-mp", str(free_port())]
        command += ["-m", "1", "-timeout", "15s", "-timeout_error", "-trace_err", "-error_file", "errors"]
        self._folder = folder
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> FarEnd:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def done(self) -> None:
        """It went as the scenario says."""
        code = self._process.wait(timeout=20.0)
        errors = self._folder / "errors"
        assert code == 0, errors.read_text(encoding="latin-1")[:2000] if errors.exists() else f"sipp: {code}"


def up(gateway: GatewayProcess) -> str:
    return str(gateway.wait("LegAnswered")["leg"])


def closed(gateway: GatewayProcess, leg: str) -> dict[str, Any]:
    return gateway.wait("LegClosed", leg=leg)


@pytest.mark.parametrize("scenario", ["held", "glare"])
def test_hold(gateway: GatewayProcess, tmp_path: Path, scenario: str) -> None:
    with FarEnd(gateway, scenario, tmp_path) as far_end:
        leg = up(gateway)
        gateway.command(f"leg {leg} hold on")
        gateway.wait("done", leg=leg, order="hold")
        if scenario == "held":
            gateway.command(f"leg {leg} hold off")
            gateway.wait("done", leg=leg, order="hold")
        far_end.done()
    assert closed(gateway, leg)["reason"] == "caller_hung_up"


@pytest.mark.parametrize(
    ("scenario", "failure", "reason"),
    [
        ("transfer_done", 0, "transferred"),
        ("transfer_gone", 0, "transferred"),
        ("transfer_refused", 403, "caller_hung_up"),
        ("transfer_failed", 486, "caller_hung_up"),
        ("transfer_silent", 408, "caller_hung_up"),
    ],
)
def test_blind_transfer(
    gateway: GatewayProcess, tmp_path: Path, scenario: str, failure: int, reason: str
) -> None:
    with FarEnd(gateway, scenario, tmp_path) as far_end:
        leg = up(gateway)
        if scenario == "transfer_failed":
            gateway.command(f"leg {leg} hold on")
            gateway.wait("done", leg=leg, order="hold")
        gateway.command(f"leg {leg} transfer sip:4711@example.net 1")
        if failure:
            assert gateway.wait("leg_error", leg=leg)["code"] == failure
        else:
            gateway.wait("done", leg=leg, order="transfer")
        far_end.done()
    assert closed(gateway, leg)["reason"] == reason


def test_refer_from_outside_is_denied(gateway: GatewayProcess, tmp_path: Path) -> None:
    before = gateway.stats()["refusals"].get("refer_denied", 0)
    with FarEnd(gateway, "refer_denied", tmp_path) as far_end:
        leg = up(gateway)
        far_end.done()
    assert closed(gateway, leg)["reason"] == "caller_hung_up"
    assert gateway.stats()["refusals"]["refer_denied"] == before + 1
