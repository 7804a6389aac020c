"""A recording to be recognised later: what is asked, how far it is. Plain data that any queue can hold."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from gateway.audio.decoder_wire import RawFormat
from gateway.batch.recordings import RecordingAsk


@dataclass(frozen=True, slots=True)
class Callback:
    """Where the result goes."""

    url: str
    method: str = "POST"
    """`POST` or `PUT` with the result; `GET` with id and status in the address, for who asks for the rest."""


@dataclass(frozen=True, slots=True)
class Job:
    """One recording. Exactly one of `url` and `path` is given."""

    job_id: str
    """Also the callback's id, the same for all its tries."""
    shape: str
    """Which API's form the result has."""
    language: str
    owner: str = ""
    """Id of the key that asked; "" where none was needed."""
    url: str = ""
    path: str = ""
    """A file that belongs to the job and goes with it."""
    raw: RawFormat | None = None
    split: bool = False
    hot_words: tuple[str, ...] = ()
    endpoint_ms: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    """What the shape needs to know of the request; JSON values."""
    callback: Callback | None = None

    def ask(self) -> RecordingAsk:
        """What the recogniser is asked."""
        return RecordingAsk(self.language, self.raw, self.split, self.hot_words, self.endpoint_ms)

    def discard(self) -> None:
        """Remove the file that belongs to it. Idempotent."""
        if self.path:
            with suppress(FileNotFoundError):
                os.unlink(self.path)

    def text(self) -> str:
        """As JSON, for a queue outside this process."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Job:
        """The job in a text that `text` made."""
        fields = json.loads(text)
        raw, callback = fields.pop("raw"), fields.pop("callback")
        hot_words = tuple(fields.pop("hot_words"))
        return cls(
            **fields,
            hot_words=hot_words,
            raw=RawFormat(**raw) if raw else None,
            callback=Callback(**callback) if callback else None,
        )


class JobState(StrEnum):
    """How far a job is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Progress:
    """What a client can see of a job."""

    state: JobState
    owner: str = ""
    heard_seconds: float = 0.0
    total_seconds: float | None = None
    """By the file's own header; None while that is not known."""
    body: Mapping[str, Any] | None = None
    """The result, or what went wrong, in the job's shape; set when the state is final."""
    callback: str = ""
    """Of a job with a callback: `pending`, `delivered` or `failed`."""

    @property
    def over(self) -> bool:
        """Nothing more will change but the callback."""
        return self.state in (JobState.DONE, JobState.FAILED)
