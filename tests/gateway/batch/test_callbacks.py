"""Callbacks: signed, tried again, known by one id. In virtual time."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.batch.callbacks import Callbacks, _with
from gateway.batch.job import Callback
from gateway.batch.settings import CallbackSettings
from gateway.errors import FetchFailed, FetchRefused
from gateway.secret import Secret
from gateway.webhook_signature import BadSecret, new_secret, secret_octets, signed
from media.clock import now
from tests.virtual_time import run_virtual

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Said:
    status: int


@dataclass
class Receiver:
    """Answers by a script: a status, or an error to raise."""

    script: list[int | Exception]
    taken: list[tuple[float, str, str, Mapping[str, str], bytes]] = field(default_factory=list)

    @asynccontextmanager
    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> AsyncIterator[Any]:
        self.taken.append((now(), method, url, headers, body))
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(answer, Exception):
            raise answer
        yield Said(answer)


def deliver(*script: int | Exception, method: str = "POST", **settings: Any) -> tuple[bool, Receiver]:
    receiver = Receiver(list(script))

    async def main() -> bool:
        callbacks = Callbacks(
            CallbackSettings(secret=Secret(SECRET), **settings),
            receiver,
            lambda: 1_700_000_000 + now(),
            lambda: 0.5,
        )
        return await callbacks.deliver("job-1", Callback("https://app.example/done", method), {"text": "hé"})

    return run_virtual(main()), receiver


def test_the_published_example_of_the_standard() -> None:
    """The test vector in Standard Webhooks' own libraries."""
    headers = signed(
        secret_octets(SECRET, "secret"), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_can_check_it() -> None:
    done, receiver = deliver(200)
    assert done
    _, method, url, headers, body = receiver.taken[0]
    assert (method, url, headers["webhook-id"]) == ("POST", "https://app.example/done", "job-1")
    assert json.loads(body) == {"text": "hé"}
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    content = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body])
    wanted = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"


def test_tries_have_one_id_growing_waits_and_fresh_times() -> None:
    done, receiver = deliver(500, FetchFailed("no connection"), 404, 204, first_wait=2.0)
    assert done
    assert [round(at) for at, *_ in receiver.taken] == [0, 2, 10, 42]
    assert {headers["webhook-id"] for _, _, _, headers, _ in receiver.taken} == {"job-1"}
    times = [int(headers["webhook-timestamp"]) for _, _, _, headers, _ in receiver.taken]
    assert times == [1_700_000_000, 1_700_000_002, 1_700_000_010, 1_700_000_042]
    assert len({headers["webhook-signature"] for _, _, _, headers, _ in receiver.taken}) == 4


def test_tries_come_to_an_end() -> None:
    done, receiver = deliver(503, tries=3)
    assert not done and len(receiver.taken) == 3


@pytest.mark.parametrize("answer", [410, FetchRefused("not a public address")])
def test_what_is_not_wanted_is_not_tried_again(answer: int | Exception) -> None:
    done, receiver = deliver(answer)
    assert not done and len(receiver.taken) == 1


def test_a_receiver_that_hangs_is_left() -> None:
    class Hanging(Receiver):
        @asynccontextmanager
        async def request(
            self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
        ) -> AsyncIterator[Any]:
            await asyncio.sleep(1000)
            yield Said(200)

    async def main() -> tuple[bool, float]:
        settings = CallbackSettings(secret=Secret(SECRET), tries=2, seconds=5)
        callbacks = Callbacks(settings, Hanging([200]), lambda: 0.0, lambda: 0.5)
        return await callbacks.deliver("job-1", Callback("https://app.example/"), {}), now()

    done, took = run_virtual(main())
    assert not done and took == pytest.approx(12.0)


@pytest.mark.parametrize("wrong", ["whsec_", "whsec_c2hvcnQ=", "not base64!", "whsec_" + "A" * 200])
def test_secrets_that_are_none(wrong: str) -> None:
    with pytest.raises(BadSecret, match="that.field"):
        secret_octets(wrong, "that.field")


def test_a_new_secret_is_good_and_new() -> None:
    assert len(secret_octets(new_secret(), "secret")) == 32
    assert new_secret() != new_secret()


def test_a_get_carries_its_id_and_status_in_the_address() -> None:
    body = {"request_id": "r-1", "status": "success", "webhook_extra": "a b", "transcription": "secret words"}
    assert _with("https://app.example/done?x=1", body) == (
        "https://app.example/done?x=1&request_id=r-1&status=success&webhook_extra=a+b"
    )
    good, receiver = deliver(200, method="GET")
    ((_, method, url, headers, octets),) = receiver.taken
    assert good and (method, octets) == ("GET", b"") and url == "https://app.example/done"
    assert "Content-Type" not in headers and headers["webhook-id"] == "job-1"
