from __future__ import annotations

import socket
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from callers.sipp import SCENARIOS, CallPlan, free_port, rate_arguments, render


@pytest.mark.parametrize("scenario", sorted(path.stem for path in SCENARIOS.glob("*.xml")))
def test_every_scenario_is_well_formed_and_whole(scenario: str) -> None:
    plan = CallPlan("127.0.0.1:5060", scenario=scenario, audio=Path("/tmp/a.ulaw"))
    root = ElementTree.fromstring(render(plan))
    labels = {label.get("id") for label in root.iter("label")}
    jumps = {e.get(name) for e in root.iter() for name in ("next", "ontimeout") if e.get(name)}
    assert root.get("name") == scenario
    assert jumps <= labels
    assert "over" in labels


def test_started_transactions_cover_every_awaited_one() -> None:
    for scenario in ("talk", "hold", "churn"):
        root = ElementTree.fromstring(render(CallPlan("h:1", scenario=scenario)))
        started = {send.get("start_txn") for send in root.iter("send")}
        awaited = {recv.get("response_txn") for recv in root.iter("recv")} - {None}
        assert awaited <= started


def test_audio_is_streamed_as_mu_law_once_or_for_ever(tmp_path: Path) -> None:
    once = render(CallPlan("h:1", audio=tmp_path / "a.ulaw"))
    ever = render(CallPlan("h:1", audio=tmp_path / "a.ulaw", loop=True))
    assert f'rtp_stream="{tmp_path}/a.ulaw,1,0"' in once
    assert f'rtp_stream="{tmp_path}/a.ulaw,-1,0"' in ever
    assert "rtp_stream" not in render(CallPlan("h:1"))


@pytest.mark.parametrize(
    ("field", "value"),
    [("calls", 0), ("rate", 0.0), ("hold_s", 0.0), ("cancel_share", 1.5), ("vanish_share", -1)],
)
def test_impossible_plans_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        CallPlan("h:1", **{field: value})  # type: ignore[arg-type]


def test_free_port_is_even_and_can_be_bound() -> None:
    port = free_port()
    assert port % 2 == 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", port))


def test_rate_below_one_call_per_second_reaches_sipp() -> None:
    assert rate_arguments(0.25) == ["-r", "25", "-rp", "100s"]
