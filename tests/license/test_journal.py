"""Usage on disk: nothing lost, nothing counted twice, whenever it is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from license.journal import MOST_EVENTS, Journal
from license.usage import BadEvent, Feature, Kind, UsageEvent


def event(number: int) -> UsageEvent:
    return UsageEvent(f"{number:032x}", Kind.CALL, 29_000_000, 12.5, 0, 200, (Feature.STREAMING,))


def test_events_are_given_in_order_until_they_are_delivered(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.next_batch() is None
    journal.append([event(1), event(2)])
    first = journal.next_batch()
    assert first is not None and first.events == (event(1), event(2))
    assert journal.next_batch() == first
    journal.append([event(3)])
    journal.delivered(first)
    second = journal.next_batch()
    assert second is not None and second.events == (event(3),)
    assert second.batch_id != first.batch_id


def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([event(number) for number in range(5)])
    first = journal.next_batch()
    journal.close()
    again = Journal(tmp_path)
    assert first is not None and again.next_batch() == first
    again.delivered(first)
    again.close()
    assert Journal(tmp_path).next_batch() is None


def test_it_has_one_owner_and_only_he_can_read_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "usage")
    journal.append([event(1)])
    with pytest.raises(BlockingIOError, match="in use"):
        Journal(tmp_path / "usage")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "usage").iterdir()} == {0o600}
    journal.close()
    Journal(tmp_path / "usage").close()


def test_batches_after_one_another_without_settling_any(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([event(number) for number in range(MOST_EVENTS + 3)])
    first = journal.next_batch()
    second = journal.next_batch(first)
    assert second is not None and second.events == tuple(event(MOST_EVENTS + n) for n in range(3))
    assert journal.next_batch(second) is None and journal.next_batch() == first


def test_batches_are_bounded_and_old_segments_go(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for start in range(0, 12_000, 500):
        journal.append([event(number) for number in range(start, start + 500)])
    assert len(list(tmp_path.glob("usage-*"))) > 1
    seen: list[UsageEvent] = []
    while (batch := journal.next_batch()) is not None:
        assert len(batch.events) <= MOST_EVENTS
        seen += batch.events
        journal.delivered(batch)
    assert seen == [event(number) for number in range(12_000)]
    assert len(list(tmp_path.glob("usage-*"))) == 1


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(0, 2000))
def test_a_torn_last_line_is_cut_off(count: int, lost: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder))
        for number in range(count):
            journal.append([event(number)])
        path = next(Path(folder).glob("usage-*"))
        size = path.stat().st_size
        os.truncate(path, max(0, size - lost))
        journal.close()
        again = Journal(Path(folder))
        again.append([event(99)])
        batch = again.next_batch()
        assert batch is not None
        whole = max(0, size - lost) // (size // count)
        assert batch.events == (*(event(number) for number in range(whole)), event(99))


def test_a_full_disk_s_worth_is_dropped_and_counted(tmp_path: Path) -> None:
    journal = Journal(tmp_path, most_octets=1000)
    for number in range(20):
        journal.append([event(number)])
    assert journal.dropped > 0 and journal.waiting_octets <= 1000


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    writer = (
        "import sys, pathlib\nfrom license.journal import Journal\n"
        "from license.usage import Kind, UsageEvent\n"
        "journal = Journal(pathlib.Path(sys.argv[1]))\n"
        "for n in range(100000):\n"
        "    journal.append([UsageEvent(f'{n:032x}', Kind.CALL, 29000000)])\n"
        "    print(n, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", writer, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    acknowledged = [int(line) for line in process.stdout.read().split()]
    process.stdout.close()
    process.wait()
    journal, seen = Journal(tmp_path), list[str]()
    while (batch := journal.next_batch()) is not None:
        seen += [one.event_id for one in batch.events]
        journal.delivered(batch)
    assert len(seen) >= acknowledged[-1] + 1
    assert seen == [f"{number:032x}" for number in range(len(seen))]


@pytest.mark.parametrize(
    "change",
    [
        {"text": "hello"}, {"caller": "+4930123"}, {"kind": "gossip"}, {"features": ["diarize"]},
        {"seconds": "x"}, {"seconds": -1}, {"seconds": 1e12}, {"event_id": "+4930123456"}, {"code": True},
        {"minute": float("inf")},
    ],
)  # fmt: skip
def test_the_form_takes_nothing_else(change: dict[str, object]) -> None:
    with pytest.raises(BadEvent):
        UsageEvent.read({**json.loads(event(1).line()), **change})


def test_an_event_crosses_the_wire_unchanged() -> None:
    one = UsageEvent(
        uuid.uuid4().hex, Kind.SPEAK, 29_000_000, 3.2, 140, 503, (Feature.TIMESTAMPS, Feature.BATCH)
    )
    assert UsageEvent.read(json.loads(one.line())) == one
