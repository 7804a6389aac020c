"""Webhooks: signed, in order per call, one id for all tries, bounded. In virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.control.event_log import EventLog
from gateway.control.event_settings import WebhookSettings
from gateway.control.webhooks import Webhooks
from gateway.errors import FetchFailed
from gateway.secret import Secret
from gateway.webhook_signature import secret_octets, signed
from media.clock import now
from tests.virtual_time import run_virtual

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Said:
    status: int


@dataclass
class Receiver:
    """Answers as `judge` says; 0 is no answer at all."""

    judge: Callable[[dict[str, Any]], int] = lambda event: 200
    takes: float = 0.0
    got: list[tuple[float, str, dict[str, Any], Mapping[str, str]]] = field(default_factory=list)

    @asynccontextmanager
    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> AsyncIterator[Any]:
        event = json.loads(body)
        wanted = signed(
            secret_octets(SECRET, "s"), headers["webhook-id"], int(headers["webhook-timestamp"]), body
        )
        assert headers["webhook-signature"] == wanted["webhook-signature"]
        self.got.append((now(), url, event, headers))
        await asyncio.sleep(self.takes)
        status = self.judge(event)
        if not status:
            raise FetchFailed("gone")
        yield Said(status)

    def numbers(self, call_id: str) -> list[int]:
        return [event["data"]["n"] for _, _, event, _ in self.got if event["call_id"] == call_id]


def bench(receiver: Receiver, **settings: Any) -> tuple[EventLog, Webhooks]:
    log = EventLog(1000, "e", lambda: datetime(2026, 1, 2, tzinfo=UTC))
    hook = WebhookSettings("https://app.example/events", Secret(SECRET), **settings)
    hooks = Webhooks([hook], receiver, lambda: 1_700_000_000 + now(), lambda: 0.5)
    log.listen(hooks.take)
    return log, hooks


def test_events_of_a_call_come_in_order_and_those_of_others_do_not_wait_for_it() -> None:
    async def main() -> None:
        refusing = [True]
        receiver = Receiver(lambda event: 500 if event["call_id"] == "a" and refusing[0] else 200)
        log, hooks = bench(receiver)
        for number in range(3):
            log.append("k", "a", {"n": number})
            log.append("k", "b", {"n": number})
        await asyncio.sleep(2)
        assert receiver.numbers("b") == [0, 1, 2]
        refusing[0] = False
        await asyncio.sleep(100)
        assert receiver.numbers("a") == [0, 0, 0, 1, 2], "each tried until taken, then the next"
        ids = [event["id"] for _, _, event, headers in receiver.got if event["call_id"] == "a"]
        assert ids == ["e-1", "e-1", "e-1", "e-3", "e-5"]
        assert [headers["webhook-id"] for _, _, _, headers in receiver.got if headers["webhook-id"] == "e-1"]
        assert hooks.stats() == {"tries": 8, "delivered": 6, "dead": 0, "overflow": 0, "waiting": 0}

    run_virtual(main())


def test_a_receiver_that_never_answers_costs_its_tries_and_no_more() -> None:
    async def main() -> None:
        receiver = Receiver(lambda event: 0)
        log, hooks = bench(receiver, tries=3, first_wait=1.0)
        log.append("k", "a", {"n": 1})
        await asyncio.sleep(1000)
        assert [round(at) for at, *_ in receiver.got] == [0, 1, 5]
        assert hooks.stats()["dead"] == 1 and hooks.stats()["waiting"] == 0

    run_virtual(main())


def test_gone_means_gone() -> None:
    async def main() -> None:
        receiver = Receiver(lambda event: 410)
        log, hooks = bench(receiver)
        log.append("k", "a", {"n": 1})
        await asyncio.sleep(1000)
        assert len(receiver.got) == 1 and hooks.stats()["dead"] == 1

    run_virtual(main())


def test_a_full_queue_gives_up_what_is_new() -> None:
    async def main() -> None:
        receiver = Receiver(takes=5.0)
        log, hooks = bench(receiver, waiting=2)
        for number in range(5):
            log.append("k", "a", {"n": number})
        await asyncio.sleep(60)
        assert receiver.numbers("a") == [0, 1]
        assert hooks.stats()["overflow"] == 3

    run_virtual(main())


def test_only_what_was_asked_for_and_words_only_when_asked() -> None:
    async def main() -> None:
        receiver = Receiver()
        log, _ = bench(receiver, events=("call.key",))
        log.append("call.ended", "a", {"n": 1})
        log.append("call.key", "a", {"n": 2}, {"digit": "5"})
        log.append("call.words", "a", {"n": 3}, {"text": "hello"}, only_private=True)
        await asyncio.sleep(1)
        assert [event["data"] for _, _, event, _ in receiver.got] == [{"n": 2}]
        hearing = Receiver()
        log, _ = bench(hearing, words=True)
        log.append("call.words", "a", {"n": 3}, {"text": "hello"}, only_private=True)
        await asyncio.sleep(1)
        assert [event["data"] for _, _, event, _ in hearing.got] == [{"n": 3, "text": "hello"}]

    run_virtual(main())


def test_closing_gives_up_what_waits_and_counts_it() -> None:
    async def main() -> None:
        receiver = Receiver(lambda event: 500)
        log, hooks = bench(receiver)
        log.append("k", "a", {"n": 1})
        log.append("k", "a", {"n": 2})
        await asyncio.sleep(0.1)
        await hooks.aclose(1.0)
        assert hooks.stats()["dead"] == 2 and hooks.stats()["waiting"] == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main())


@pytest.mark.parametrize(
    ("url", "secret", "told"),
    [
        ("ftp://app.example", SECRET, "url"),
        ("https://me@app.example", SECRET, "url"),
        ("https://app.example", "short", "secret"),
    ],
)
def test_settings_name_what_is_wrong(url: str, secret: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        WebhookSettings(url, Secret(secret))
