"""Asks an app what a call shall do: signed, in time, tried again by Twilio's rules, redirects followed.

A server that the operator named is reached wherever it is; every other address passes the guard of
`gateway/audio/outbound.py` at each connection, redirects included.
"""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import unquote, urlencode, urljoin, urlsplit, urlunsplit

import structlog

from gateway import twilio_signature
from gateway.audio.outbound import Answer
from gateway.errors import AppFailed, FetchFailed, FetchRefused, Unreachable
from gateway.secret import Secret
from gateway.twiml.cookies import Cookies
from gateway.twiml.overrides import Manner, split
from gateway.twiml.settings import TwimlSettings
from gateway.twiml.xml_tree import MOST_OCTETS

log = structlog.get_logger(__name__)

# What Twilio calls these failures (twilio.com/docs/api/errors).
RETRIEVAL = 11200
NO_CONNECTION = 11205
MANY_REDIRECTS = 11215
TOO_LARGE = 11750

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEEP_METHOD = frozenset({307, 308})
_ACCEPT = "text/xml, application/xml, audio/*, text/plain, */*;q=0.5"


class Sender(Protocol):
    """Sends one request; `Outbound` is one."""

    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> AbstractAsyncContextManager[Answer]: ...


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to an app."""

    url: str
    method: str = "POST"
    fields: tuple[tuple[str, str], ...] = ()
    """Form fields; with GET they join the address."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What an app answered, with 2xx."""

    url: str
    """Where it came from in the end: relative addresses in it begin here."""
    content_type: str
    """Lower case, without parameters; "" when the app gave none."""
    body: bytes


@dataclass(slots=True)
class Visit:
    """What one call keeps with its app."""

    trusted: frozenset[str] = frozenset()
    """Origins (`origin`) that the operator named."""
    cookies: Cookies = field(default_factory=Cookies)

    def trust(self, urls: Iterable[str]) -> None:
        """Servers that somebody with a say in it named."""
        self.trusted |= frozenset(filter(None, map(origin, urls)))


def origin(url: str) -> str:
    """Scheme, host and port of an address, with the port always written; "" for none."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.hostname}:{port}" if parts.hostname else ""


def trusting(urls: Iterable[str]) -> Visit:
    """A visit to servers that the operator named."""
    visit = Visit()
    visit.trust(urls)
    return visit


class _Late(AppFailed):
    """No answer began in time."""


class _Refused(Exception):
    """A try that failed; `policy` is the word that asks for another one."""

    def __init__(self, policy: str, error: AppFailed) -> None:
        self.policy = policy
        self.error = error


class AppClient:
    """Sends the questions. One per node; belongs to one event loop."""

    def __init__(self, settings: TwimlSettings, guarded: Sender, unguarded: Sender) -> None:
        self._settings = settings
        self._guarded = guarded
        self._unguarded = unguarded
        self._counts: Counter[str] = Counter()

    @property
    def token(self) -> Secret:
        """Signs the requests."""
        return self._settings.auth_token

    def stats(self) -> dict[str, float]:
        """Questions, tries and failures."""
        return dict(self._counts)

    async def ask(self, ask: Ask, visit: Visit) -> Reply:
        """The app's answer. Raises `AppFailed` with Twilio's code for why there is none."""
        url, manner = split(ask.url, self._settings.seconds)
        ask = replace(ask, url=url)
        self._counts["asked"] += 1
        try:
            async with asyncio.timeout(manner.total):
                return await self._with_tries(ask, visit, manner)
        except TimeoutError:
            self._counts["failed"] += 1
            raise AppFailed(
                f"{shown(url)} did not answer within {manner.total:g} s", code=RETRIEVAL
            ) from None
        except AppFailed:
            self._counts["failed"] += 1
            raise

    async def _with_tries(self, ask: Ask, visit: Visit, manner: Manner) -> Reply:
        for left in range(manner.retries, -1, -1):
            self._counts["tries"] += 1
            try:
                return await self._try(ask, visit, manner)
            except _Refused as refused:
                log.info("app did not serve", why=str(refused.error), code=refused.error.code)
                if not left or refused.policy not in manner.policies:
                    raise refused.error from None
        raise AssertionError("unreachable")

    async def _try(self, ask: Ask, visit: Visit, manner: Manner) -> Reply:
        try:
            async with self.open(ask, visit, manner.read) as (answer, url):
                if not 200 <= answer.status < 300:
                    failed = AppFailed(f"{shown(url)} answered {answer.status}", code=RETRIEVAL)
                    raise _Refused(f"{answer.status // 100}xx", failed)
                content_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
                return Reply(url, content_type, await _body(answer, url))
        except _Late as error:
            raise _Refused("rt", error) from None
        except Unreachable as error:
            raise _Refused("ct", AppFailed(str(error), code=NO_CONNECTION)) from None
        except (FetchFailed, FetchRefused) as error:
            raise _Refused("", AppFailed(str(error), code=RETRIEVAL)) from None

    @asynccontextmanager
    async def open(self, ask: Ask, visit: Visit, seconds: float) -> AsyncIterator[tuple[Answer, str]]:
        """The answer of the server at the end of all redirects, and where that is; its body is not read yet.

        `seconds`: until each answer begins. Raises `AppFailed`, `FetchRefused` and `FetchFailed`.
        """
        for _ in range(self._settings.redirects + 1):
            url, headers, body = self._signed(ask, visit.cookies)
            sender = self._unguarded if origin(url) in visit.trusted else self._guarded
            async with AsyncExitStack() as stack:
                try:
                    async with asyncio.timeout(seconds):
                        request = sender.request(ask.method, url, headers, body)
                        answer = await stack.enter_async_context(request)
                except TimeoutError:
                    told = f"{shown(url)} did not answer within {seconds:g} s"
                    raise _Late(told, code=RETRIEVAL) from None
                visit.cookies.keep(url, answer.fields)
                if answer.status not in _REDIRECTS or "location" not in answer.headers:
                    yield answer, url
                    return
            ask = _moved(ask, urljoin(url, answer.headers["location"]), answer.status)
        raise AppFailed(f"more than {self._settings.redirects} redirects", code=MANY_REDIRECTS)

    def _signed(self, ask: Ask, cookies: Cookies) -> tuple[str, dict[str, str], bytes]:
        """Address, headers and body. A user and password in the address go into a header of their own."""
        url, user = _without_user(ask.url)
        form: tuple[tuple[str, str], ...] = ()
        body = b""
        headers = {"Accept": _ACCEPT}
        if ask.method == "GET":
            if ask.fields:
                url += ("&" if "?" in url else "?") + urlencode(ask.fields)
        else:
            form, body = ask.fields, urlencode(ask.fields).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8"
            if not body:
                headers["Content-Length"] = "0"
        if user:
            headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
        if cookie := cookies.header(url):
            headers["Cookie"] = cookie
        return url, {**headers, **twilio_signature.headers(self.token, url, form)}, body


async def _body(answer: Answer, url: str) -> bytes:
    octets = bytearray()
    async for piece in answer.body():
        octets += piece
        if len(octets) > MOST_OCTETS:
            raise AppFailed(f"{shown(url)} answered with more than {MOST_OCTETS // 1024} KB", code=TOO_LARGE)
    return bytes(octets)


def _moved(ask: Ask, url: str, status: int) -> Ask:
    """Where a redirect leads; what it says of the method is RFC 9110 section 15.4."""
    if status in _KEEP_METHOD:
        return replace(ask, url=url)
    return Ask(url, "GET")


def _without_user(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    return (urlunsplit(parts._replace(netloc=host)), unquote(user)) if user else (url, "")


def shown(url: str) -> str:
    """An address as a log may show it: without user, password and query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
