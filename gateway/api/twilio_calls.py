"""Twilio's Calls resource, for apps and bots that use it: place, look at, redirect and end calls.

twilio.com/docs/voice/api/call-resource. Errors have Twilio's shape and codes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Any, Literal, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from gateway.api.calls import same_site
from gateway.api.core.door import Door
from gateway.api.dialect import read_body
from gateway.calls.orders import End, OrderRefused, RunTwiml
from gateway.control.order_desk import OrderDesk
from gateway.control.originate import Detect, Originate, Originator
from gateway.control.twilio_book import BookedCall, TwilioBook
from gateway.dialplan.actions import Answer
from gateway.dialplan.actions_reach import Twiml
from gateway.dialplan.match import Match, Route
from gateway.dialplan.steps import plain
from gateway.errors import GatewayError, verdict
from gateway.keys.key import Scope
from gateway.twiml.client import trusting
from gateway.twiml.form import API_VERSION, CallFields
from gateway.twiml.node import TwimlNode
from gateway.twiml.verbs import Callback
from media.legs.base import Direction, EndReason, Leg, Parties

_MOST = 65_536
_PAGE = 50
_NOT_FOUND, _NOT_ADMITTED, _UNFIT, _FORBIDDEN = 20404, 20003, 21218, 21216
_NO_TO, _NO_URL, _NOT_RUNNING = 21201, 21205, 21220
_CODES = {401: _NOT_ADMITTED, 403: _FORBIDDEN, 404: _NOT_FOUND, 429: 20429}
_EVENTS = ("initiated", "ringing", "answered", "completed")


@dataclass(frozen=True, slots=True)
class TwilioCalls:
    """What the resource is given."""

    book: TwilioBook
    twiml: TwimlNode
    originator: Originator
    orders: OrderDesk
    door: Door
    allowed_hosts: Sequence[str]


class _Refused(Exception):
    """An error as Twilio tells it."""

    def __init__(
        self, status: int, code: int, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers


def add_routes(api: FastAPI, parts: TwilioCalls) -> None:
    """Adds the routes."""
    base = f"/{API_VERSION}/Accounts/{{account}}/Calls"

    @api.post(f"{base}.json", tags=["twilio"], status_code=201)
    async def place(account: str, request: Request) -> Response:
        """Place a call: `To`, `From`, `Url` or `Twiml`, `StatusCallback`, `Timeout`, `MachineDetection`."""
        return await _told(request, parts, account, lambda form, trusted: _place(parts, form, trusted))

    @api.get(f"{base}.json", tags=["twilio"])
    async def calls(account: str, request: Request) -> Response:
        """The calls of this node since it started, the newest first."""
        return await _told(request, parts, account, lambda form, trusted: _listed(parts, request))

    @api.get(f"{base}/{{sid}}.json", tags=["twilio"])
    async def call(account: str, sid: str, request: Request) -> Response:
        """One call, running or ended since the node started."""
        return await _told(request, parts, account, lambda form, trusted: _shown(parts, sid, request))

    @api.post(f"{base}/{{sid}}.json", tags=["twilio"])
    async def change(account: str, sid: str, request: Request) -> Response:
        """End a call (`Status=completed` or `canceled`), or send it to another document (`Url`, `Twiml`)."""
        return await _told(
            request, parts, account, lambda form, trusted: _change(parts, sid, request, form, trusted)
        )


Work: TypeAlias = "Callable[[_Form, bool], Awaitable[tuple[int, Any]]]"
"""What a request asks for; told whether the account's own token was shown."""


async def _told(request: Request, parts: TwilioCalls, account: str, work: Work) -> Response:
    try:
        trusted = await _admitted(request, parts, account)
        form = _Form(parse_qsl((await read_body(request, _MOST)).decode("utf-8", "replace")))
        status, body = await work(form, trusted)
        return JSONResponse(body, status)
    except _Refused as refused:
        return _error(refused.status, refused.code, refused.message, refused.headers)
    except OrderRefused as refused:
        return _error(400, _NOT_RUNNING, refused.detail)
    except GatewayError as error:
        judged = verdict(error)
        return _error(judged.http_status, _CODES.get(judged.http_status, _UNFIT), str(error))
    except ValueError as unfit:
        return _error(400, _UNFIT, str(unfit))


async def _admitted(request: Request, parts: TwilioCalls, account: str) -> bool:
    """Whether the account's own token was shown; else a key must be. Raises `_Refused`, `GatewayError`."""
    same_site.check(request.headers, parts.allowed_hosts)
    if account != parts.twiml.account:
        raise _Refused(404, _NOT_FOUND, f"The requested resource {request.url.path} was not found")
    shown = request.headers.get("authorization", "")
    if parts.twiml.shelf.admits(shown):
        return True
    if not shown.lower().startswith("basic ") or not parts.door.asks:
        challenge = {"WWW-Authenticate": 'Basic realm="Twilio API"'}
        raise _Refused(401, _NOT_ADMITTED, "Authenticate", challenge)
    await parts.door.admit(request.headers, {}, Scope.CONTROL, while_draining=True)
    return False


class _Form:
    """The fields of a request, some of which may come several times."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._pairs = pairs

    def __getitem__(self, name: str) -> str:
        return next((value for key, value in self._pairs if key == name), "")

    def all(self, name: str) -> list[str]:
        return [value for key, value in self._pairs if key == name]

    def url(self, name: str, *, trusted: bool) -> str:
        """An address. Raises `_Refused`."""
        url = self[name]
        if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
            raise _Refused(400, _NO_URL, f"{name} is not a valid URL")
        if url and not trusted:
            raise _Refused(403, _FORBIDDEN, f"{name} may be given with the account's own token only")
        return url


async def _place(parts: TwilioCalls, form: _Form, trusted: bool) -> tuple[int, Any]:
    if not form["To"]:
        raise _Refused(400, _NO_TO, "No 'To' number is specified")
    order = Originate(
        to=form["To"],
        route=Route("twilio", Match(), plain(Answer(), _app(form, trusted))),
        caller=form["From"] or form["CallerId"],
        ring_seconds=_seconds(form["Timeout"] or "60"),
        detect=_detection(form),
        tape=form["Record"].lower() == "true",
    )
    callback = form.url("StatusCallback", trusted=trusted)
    events = tuple(event for event in form.all("StatusCallbackEvent") if event in _EVENTS)
    told = Callback(callback, form["StatusCallbackMethod"] or "POST", events or ("completed",))

    def watch(call_id: str, leg: Leg) -> None:
        if callback:
            fields = CallFields.of(call_id, parts.twiml.account, leg.direction, leg.parties)
            line = parts.twiml.callbacks.line(trusting([callback]))
            parts.twiml.progress.watch(call_id, fields, told, line, answered=False)

    call_id = await parts.originator.place(order, placed=watch)
    booked = next(call for call in parts.book.latest() if call.call_id == call_id)
    return 201, _resource(booked, parts)


def _app(form: _Form, trusted: bool) -> Twiml:
    if form["Twiml"]:
        return Twiml(document=form["Twiml"])
    url = form.url("Url", trusted=trusted)
    if not url:
        raise _Refused(400, _NO_URL, "Url or Twiml parameter is required")
    fallback = form.url("FallbackUrl", trusted=trusted)
    return Twiml(url, _method(form["Method"]), fallback, _method(form["FallbackMethod"]))


def _method(written: str) -> Literal["GET", "POST"]:
    return "GET" if written.upper() == "GET" else "POST"


def _seconds(written: str) -> float:
    if not written.isdigit() or not 1 <= int(written) <= 600:
        raise _Refused(400, _UNFIT, "Timeout must be a number of seconds")
    return float(min(int(written), 180))


def _detection(form: _Form) -> Detect:
    wanted = form["MachineDetection"]
    if not wanted:
        return Detect.OFF
    if wanted not in ("Enable", "DetectMessageEnd"):
        raise _Refused(400, _UNFIT, "MachineDetection is Enable or DetectMessageEnd")
    if form["AsyncAmd"].lower() == "true":
        return Detect.BESIDE
    return Detect.FIRST if wanted == "Enable" else Detect.GREETING_END


async def _listed(parts: TwilioCalls, request: Request) -> tuple[int, Any]:
    query = request.query_params
    found = [
        call
        for call in parts.book.latest()
        if query.get("Status", str(call.status)) == str(call.status)
        and query.get("To", call.parties.called) == call.parties.called
        and query.get("From", call.parties.caller) == call.parties.caller
    ]
    size = query.get("PageSize", "")
    most = min(max(int(size), 1), 1000) if size.isdigit() else _PAGE
    page = int(query["Page"]) if query.get("Page", "").isdigit() else 0
    shown = [_resource(call, parts) for call in found[page * most : (page + 1) * most]]
    more = f"{request.url.path}?Page={page + 1}&PageSize={most}" if len(found) > (page + 1) * most else None
    return 200, {
        "calls": shown, "page": page, "page_size": most, "start": page * most,
        "end": page * most + len(shown) - 1, "uri": request.url.path,
        "first_page_uri": f"{request.url.path}?Page=0&PageSize={most}", "next_page_uri": more,
        "previous_page_uri": None,
    }  # fmt: skip


async def _shown(parts: TwilioCalls, sid: str, request: Request) -> tuple[int, Any]:
    return 200, _resource(_found(parts, sid, request), parts)


async def _change(
    parts: TwilioCalls, sid: str, request: Request, form: _Form, trusted: bool
) -> tuple[int, Any]:
    call = _found(parts, sid, request)
    if not call.running:
        raise _Refused(404, _NOT_FOUND, f"The requested resource {request.url.path} was not found")
    status = form["Status"]
    if status in ("completed", "canceled"):
        if status == "canceled" and call.answered is not None:
            return 200, _resource(call, parts)
        await parts.orders.give(call.call_id, End(EndReason.API_HUNG_UP), wait=5.0)
        return 200, _resource(call, parts)
    if status:
        raise _Refused(400, _UNFIT, "Status may be completed or canceled")
    app = _app(form, trusted)
    order = RunTwiml(app.url, app.method, app.document, app.fallback_url, app.fallback_method)
    await parts.orders.give(call.call_id, order, wait=5.0)
    return 200, _resource(call, parts)


def _found(parts: TwilioCalls, sid: str, request: Request) -> BookedCall:
    call = parts.book.find(sid)
    if call is None:
        raise _Refused(404, _NOT_FOUND, f"The requested resource {request.url.path} was not found")
    return call


def _resource(call: BookedCall, parts: TwilioCalls) -> dict[str, Any]:
    account = parts.twiml.account
    uri = f"/{API_VERSION}/Accounts/{account}/Calls/{call.sid}"
    began, ended = call.answered or call.created, call.ended
    duration = round((ended - call.answered).total_seconds()) if ended and call.answered else 0
    parties: Parties = call.parties
    return {
        "sid": call.sid, "account_sid": account, "to": parties.called, "to_formatted": parties.called,
        "from": parties.caller, "from_formatted": parties.caller, "status": str(call.status),
        "direction": "inbound" if call.direction is Direction.INBOUND else "outbound-api",
        "date_created": format_datetime(call.created), "date_updated": format_datetime(ended or began),
        "start_time": format_datetime(call.answered) if call.answered else None,
        "end_time": format_datetime(ended) if ended else None,
        "duration": str(duration) if ended else None, "answered_by": call.answered_by,
        "api_version": API_VERSION, "annotation": None, "parent_call_sid": None, "phone_number_sid": "",
        "price": None, "price_unit": "USD", "caller_name": parties.display or None,
        "forwarded_from": parties.forwarded_from or None, "group_sid": None, "queue_time": "0",
        "trunk_sid": "", "uri": f"{uri}.json",
        "subresource_uris": {"recordings": f"{uri}/Recordings.json"},
    }  # fmt: skip


def _error(status: int, code: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    more = f"https://www.twilio.com/docs/errors/{code}"
    body = {"code": code, "message": message, "more_info": more, "status": status}
    return JSONResponse(body, status, dict(headers or {}))
