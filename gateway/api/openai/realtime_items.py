"""What was heard, as the items of a realtime session: which event follows which. Pure.

Every item goes speech_started, speech_stopped, committed, added, done, delta, completed; where the client
commits by itself there is no speech_started and no speech_stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.api.core.listening import Heard, ListenEvent
from gateway.api.core.utterances import Began

_TRANSCRIPTION = "conversation.item.input_audio_transcription"


@dataclass(slots=True)
class _Item:
    item_id: str
    sent: str = ""
    """Deltas so far, joined."""
    texts: list[str] = field(default_factory=list)
    begins: float | None = None
    ends: float = 0.0
    seconds: float | None = None
    """Of the sound, where the client said how much by committing it."""


class Items:
    """One session's items. Give it every event of the stream, in order; send what it returns, in order."""

    def __init__(self, new_id: Callable[[], str], *, by_silence: bool) -> None:
        """`by_silence`: turns end by silence, not only when the client commits."""
        self._new_id = new_id
        self._by_silence = by_silence
        self._open: _Item | None = None
        self._awaited: list[_Item] = []
        self._last: str | None = None

    def heard(self, event: ListenEvent) -> list[dict[str, Any]]:
        """Events for the client."""
        if isinstance(event, Began):
            return self._began(event)
        if isinstance(event, Heard):
            return self._final(event) if event.is_final else self._interim(event)
        return []

    def commit(self, seconds: float) -> list[dict[str, Any]]:
        """The client wants what it sent so far; its last final will say `from_finalize`."""
        item = self._take()
        item.seconds = seconds
        self._awaited.append(item)
        return self._committed(item)

    def clear(self) -> list[dict[str, Any]]:
        """What was sent and not committed is thrown away."""
        self._open = None
        return [{"type": "input_audio_buffer.cleared"}]

    def failed(self, error: dict[str, Any]) -> list[dict[str, Any]]:
        """The recogniser broke: what waits for it has failed."""
        items, self._awaited = self._awaited, []
        if self._open is not None:
            items.append(self._open)
            self._open = None
        return [
            {"type": f"{_TRANSCRIPTION}.failed", "item_id": item.item_id, "content_index": 0, "error": error}
            for item in items
        ]

    def _began(self, event: Began) -> list[dict[str, Any]]:
        if not self._by_silence or (self._open is not None and self._open.begins is not None):
            return []
        item = self._item()
        item.begins = event.at
        started = round(event.at * 1000)
        return [
            {"type": "input_audio_buffer.speech_started", "audio_start_ms": started, "item_id": item.item_id}
        ]

    def _interim(self, event: Heard) -> list[dict[str, Any]]:
        item = self._awaited[0] if self._awaited else self._item()
        return self._delta(item, " ".join([*item.texts, event.text]))

    def _final(self, event: Heard) -> list[dict[str, Any]]:
        item = self._awaited[0] if self._awaited else self._item()
        if event.text:
            item.texts.append(event.text)
        item.ends = event.end
        if self._awaited:
            if not event.from_finalize:
                return self._delta(item, " ".join(item.texts))
            self._awaited.pop(0)
            return self._completed(item)
        if not (self._by_silence and event.endpoint):
            return self._delta(item, " ".join(item.texts))
        self._open = None
        return [*self._committed(item), *self._completed(item)]

    def _committed(self, item: _Item) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        if item.begins is not None:
            events.append(
                {
                    "type": "input_audio_buffer.speech_stopped",
                    "audio_end_ms": round(item.ends * 1000),
                    "item_id": item.item_id,
                }
            )
        before, self._last = self._last, item.item_id
        whole = {
            "id": item.item_id,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        place = {"previous_item_id": before, "item": whole}
        return [
            *events,
            {"type": "input_audio_buffer.committed", "previous_item_id": before, "item_id": item.item_id},
            {"type": "conversation.item.added", **place},
            {"type": "conversation.item.done", **place},
        ]

    def _completed(self, item: _Item) -> list[dict[str, Any]]:
        text = " ".join(item.texts)
        seconds = item.ends - (item.begins or 0.0) if item.seconds is None else item.seconds
        return [
            *self._delta(item, text),
            {
                "type": f"{_TRANSCRIPTION}.completed",
                "item_id": item.item_id,
                "content_index": 0,
                "transcript": text,
                "usage": {"type": "duration", "seconds": round(max(0.0, seconds), 3)},
            },
        ]

    def _delta(self, item: _Item, text: str) -> list[dict[str, Any]]:
        """What is new of `text`. Words that were sent cannot be taken back: `completed` has the last word."""
        if not text.startswith(item.sent) or text == item.sent:
            return []
        new, item.sent = text[len(item.sent) :], text
        return [
            {"type": f"{_TRANSCRIPTION}.delta", "item_id": item.item_id, "content_index": 0, "delta": new}
        ]

    def _item(self) -> _Item:
        if self._open is None:
            self._open = _Item(self._new_id())
        return self._open

    def _take(self) -> _Item:
        item = self._item()
        self._open = None
        return item
