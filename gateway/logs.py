"""Structured logs: one line per event, the call's id on it, no speech above debug, no secret ever.

Lines are made where they are logged and written by a thread of their own, so that a slow terminal or disk
never holds up the event loop; when the bounded queue between them is full, lines are dropped and counted.
"""

from __future__ import annotations

import logging
import queue
import re
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from gateway.secret import MASK, Secret

SPEECH_FIELDS = frozenset(
    {"text", "transcript", "words", "digits", "digit", "dtmf", "said", "heard", "reply"}
)
"""Fields that may hold what somebody said or keyed; shown in debug events only."""

_SECRET_FIELD = re.compile(r"password|secret|token(?!s)|api_?key|authorization|credential", re.IGNORECASE)
_CLOSE_SECONDS = 2.0
_TALKATIVE = ("aioice", "aiortc", "httpx", "httpx2", "httpcore", "httpcore2", "openai", "uvicorn", "asyncio")
"""Libraries whose own lines below warning are left out: some of them print requests, and so speech."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe events shown. Debug shows what callers say and key: never leave it on."""
    json: bool = False
    """One JSON object per line for machines; otherwise aligned text for people."""
    queue_lines: int = 10_000
    """Lines that may wait for a slow output, 1 or more; beyond that they are dropped and counted."""

    def __post_init__(self) -> None:
        if self.queue_lines < 1:
            raise ValueError("queue_lines: must be 1 or more")


class LogOutput:
    """The running log; `close` writes what waits and ends it."""

    def __init__(self, handler: _Handler, writer: _Writer) -> None:
        self._handler = handler
        self._writer = writer

    @property
    def dropped(self) -> int:
        """Lines lost because the output could not keep up or is gone."""
        return self._handler.dropped + self._writer.dropped

    def close(self) -> None:
        """Write everything that waits, within two seconds. Idempotent."""
        logging.getLogger().removeHandler(self._handler)
        self._writer.finish(_CLOSE_SECONDS)


def start_logs(
    settings: LogSettings, *, secrets: Collection[str] = (), output: TextIO | None = None
) -> LogOutput:
    """Send every log of the process, ours and libraries', to `output` (stderr); mask `secrets` everywhere."""
    level = logging.getLevelName(settings.level.upper())
    shared = _processors()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    writer = _Writer(output or sys.stderr, settings.queue_lines)
    handler = _Handler(writer)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(settings.json, colors=writer.output.isatty()),
                _masker(secrets),
            ],
            foreign_pre_chain=shared,
        )
    )
    writer.start()
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    return LogOutput(handler, writer)


@contextmanager
def call_context(call_id: str) -> Iterator[None]:
    """Everything logged inside, in tasks started inside too, carries the call's id."""
    with structlog.contextvars.bound_contextvars(call_id=call_id):
        yield


def redact(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Cover secrets always, and speech and keys in events above debug."""
    for field, value in event.items():
        if isinstance(value, Secret) or (_SECRET_FIELD.search(field) and isinstance(value, str)):
            event[field] = MASK
        elif field in SPEECH_FIELDS and method != "debug" and not isinstance(value, int | float | None):
            event[field] = f"({len(value)} hidden)" if isinstance(value, Collection) else MASK
    return event


class _Writer(threading.Thread):
    """The only thread that touches the output."""

    def __init__(self, output: TextIO, queue_lines: int) -> None:
        super().__init__(name="log-writer", daemon=True)
        self.output = output
        self.lines: queue.Queue[str | None] = queue.Queue(queue_lines)
        self.dropped = 0

    def run(self) -> None:
        while (line := self.lines.get()) is not None:
            try:
                self.output.write(line + "\n")
                if self.lines.empty():
                    self.output.flush()
            except (OSError, ValueError):
                # A closed pipe or file: nobody can be told.
                self.dropped += 1

    def finish(self, seconds: float) -> None:
        """End after what waits, or give up on an output that takes nothing."""
        if not self.is_alive():
            return
        try:
            self.lines.put(None, timeout=seconds)
        except queue.Full:
            return
        self.join(seconds)


class _Handler(logging.Handler):
    """Makes the line where it was logged and hands it over, or drops and counts it."""

    def __init__(self, writer: _Writer) -> None:
        super().__init__()
        self._lines = writer.lines
        self.dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.put_nowait(self.format(record))
        except queue.Full:
            self.dropped += 1


def _processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]


def _renderers(json: bool, *, colors: bool) -> list[Processor]:
    if json:
        return [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer(sort_keys=False)]
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]


def _masker(secrets: Collection[str]) -> Callable[[WrappedLogger, str, EventDict], str]:
    """The last step over the finished line: a secret inside a message or a traceback is covered too."""
    known = sorted((secret for secret in secrets if len(secret) >= 4), key=len, reverse=True)

    def mask(_logger: WrappedLogger, _method: str, line: EventDict) -> str:
        text = str(line)
        for secret in known:
            text = text.replace(secret, MASK)
        return text

    return mask
