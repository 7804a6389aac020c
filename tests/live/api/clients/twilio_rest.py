"""Twilio's REST client, unmodified: only its HTTP client sends each request to the node instead."""

from __future__ import annotations

import json
import sys
import time
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

DOCUMENT = "<Response><Say>You have one new message.</Say><Pause length='60'/></Response>"
ANOTHER = "<Response><Say>Please hold the line.</Say><Pause length='60'/></Response>"


class ToNode(TwilioHttpClient):
    """The library's own client, with another host."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = urlsplit(base)

    def request(self, method: str, url: str, *more: Any, **named: Any) -> Any:
        moved = urlsplit(url)._replace(scheme=self._base.scheme, netloc=self._base.netloc)
        return super().request(method, urlunsplit(moved), *more, **named)


def error(work: Any) -> list[int]:
    try:
        work()
    except TwilioRestException as refused:
        return [refused.status, refused.code]
    return []


def main() -> None:
    base, account, token, number, callback = sys.argv[1:6]
    client = Client(account, token, http_client=ToNode(base))
    stranger = Client(account, "x", http_client=ToNode(base))
    told: dict[str, Any] = {
        "denied": error(lambda: client.calls.create(to="+19005551234", from_="+4930100", twiml=DOCUMENT)),
        "no_app": error(lambda: client.calls.create(to=number, from_="+4930100")),
        "stranger": error(lambda: stranger.calls("CA" + "0" * 32).fetch()),
        "unknown": error(lambda: client.calls("CA" + "0" * 32).fetch()),
    }
    call = client.calls.create(
        to=number, from_="+4930100", twiml=DOCUMENT, timeout=20, status_callback=callback,
        status_callback_event=["initiated", "ringing", "answered", "completed"],
    )  # fmt: skip
    told["placed"] = [call.sid[:2], call.status, call.direction, call.from_formatted]
    until = time.monotonic() + 20
    while call.status != "in-progress" and time.monotonic() < until:
        time.sleep(0.1)
        call = call.fetch()
    told["running"] = [call.status, call.to]
    told["listed"] = [one.sid for one in client.calls.list(status="in-progress")] == [call.sid]
    time.sleep(1.0)
    told["redirected"] = call.update(twiml=ANOTHER).status
    time.sleep(1.0)
    call.update(status="completed")
    while call.fetch().status != "completed" and time.monotonic() < until:
        time.sleep(0.1)
    ended = call.fetch()
    told["ended"] = [ended.status, ended.end_time is not None, int(ended.duration) >= 1]
    told["too_late"] = error(lambda: call.update(status="completed"))
    json.dump(told, sys.stdout)


main()
