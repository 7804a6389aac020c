from __future__ import annotations

from benchmarks.gateway import merged


def test_sections_are_merged_and_values_replaced() -> None:
    base = {"sip": {"udp_port": 5060, "host": "h"}, "api": {"port": 1}}
    over = {"sip": {"udp_port": 5080}, "limits": {"max_calls": 3}}
    assert merged(base, over) == {
        "sip": {"udp_port": 5080, "host": "h"},
        "api": {"port": 1},
        "limits": {"max_calls": 3},
    }
    assert base["sip"] == {"udp_port": 5060, "host": "h"}
