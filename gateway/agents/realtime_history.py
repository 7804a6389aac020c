"""The conversation so far, in words: what a session that has to begin again is told. Pure."""

from __future__ import annotations

from dataclasses import dataclass

_MOST_LINES = 60
_MOST_LETTERS = 12_000


@dataclass(slots=True)
class _Line:
    role: str
    key: str
    """Item of the session, or "" for what was not one."""
    text: str
    turn: int = 0


class RealtimeHistory:
    """Both sides' words, in the order in which they were said; the oldest are forgotten."""

    def __init__(self) -> None:
        self._lines: list[_Line] = []

    def committed(self, item_id: str, turn: int) -> None:
        """The caller finished this turn; its words follow later, perhaps."""
        self._add(_Line("user", item_id, "", turn))

    def said(self, text: str, item_id: str = "") -> int:
        """The caller's words; returns the turn in which the item was committed, 0 when unknown."""
        line = self._find(item_id) if item_id else None
        if line is None:
            self._add(_Line("user", item_id, text.strip()))
            return 0
        line.text = text.strip()
        return line.turn

    def spoken(self, items: list[tuple[str, str]]) -> None:
        """The model's items and their words as far as they were heard."""
        for item_id, text in items:
            if (line := self._find(item_id)) is not None:
                line.text = text
            else:
                self._add(_Line("assistant", item_id, text))

    def told(self) -> list[tuple[str, str]]:
        """Role and words of each line, within bounds, the oldest first."""
        lines: list[tuple[str, str]] = []
        left = _MOST_LETTERS
        for line in reversed(self._lines):
            left -= len(line.text)
            if left < 0:
                break
            if line.text:
                lines.append((line.role, line.text))
        return lines[::-1]

    def _add(self, line: _Line) -> None:
        self._lines.append(line)
        del self._lines[:-_MOST_LINES]

    def _find(self, item_id: str) -> _Line | None:
        return next((line for line in reversed(self._lines) if line.key == item_id), None)
