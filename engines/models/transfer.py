"""One GET of a model's file, from some octet on: redirects, statuses, stalls. Knows no disk."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from engines.models.base import ModelError, ModelUnreachable
from engines.models.settings import ModelSettings
from engines.models.source import Remote, request_headers, without_secrets

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_PAUSE = 60.0


class Broken(ModelUnreachable):
    """This try failed; another may go on where it stopped, after `pause` seconds where the server says so."""

    def __init__(self, told: str, pause: float = 0.0) -> None:
        super().__init__(told)
        self.pause = pause


class Stale(Broken):
    """The server has no such part: what came before is of no use."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a server is about to send."""

    offset: int
    """Where in the file it begins; 0 where the server starts anew."""
    total: int
    """Octets of the whole file; 0: the server does not say."""
    validator: str
    """Strong ETag or date by which the server knows this version again; "" when it names none."""
    chunks: Iterator[bytes]
    """Raises `Broken` where it ends early, or too little comes."""


class Transfer:
    """Fetches parts of one remote file over one client. Close it."""

    def __init__(
        self, remote: Remote, settings: ModelSettings, clock: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        """`clock`: monotonic seconds. `wall`: Unix seconds, for signatures. Raises `ModelError`."""
        self._remote = remote
        self._settings = settings
        self._clock = clock
        self._wall = wall
        seconds = httpx.Timeout(settings.stall_seconds, connect=settings.connect_seconds)
        self._client = httpx.Client(verify=_trust(settings), timeout=seconds, follow_redirects=False)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    @contextmanager
    def part(self, offset: int, validator: str) -> Iterator[Part]:
        """The file from `offset` on if it is still the version that `validator` names, else all of it.

        Raises `Broken` when another try may help, `ModelError` when not.
        """
        headers = {"range": f"bytes={offset}-", "if-range": validator} if offset and validator else {}
        try:
            with self._answer(headers) as answer:
                yield self._part(answer, offset if headers else 0, validator)
        except httpx.TimeoutException as error:
            raise Broken(f"{self._shown}: nothing came in time ({type(error).__name__})") from None
        except (httpx.TransportError, httpx.StreamError) as error:
            raise Broken(f"{self._shown}: the connection failed: {_why(error)}") from None

    @property
    def _shown(self) -> str:
        return self._remote.shown

    @contextmanager
    def _answer(self, headers: dict[str, str]) -> Iterator[httpx.Response]:
        url = self._remote.url
        for _ in range(_MOST_REDIRECTS + 1):
            sent = request_headers(url, self._remote, self._settings, headers, self._wall())
            with self._client.stream("GET", url, headers=sent) as answer:
                if answer.status_code not in _REDIRECTS:
                    yield answer
                    return
                url = self._next(url, answer)
        raise ModelError(f"{self._shown}: more than {_MOST_REDIRECTS} redirects")

    def _next(self, url: str, answer: httpx.Response) -> str:
        target = urljoin(url, str(answer.headers.get("location", "")))
        parts = urlsplit(target)
        if parts.scheme != "https" or not parts.hostname:
            shown = without_secrets(target)
            raise ModelError(f"{self._shown}: is redirected to {shown}; only https is followed")
        return target

    def _part(self, answer: httpx.Response, offset: int, validator: str) -> Part:
        status = answer.status_code
        if status not in (200, 206):
            self._refuse(answer)
        found = _validator(answer)
        if status == 200:
            total = _number(answer.headers.get("content-length", ""))
            return Part(0, total, found, self._chunks(answer, total))
        first, last, total = _content_range(answer.headers.get("content-range", ""))
        if first != offset or (found and found != validator):
            raise Stale(f"{self._shown}: the server sent another part than was asked for")
        return Part(offset, total, validator, self._chunks(answer, last + 1 - first))

    def _chunks(self, answer: httpx.Response, expected: int) -> Iterator[bytes]:
        """Raises `Broken` when fewer octets come than announced, or too slowly."""
        came = in_window = 0
        since = self._clock()
        for chunk in answer.iter_raw():
            came += len(chunk)
            in_window += len(chunk)
            yield chunk
            passed = self._clock() - since
            if passed >= self._settings.stall_seconds:
                if in_window < self._settings.slowest_kb * 1000 * passed / self._settings.stall_seconds:
                    raise Broken(f"{self._shown}: only {in_window} octets came in {passed:.0f} s")
                since, in_window = self._clock(), 0
        if expected and came < expected:
            raise Broken(f"{self._shown}: the connection ended early")

    def _refuse(self, answer: httpx.Response) -> None:
        status = answer.status_code
        told = f"{self._shown}: the server answers {status} {answer.reason_phrase}".rstrip()
        if status in _AGAIN:
            pause = min(_LONGEST_PAUSE, float(_number(answer.headers.get("retry-after", ""))))
            raise Broken(told, pause)
        if status == 416:
            raise Stale(told)
        cure = {
            401: "; set models.token and models.token_host, or models.s3_access_key and models.s3_secret_key",
            403: "; check that the key may read it, and that a signed address has not run out",
            404: "; check the address",
            410: "; check the address",
        }.get(status, "")
        raise ModelError(told + cure)


def _trust(settings: ModelSettings) -> Any:
    if not settings.ca_file:
        return True
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        raise ModelError(f"models.ca_file: {settings.ca_file} cannot be used: {error.strerror}") from None


def _validator(answer: httpx.Response) -> str:
    """A strong ETag, else the date; a weak ETag may not be used with If-Range (RFC 9110 section 13.1.5)."""
    etag = answer.headers.get("etag", "")
    if etag and not etag.startswith("W/"):
        return str(etag)
    return str(answer.headers.get("last-modified", ""))


def _content_range(text: str) -> tuple[int, int, int]:
    """First, last and total of "bytes 5-9/10" (RFC 9110 section 14.4); total 0 for `*`."""
    unit, _, rest = text.partition(" ")
    where, _, total = rest.partition("/")
    first, _, last = where.partition("-")
    if unit != "bytes" or not (first.isdigit() and last.isdigit()):
        return -1, -1, 0
    return int(first), int(last), _number(total)


def _number(text: str) -> int:
    return int(text) if text.isdigit() and len(text) < 19 else 0


def _why(error: Exception) -> str:
    """The system's words, but never an address with a key in it."""
    text = str(error)
    return text if text and "://" not in text else type(error).__name__
