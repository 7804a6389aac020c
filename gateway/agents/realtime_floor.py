"""What the model is saying, and what of it the caller heard: whom to cancel, where to truncate. Pure.

Sound comes faster than it is spoken, and goes on for a moment after a response was cancelled. So each piece
is judged by its response, and every item that was still to be heard is truncated where the caller stopped it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from gateway.agents.realtime_events import Event, SoundPiece, SoundWords, cancel, truncate
from gateway.calls.sound_out import Heard

_REMEMBERED = 64
"""Stopped responses, and items, that are remembered."""


@dataclass(slots=True)
class _Item:
    item_id: str
    response_id: str
    content_index: int
    text: str = ""
    cut: bool = False


class RealtimeFloor:
    """One session's responses and their items."""

    def __init__(self) -> None:
        self._active: str | None = None
        self._stopped: deque[str] = deque(maxlen=_REMEMBERED)
        self._items: deque[_Item] = deque(maxlen=_REMEMBERED)

    @property
    def active(self) -> bool:
        """A response is being made."""
        return self._active is not None

    @property
    def last_item(self) -> str:
        """The item whose sound came last; "" before any."""
        return self._items[-1].item_id if self._items else ""

    def began(self, response_id: str) -> None:
        """`response.created`."""
        self._active = response_id

    def over(self, response_id: str) -> None:
        """`response.done`."""
        if self._active == response_id:
            self._active = None

    def wants(self, piece: SoundPiece) -> bool:
        """Whether this sound may still be heard; remembers whose it is."""
        if piece.response_id in self._stopped:
            return False
        if self._item(piece.item_id) is None:
            self._items.append(_Item(piece.item_id, piece.response_id, piece.content_index))
        return True

    def words(self, words: SoundWords) -> bool:
        """Whether these words may still be heard; they may come before their sound."""
        if words.response_id in self._stopped:
            return False
        item = self._item(words.item_id)
        if item is None:
            item = _Item(words.item_id, words.response_id, 0)
            self._items.append(item)
        item.text += words.text
        return True

    def interrupt(self, silence: Callable[[], None], heard: Callable[[str], Heard], rate: int) -> list[Event]:
        """The caller takes the floor: fall silent, and tell the model how far it was heard."""
        events: list[Event] = []
        unheard = [item for item in self._items if not item.cut and not heard(item.item_id).whole]
        if self._active is not None:
            events.append(cancel(self._active))
            self._stopped.append(self._active)
            unheard += [
                item
                for item in self._items
                if item.response_id == self._active and not item.cut and item not in unheard
            ]
            self._active = None
        silence()
        for item in unheard:
            item.cut = True
            if item.response_id not in self._stopped:
                self._stopped.append(item.response_id)
            milliseconds = heard(item.item_id).sent * 1000 // rate
            events.append(truncate(item.item_id, item.content_index, milliseconds))
        return events

    def spoken(self, heard: Callable[[str], Heard]) -> list[tuple[str, str]]:
        """Each item's words, cut to what was heard, in order: for a session that has to begin again."""
        told = []
        for item in self._items:
            sound = heard(item.item_id)
            words = item.text.split()
            if item.cut and sound.given:
                words = words[: len(words) * sound.sent // max(sound.given, 1)]
            told.append((item.item_id, " ".join(words)))
        return told

    def _item(self, item_id: str) -> _Item | None:
        return next((item for item in reversed(self._items) if item.item_id == item_id), None)
