"""Records found again, page by page, and deleted by whole days."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.calls.record import CallRecord
from gateway.record_archive import JOURNAL, RecordArchive, RecordQuery, put_away
from gateway.record_keeper import RecordKeeper
from media.legs.base import Direction, EndReason, Parties

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def line(number: int, **more: str) -> str:
    record = {
        "call_id": f"c{number}", "started": f"2026-03-{1 + number % 9:02}T10:00:00.000+00:00",
        "parties": {"caller": f"10{number % 3}", "called": "200"}, "route": "desk",
        "end_reason": "caller_hung_up", "turns": [], **more,
    }  # fmt: skip
    return json.dumps(record, ensure_ascii=False) + "\n"


def journal(folder: Path, name: str, numbers: range, day: date | None = None) -> Path:
    path = folder / name
    path.write_text("".join(line(number) for number in numbers), encoding="utf-8")
    if day is not None:
        at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()
        os.utime(path, (at, at))
    return path


def ids(archive: RecordArchive, query: RecordQuery, most: int) -> list[str]:
    """All that fit, page by page."""
    found: list[str] = []
    cursor, pages = "", 0
    while True:
        page = asyncio.run(archive.find(query, cursor, most))
        found += [record["call_id"] for record in page.records]
        cursor, pages = page.cursor, pages + 1
        assert pages < 500
        if not cursor:
            return found


@pytest.mark.parametrize("most", [1, 3, 7, 500])
def test_pages_go_back_through_the_days(tmp_path: Path, most: int) -> None:
    journal(tmp_path, "calls-2026-03-08.jsonl", range(0, 5))
    journal(tmp_path, "calls-2026-03-09.jsonl", range(5, 9))
    journal(tmp_path, JOURNAL, range(9, 12), NOW.date())
    (tmp_path / "calls-notes.jsonl").write_text("{}\n")
    archive = RecordArchive(tmp_path, lambda: NOW)
    assert ids(archive, RecordQuery(), most) == [f"c{number}" for number in range(11, -1, -1)]
    assert ids(archive, RecordQuery(caller="100"), most) == ["c9", "c6", "c3", "c0"]
    wanted = RecordQuery("2026-03-02T00", "2026-03-04T00")
    assert ids(archive, wanted, most) == ["c11", "c10", "c2", "c1"]
    assert ids(archive, RecordQuery(reason="max_duration"), most) == []


@settings(max_examples=40, deadline=None)
@given(texts=st.lists(st.text(max_size=200), min_size=1, max_size=60), most=st.integers(1, 9))
def test_nothing_is_lost_or_twice_whatever_stands_in_the_lines(texts: list[str], most: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        body = "".join(line(number, note=text * 40) for number, text in enumerate(texts))
        (folder / JOURNAL).write_text(body, encoding="utf-8", errors="surrogatepass")
        found = ids(RecordArchive(folder, lambda: NOW), RecordQuery(), most)
        assert found == [f"c{number}" for number in range(len(texts) - 1, -1, -1)]


def test_a_cursor_stays_good_while_calls_end_and_days_pass(tmp_path: Path) -> None:
    path = journal(tmp_path, JOURNAL, range(0, 6), NOW.date())
    archive = RecordArchive(tmp_path, lambda: NOW)
    first = asyncio.run(archive.find(RecordQuery(), "", 2))
    with path.open("a") as more:
        more.write(line(6))
    os.utime(path, (NOW.timestamp(), NOW.timestamp()))
    put_away(tmp_path, NOW.date() + timedelta(days=1))
    assert not path.exists() and (tmp_path / "calls-2026-03-10.jsonl").exists()
    rest = asyncio.run(archive.find(RecordQuery(), first.cursor, 10))
    assert [record["call_id"] for record in rest.records] == ["c3", "c2", "c1", "c0"]


@pytest.mark.parametrize(
    "cursor", ["x", "2026-03-10", "2026-03-10:-1", "../../etc:5", "2026-03-10:" + "9" * 40]
)
def test_other_cursors_are_refused(tmp_path: Path, cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        asyncio.run(RecordArchive(tmp_path).find(RecordQuery(), cursor, 5))


def test_broken_lines_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_text("no json\n[1]\n" + line(1) + "\n" + '{"call_id": "half')
    assert ids(RecordArchive(tmp_path), RecordQuery(), 5) == ["c1"]


def test_the_sweep_takes_whole_days_and_nothing_else(tmp_path: Path) -> None:
    old = journal(tmp_path, "calls-2026-03-01.jsonl", range(0, 3))
    with old.open("a") as more:
        more.write(json.dumps({"call_id": "../keys"}) + "\n" + json.dumps({"call_id": "sub/x"}) + "\n{\n")
    journal(tmp_path, "calls-2026-03-08.jsonl", range(3, 5))
    journal(tmp_path, JOURNAL, range(5, 7), date(2026, 2, 1))
    for number in range(7):
        (tmp_path / f"c{number}.json").write_text("{}")
    (tmp_path / "c1.wav").write_bytes(b"RIFF")
    (tmp_path / "other.json").write_text("{}")
    outside = tmp_path.parent / "keys.json"
    outside.write_text("{}")
    archive = RecordArchive(tmp_path, lambda: NOW)
    assert archive.sweep(7) == 5 and archive.swept == 5
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {
        "calls-2026-03-08.jsonl", JOURNAL, "c3.json", "c4.json", "c5.json", "c6.json", "other.json",
    }  # fmt: skip
    assert outside.exists()
    assert archive.sweep(7) == 0


def test_links_are_neither_read_nor_followed(tmp_path: Path) -> None:
    outside = tmp_path.parent / "elsewhere.jsonl"
    outside.write_text(line(1))
    folder = tmp_path / "records"
    folder.mkdir()
    (folder / "calls-2026-03-01.jsonl").symlink_to(outside)
    (folder / "c1.wav").symlink_to(outside)
    archive = RecordArchive(folder, lambda: NOW)
    assert ids(archive, RecordQuery(), 5) == [] and archive.recording("c1") is None
    assert archive.recording("../elsewhere") is None and archive.sweep(1) == 0 and outside.exists()


def test_a_new_day_begins_a_new_journal(tmp_path: Path) -> None:
    today = [NOW]

    async def main() -> None:
        keeper = RecordKeeper(tmp_path, lambda: today[0])
        for number in range(2):
            record = CallRecord(f"c{number}", Direction.INBOUND, Parties("1", "2"), "desk", NOW.isoformat())
            record.end_reason = EndReason.CALLER_HUNG_UP
            keeper.ended(record)
            await keeper.flush()
            os.utime(tmp_path / JOURNAL, (NOW.timestamp(), NOW.timestamp()))
            today[0] = NOW + timedelta(days=1)
        assert keeper.failures == 0

    asyncio.run(main())
    assert len((tmp_path / "calls-2026-03-10.jsonl").read_text().splitlines()) == 1
    assert len((tmp_path / JOURNAL).read_text().splitlines()) == 1
