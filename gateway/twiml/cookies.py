"""Cookies of one call: apps keep a caller's state in them, as they do with browsers."""

from __future__ import annotations

from collections.abc import Iterable
from email.message import Message
from http.client import HTTPMessage
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.request import Request

MOST_COOKIES = 50
LONGEST_COOKIE = 4096


class _Received:
    """As much of an answer as a cookie jar wants to see."""

    def __init__(self, set_cookies: Iterable[str]) -> None:
        self._headers = HTTPMessage()
        for line in set_cookies:
            self._headers["Set-Cookie"] = line

    def info(self) -> Message:
        return self._headers


class Cookies:
    """Bounded in number and size."""

    def __init__(self) -> None:
        self._jar = CookieJar(DefaultCookiePolicy())

    def header(self, url: str) -> str:
        """What to send along to this address; "" for none."""
        request = Request(url)
        self._jar.add_cookie_header(request)
        return request.get_header("Cookie", "")

    def keep(self, url: str, fields: Iterable[tuple[str, str]]) -> None:
        """Take what an answer from this address sets."""
        lines = [value for name, value in fields if name == "set-cookie" and len(value) <= LONGEST_COOKIE]
        if lines and len(self._jar) < MOST_COOKIES:
            self._jar.extract_cookies(_Received(lines[:MOST_COOKIES]), Request(url))  # type: ignore[arg-type]
