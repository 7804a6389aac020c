"""One number says how many calls a node takes; everything else follows from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import Config, dump, load
from gateway.config.schema import SPARE_PLACES
from gateway.errors import ConfigError


def test_the_sip_side_follows_the_limits_with_places_to_spare(tmp_path: Path) -> None:
    path = tmp_path / "offhook.yaml"
    path.write_text("limits: {max_calls: 12, retry_after: 0}\n")
    sip = load(path, {}).sip_endpoint()
    assert (sip.max_calls, sip.retry_after_s) == (12 + SPARE_PLACES, 1)
    assert Config().limits.max_calls == 300


def test_what_follows_cannot_be_written_and_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "offhook.yaml"
    path.write_text("sip: {max_calls: 12}\n")
    with pytest.raises(ConfigError, match="sip.max_calls: follows from limits.max_calls; set that one"):
        load(path, {})
    with pytest.raises(ConfigError, match="OFFHOOK_SIP__MAX_CALLS"):
        load(None, {"OFFHOOK_SIP__MAX_CALLS": "12"})
    assert dump(Config()).count("max_calls:") == 1


def test_more_calls_than_ports_are_told_with_both_cures(tmp_path: Path) -> None:
    path = tmp_path / "offhook.yaml"
    path.write_text("sip: {rtp_last_port: 20101}\n")
    told = "sip.rtp_last_port: 51 port pairs cannot carry 300 calls; raise it, or lower limits.max_calls"
    with pytest.raises(ConfigError, match=told):
        load(path, {})
    path.write_text("sip: {rtp_last_port: 20101}\nlimits: {max_calls: 51}\n")
    assert load(path, {}).limits.max_calls == 51


@pytest.mark.parametrize("calls", [0, 1901])
def test_limits_beyond_reason_are_refused(tmp_path: Path, calls: int) -> None:
    path = tmp_path / "offhook.yaml"
    path.write_text(f"limits: {{max_calls: {calls}}}\n")
    with pytest.raises(ConfigError, match="limits.max_calls: must lie between 1 and 1900"):
        load(path, {})
