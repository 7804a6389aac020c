from __future__ import annotations

import json

import pytest

from gateway.calls.record import CallRecord, TurnRecord
from gateway.calls.timings import BargeInTimings, Hop, ListeningStamps, ReplyStamps, TurnTimings
from media.legs.base import Direction, EndReason, Parties


def timed(number: int, wait: float) -> TurnTimings:
    start = 10.0 * number
    listened = ListeningStamps(start, start + 0.2, start + 0.2, start + 0.4, start + 0.2, start + 0.3)
    return TurnTimings(number, listened, ReplyStamps(), start + wait)


def record() -> CallRecord:
    call = CallRecord("c1", Direction.INBOUND, Parties("100", "200"), "front desk", "2026-01-01T00:00:00Z")
    call.turns = [
        TurnRecord(0, reply="Hello.", heard="Hello."),
        *(TurnRecord(n, said="Yes.", timings=timed(n, 0.4 + n / 100)) for n in range(1, 11)),
        TurnRecord(11, dtmf="42"),
    ]
    call.barge_ins = [BargeInTimings(5.0, 5.04, 5.08)]
    call.end_reason = EndReason.AGENT_HUNG_UP
    return call


def test_the_ledger_spreads_every_hop_the_turn_and_the_barge_in() -> None:
    ledger = record().ledger()
    assert set(ledger) == {*map(str, Hop), "turn", "barge_in"}
    assert ledger["turn"].p50 == pytest.approx(0.45) and ledger["turn"].worst == pytest.approx(0.5)
    assert ledger["barge_in"].p99 == pytest.approx(0.08)


def test_the_worst_turn_is_the_one_waited_longest_for() -> None:
    worst = record().worst_turn()
    assert worst is not None and worst.number == 10
    assert CallRecord("c", Direction.INBOUND, Parties("", ""), "", "").worst_turn() is None


def test_the_record_is_plain_json() -> None:
    plain = json.loads(json.dumps(record().as_json(), allow_nan=False))
    assert plain["end_reason"] == "agent_hung_up" and plain["answered_after_ms"] is None
    assert plain["ledger_ms"]["turn"]["p95"] == 500.0 and plain["worst_turn"] == 10
    assert plain["turns"][1]["turn_ms"] == 410.0
    assert sum(plain["turns"][1]["hops_ms"].values()) == pytest.approx(410.0, abs=0.5)
    assert plain["turns"][-1]["dtmf"] == "42" and plain["turns"][-1]["turn_ms"] is None
    assert plain["barge_ins_ms"] == [{"duck": 40.0, "stop": 80.0}]
