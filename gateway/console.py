"""Shows calls in the terminal while they happen: words as they come, replies, the ledger at the end."""

from __future__ import annotations

import math

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.calls.record import CallRecord, TurnRecord
from gateway.calls.timings import BargeInTimings, Hop, TurnTimings
from gateway.observers import SilentObserver


class LiveConsole(SilentObserver):
    """One line per thing said; interim words replace each other on a terminal, and are listed elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown = ""

    def answered(self, call_id: str, codec: str, sample_rate: int) -> None:
        self._line("call", f"answered, {codec} at {sample_rate} Hz", "dim")

    def words(self, call_id: str, text: str, *, is_final: bool) -> None:
        if not text or (text == self._shown and not is_final):
            return
        self._shown = text
        if is_final:
            self._line("caller", text, "bold cyan")
            return
        # Overwritten by the next line of the same call on a terminal; in a file each state is kept. What is
        # too long for one line loses its beginning: the news is at its end.
        end = "\r" if self._console.is_terminal else "\n"
        room = self._console.width - _MARGIN - 3
        shown = text if len(text) <= room else "…" + text[1 - room :]
        self._console.print(
            self._padded(_labelled("hearing", f"{shown} …", "dim cyan")), end=end, no_wrap=True
        )

    def saying(self, call_id: str, reply: int, sentence: str) -> None:
        self._line("offhook", sentence, "bold green")

    def timed(self, call_id: str, timings: TurnTimings) -> None:
        if not math.isnan(timings.total):
            self._line(
                "", f"first sound of the reply {timings.total * 1000:.0f} ms after the last word", "dim"
            )

    def barged_in(self, call_id: str, timings: BargeInTimings) -> None:
        self._line(
            "", f"interrupted: silent {timings.stop * 1000:.0f} ms after the caller's first sound", "dim"
        )

    def ended(self, record: CallRecord) -> None:
        self._line("call", f"over after {record.duration:.1f} s: {record.end_reason}", "dim")

    def _line(self, who: str, text: str, style: str) -> None:
        for line in Text(text, style).wrap(self._console, self._console.width - _MARGIN - 1):
            line.rstrip()
            self._console.print(self._padded(Text.assemble(_label(who), line)))
            who = ""

    def _padded(self, line: Text) -> Text:
        """Wide enough to cover what an interim left behind."""
        if self._console.is_terminal and line.cell_len < self._console.width:
            line.pad_right(self._console.width - line.cell_len - 1)
        return line


_MARGIN = 10
"""Columns left of what is said."""


def _label(who: str) -> Text:
    return Text(f"{who:>{_MARGIN - 2}}  ", "dim")


def _labelled(who: str, text: str, style: str) -> Text:
    return Text.assemble(_label(who), (text, style))


def ledger_table(record: CallRecord) -> Table:
    """Every turn's hops in milliseconds, then their distribution over the call."""
    table = Table(
        title="Latency ledger, milliseconds", title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0)
    )
    table.add_column("turn", justify="right")
    table.add_column("caller said", width=18, no_wrap=True, overflow="ellipsis")
    for hop in Hop:
        table.add_column(str(hop), justify="right")
    table.add_column("total", justify="right", style="bold")
    for turn in record.turns:
        table.add_row(*_row(turn))
    table.add_section()
    spread = record.ledger()
    for field in ("p50", "p95", "p99", "worst"):
        cells = [_ms(getattr(spread[name], field)) if name in spread else "" for name in (*Hop, "turn")]
        table.add_row("", field, *cells)
    return table


def _row(turn: TurnRecord) -> list[str]:
    shares = turn.timings.shares() if turn.timings else {}
    total = turn.timings.total if turn.timings else math.nan
    return [
        str(turn.number),
        turn.said or turn.dtmf,
        *(_ms(shares.get(hop, math.nan)) for hop in Hop),
        _ms(total),
    ]


def _ms(seconds: float) -> str:
    return "" if math.isnan(seconds) else f"{seconds * 1000:.0f}"
