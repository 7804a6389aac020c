"""The live view on a terminal of 80 columns and in a file."""

from __future__ import annotations

import io

from rich.console import Console

from gateway.calls.record import CallRecord, TurnRecord
from gateway.calls.timings import BargeInTimings
from gateway.console import LiveConsole, ledger_table
from media.legs.base import Direction, EndReason, Parties
from tests.fakes.timings import timed_turn

LONG = "Welcome to the conference, which is about to begin; please hold the line until your name is called."


def talk(*, terminal: bool) -> str:
    out = io.StringIO()
    live = LiveConsole(
        Console(file=out, width=80, force_terminal=terminal, color_system=None, highlight=False)
    )
    live.answered("c1", "PCMU", 8000)
    live.words("c1", "Welcome", is_final=False)
    live.words("c1", "Welcome", is_final=False)
    live.words("c1", LONG, is_final=False)
    live.words("c1", LONG, is_final=True)
    live.saying("c1", 1, "One [moment], please.")
    live.ended(call())
    return out.getvalue()


def call(said: str = LONG) -> CallRecord:
    record = CallRecord("c1", Direction.INBOUND, Parties("1", "2"), "echo", "now")
    record.end_reason, record.duration = EndReason.CALLER_HUNG_UP, 12.34
    record.turns.append(TurnRecord(1, said=said))
    return record


def test_in_a_file_no_line_is_wider_than_80_and_long_ones_go_on_indented() -> None:
    text = talk(terminal=False)
    lines = text.splitlines()
    assert "\r" not in text and max(map(len, lines)) <= 80
    assert lines[0] == "    call  answered, PCMU at 8000 Hz"
    assert lines[1] == " hearing  Welcome …"
    assert lines[2].startswith(" hearing  …") and lines[2].endswith("your name is called. …")
    start = next(i for i, line in enumerate(lines) if line.startswith("  caller"))
    assert lines[start + 1].startswith(" " * 10) and lines[start + 1].strip().endswith("name is called.")
    assert " offhook  One [moment], please." in lines
    assert lines[-1] == "    call  over after 12.3 s: caller_hung_up"


def test_on_a_terminal_interim_words_are_overwritten_in_place() -> None:
    text = talk(terminal=True)
    interims = [part for part in text.split("\r")[:-1]]
    assert len(interims) == 2, "the same words are shown once"
    after = text.rpartition("\r")[2].splitlines()[0]
    assert after.startswith("  caller") and len(after) == 79, "it covers all that the interim left"


def test_the_ledger_fits_80_columns_and_adds_up() -> None:
    out = io.StringIO()
    Console(file=out, width=80, highlight=False).print(ledger_table(call()))
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert max(map(len, lines)) <= 80
    assert any("vad" in line and "asr_final" in line and "total" in line for line in lines)
    assert any(line.strip().startswith("1  Welcome") for line in lines)


def test_hops_are_shown_in_milliseconds_with_their_spread() -> None:
    record = call("Hello.")
    record.turns[0].timings = timings = timed_turn()
    out = io.StringIO()
    Console(file=out, width=80, highlight=False).print(ledger_table(record))
    row = next(line for line in out.getvalue().splitlines() if "Hello." in line).split()
    hops = [int(cell) for cell in row[2:]]
    assert hops[-1] == round(timings.total * 1000)
    assert abs(sum(hops[:-1]) - hops[-1]) <= 4, "each is rounded"
    assert "p95" in out.getvalue()


def test_a_turn_and_an_interruption_are_told_in_words() -> None:
    out = io.StringIO()
    live = LiveConsole(Console(file=out, width=80))
    live.timed("c1", timed_turn())
    live.timed("c1", timed_turn(first_packet=0.0))
    live.barged_in("c1", BargeInTimings(onset=5.0, ducked=5.05, stopped=5.12))
    lines = [line.strip() for line in out.getvalue().splitlines()]
    assert lines[0] == "first sound of the reply 640 ms after the last word" and len(lines) == 2
    assert lines[1] == "interrupted: silent 120 ms after the caller's first sound"
