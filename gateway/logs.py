"""Structured logs: one line per event, the call's id on it, no speech above debug, no secret ever.

Lines are made where they are logged and written by a thread of their own, so that a slow terminal or disk
never holds up the event loop; when the bounded queue between them is full, lines are dropped and counted.
"""

from __future__ import annotations

import logging
import logging.handlers
import queue
import re
import sys
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
_QUEUE_LINES = 10_000
_TALKATIVE = ("httpx", "httpx2", "httpcore", "httpcore2", "openai", "uvicorn", "asyncio")
"""Libraries whose own lines below warning are left out: some of them print requests, and so speech."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe events shown. Debug shows what callers say and key: never leave it on."""
    json: bool = False
    """One JSON object per line for machines; otherwise aligned text for people."""


class LogOutput:
    """The running log; `close` writes what waits and ends it."""

    def __init__(self, handler: _Handler, listener: logging.handlers.QueueListener) -> None:
        self._handler = handler
        self._listener = listener
        self._closed = False

    @property
    def dropped(self) -> int:
        """Lines lost because the output could not keep up."""
        return self._handler.dropped

    def close(self) -> None:
        """Write everything that waits. Idempotent."""
        if not self._closed:
            self._closed = True
            logging.getLogger().removeHandler(self._handler)
            self._listener.stop()


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
    target = output or sys.stderr
    handler = _Handler(queue.Queue(_QUEUE_LINES))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(settings.json, colors=target.isatty()),
                _masker(secrets),
            ],
            foreign_pre_chain=shared,
        )
    )
    listener = logging.handlers.QueueListener(handler.lines, logging.StreamHandler(target))
    listener.start()
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    return LogOutput(handler, listener)


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


class _Handler(logging.handlers.QueueHandler):
    """Hands finished lines to the writing thread, or drops and counts them."""

    def __init__(self, lines: queue.Queue[logging.LogRecord]) -> None:
        super().__init__(lines)
        self.lines = lines
        self.dropped = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.lines.put_nowait(record)
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
