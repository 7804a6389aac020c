"""Logs: the call's id on every line, no speech above debug, no secret, never in the loop's way."""

from __future__ import annotations

import ast
import asyncio
import io
import json
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog

from gateway.logs import SPEECH_FIELDS, LogOutput, LogSettings, call_context, redact, start_logs
from gateway.secret import MASK, Secret

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def logging_to(
    output: io.StringIO, settings: LogSettings, secrets: tuple[str, ...] = ()
) -> Iterator[LogOutput]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    running = start_logs(settings, secrets=secrets, output=output)
    try:
        yield running
    finally:
        running.close()
        structlog.reset_defaults()
        root.handlers[:] = handlers
        root.setLevel(level)


def lines(output: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.getvalue().splitlines()]


def test_lines_are_json_with_level_time_and_call() -> None:
    output = io.StringIO()

    async def call(call_id: str) -> None:
        with call_context(call_id):
            await asyncio.sleep(0)
            await asyncio.create_task(part())

    async def part() -> None:
        structlog.get_logger("x").info("turn committed", turn=1)

    async def scene() -> None:
        await asyncio.gather(call("a"), call("b"))

    with logging_to(output, LogSettings(json=True)):
        asyncio.run(scene())
        structlog.get_logger("x").debug("unseen")
    seen = lines(output)
    assert sorted(line["call_id"] for line in seen) == ["a", "b"]
    assert seen[0]["event"] == "turn committed"
    assert (seen[0]["turn"], seen[0]["level"], seen[0]["logger"]) == (1, "info", "x")
    assert seen[0]["timestamp"].endswith("Z")


def test_speech_is_hidden_above_debug_and_shown_in_debug() -> None:
    output = io.StringIO()
    with logging_to(output, LogSettings(level="debug", json=True)):
        log = structlog.get_logger("x")
        getattr(log, "info")("heard", text="my pin is 1234", digits="1234", reply=7)  # noqa: B009
        log.debug("heard", text="my pin is 1234")
    info, debug = lines(output)
    assert (info["text"], info["digits"], info["reply"]) == ("(14 hidden)", "(4 hidden)", 7)
    assert debug["text"] == "my pin is 1234"


def test_secrets_are_covered_in_fields_messages_tracebacks_and_libraries() -> None:
    output = io.StringIO()
    with logging_to(output, LogSettings(level="debug", json=True), secrets=("hunter2", "abc")):
        log = structlog.get_logger("x")
        log.debug("registering", password="p", api_key=Secret("k"), key=Secret("k"), tokens=5, why="hunter2!")
        logging.getLogger("library").warning("sent %s", "hunter2")
        try:
            raise ValueError("bad hunter2")
        except ValueError:
            log.exception("failed")
    first = lines(output)[0]
    assert (first["password"], first["api_key"], first["key"], first["tokens"]) == (MASK, MASK, MASK, 5)
    assert first["why"] == f"{MASK}!"
    assert lines(output)[1]["event"] == f"sent {MASK}"
    assert "hunter2" not in output.getvalue()
    assert "ValueError" in output.getvalue()


def test_text_for_people_is_one_line_per_event() -> None:
    output = io.StringIO()
    with logging_to(output, LogSettings()):
        structlog.get_logger("x").info("call ended", reason="no_input")
    assert "call ended" in output.getvalue()
    assert "reason=no_input" in output.getvalue()
    assert "\x1b" not in output.getvalue()


def test_talkative_libraries_are_quiet_below_warning() -> None:
    output = io.StringIO()
    with logging_to(output, LogSettings(level="debug", json=True)):
        logging.getLogger("openai").debug("request with what the caller said")
        logging.getLogger("openai").warning("shown")
    assert [line["event"] for line in lines(output)] == ["shown"]


class StuckOutput(io.StringIO):
    """An output that takes nothing until it is let go, as a full pipe does."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()

    def write(self, text: str) -> int:
        self.free.wait(10)
        return super().write(text)


def test_a_stuck_output_costs_lines_not_time() -> None:
    output = StuckOutput()
    with logging_to(output, LogSettings(json=True, queue_lines=10)) as running:
        for number in range(50):
            structlog.get_logger("x").info("line", number=number)
        assert 39 <= running.dropped <= 40
        output.free.set()
    assert [line["number"] for line in lines(output)][:10] == list(range(10))


def test_a_closed_output_is_survived() -> None:
    output = io.StringIO()
    with logging_to(output, LogSettings()) as running:
        output.close()
        structlog.get_logger("x").info("to nobody")
        running.close()
        running.close()
        assert running.dropped == 1


def test_redaction_leaves_numbers_and_other_fields() -> None:
    event = {"reply": 3, "words": None, "said": ["a", "b"], "reason": "x", "authorization": "Digest …"}
    assert redact(None, "info", dict(event)) == {
        "reply": 3,
        "words": None,
        "said": "(2 hidden)",
        "reason": "x",
        "authorization": MASK,
    }


# -- the house rule -------------------------------------------------------------------------------------

_LOUD = {"info", "warning", "error", "exception", "critical", "fatal"}


_NUMBER = re.compile(r"^len\(|[._]number$")
"""Values that only count."""


def loud_speech(source: str) -> list[int]:
    """Lines that log speech or keys above debug."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in _LOUD
        and "log" in ast.unparse(node.func.value).lower()
        and any(
            keyword.arg in SPEECH_FIELDS and not _NUMBER.search(ast.unparse(keyword.value))
            for keyword in node.keywords
        )
    ]


def test_nobody_logs_speech_above_debug() -> None:
    offences = [
        f"{path.relative_to(ROOT)}:{line}"
        for folder in ("media", "engines", "gateway", "license")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line in loud_speech(path.read_text(encoding="utf-8"))
    ]
    assert offences == []


def test_a_planted_offence_is_caught() -> None:
    assert loud_speech(
        "log.info('x', text=t)\nlog.debug('x', text=t)\nself._logger.error('x', digits=d)"
    ) == [1, 3]
    assert loud_speech("log.info('x', digits=len(d), reply=r.number)\nother.info('x', text=t)") == []
