from __future__ import annotations

import asyncio
import json
from pathlib import Path

from gateway.calls.record import CallRecord, TurnRecord
from gateway.record_archive import JOURNAL
from gateway.record_keeper import RecordKeeper
from media.legs.base import Direction, EndReason, Parties


def record(call_id: str) -> CallRecord:
    made = CallRecord(call_id, Direction.INBOUND, Parties("100", "200"), "desk", "2026-01-01T00:00:00Z")
    made.turns.append(TurnRecord(1, said="Grüß Gott"))
    made.end_reason = EndReason.CALLER_HUNG_UP
    return made


def test_each_call_has_its_file_and_all_stand_in_the_journal_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"

    async def main() -> RecordKeeper:
        keeper = RecordKeeper(folder)
        for number in range(20):
            keeper.ended(record(f"call-{number}"))
        await keeper.flush()
        return keeper

    keeper = asyncio.run(main())
    assert keeper.failures == 0
    lines = [json.loads(line) for line in (folder / JOURNAL).read_text(encoding="utf-8").splitlines()]
    assert [line["call_id"] for line in lines] == [f"call-{number}" for number in range(20)]
    kept = (folder / "call-7.json").read_text(encoding="utf-8")
    assert json.loads(kept) == lines[7] and "Grüß Gott" in kept
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == []
    assert folder.stat().st_mode & 0o077 == 0, "what callers said is nobody else's business"


def test_a_disk_that_takes_nothing_is_counted_and_harms_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")

    async def main() -> int:
        keeper = RecordKeeper(tmp_path / "file")
        keeper.ended(record("call-1"))
        await keeper.flush()
        return keeper.failures

    assert asyncio.run(main()) == 1
