"""Attributes of one element, read with the care that a live call deserves.

What is written wrongly is passed over with a remark, as Twilio does, and the default stands; only what leaves
nothing to do is an error.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from gateway.errors import TwimlUnfit
from gateway.problems import nearest
from gateway.twiml.verbs import Callback, Remark
from gateway.twiml.xml_tree import Element

UNFIT = 12200
"""Twilio's code for a document that its schema does not allow."""
KEYS = frozenset("0123456789*#")
_CALL_EVENTS = ("initiated", "ringing", "answered", "completed")
_LONGEST_URL = 4000
_SHOWN = 40


class Attributes:
    """Reads the attributes of one element; every one that is asked for counts as known."""

    def __init__(self, element: Element, remarks: list[Remark]) -> None:
        self.element = element
        self._remarks = remarks
        self._known: set[str] = set()

    def within(self, element: Element) -> Attributes:
        """Those of an element in it; remarks go to the same list."""
        return Attributes(element, self._remarks)

    def remark(self, attribute: str, what: str) -> None:
        """Note what is passed over."""
        self._remarks.append(Remark(self.element.line, self.element.name, attribute, what))

    def error(self, what: str, attribute: str = "", code: int = UNFIT) -> TwimlUnfit:
        """The error to raise for what leaves nothing to do."""
        return TwimlUnfit(
            what, line=self.element.line, verb=self.element.name, attribute=attribute, code=code
        )

    def text(self, name: str, default: str = "") -> str:
        self._known.add(name)
        return self.element.attributes.get(name, default).strip()

    def written(self, name: str) -> bool:
        return name in self.element.attributes

    def flag(self, name: str, default: bool) -> bool:
        """`true` or `false`."""
        written = self.text(name).lower()
        if written in ("true", "false"):
            return written == "true"
        if self.written(name):
            self._wrong(name, "true or false")
        return default

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """A number; one out of range is brought to the nearer end."""
        if not self.written(name):
            self._known.add(name)
            return default
        try:
            value = float(self.text(name))
        except ValueError:
            value = float("nan")
        if value != value:
            self._wrong(name, f"a number from {low:g} to {high:g}")
            return default
        if not low <= value <= high:
            self._wrong(name, f"a number from {low:g} to {high:g}; the nearest is taken")
        return min(max(value, low), high)

    def choice(self, name: str, default: str, choices: Collection[str]) -> str:
        written = self.text(name)
        if written in choices:
            return written
        if self.written(name):
            self._wrong(name, ", ".join(choices))
        return default

    def several(self, name: str, default: tuple[str, ...], choices: Collection[str]) -> tuple[str, ...]:
        """Some of the choices, with spaces or commas between them."""
        words = self.text(name).replace(",", " ").split()
        for word in words:
            if word not in choices:
                self._wrong(name, f"some of {', '.join(choices)}")
        return tuple(word for word in dict.fromkeys(words) if word in choices) or default

    def method(self, name: str = "method") -> str:
        written = self.text(name).upper()
        if written in ("GET", "POST"):
            return written
        if self.written(name):
            self._wrong(name, "GET or POST")
        return "POST"

    def url(self, name: str) -> str:
        """An address, absolute or not; "" when none was written. Raises `TwimlUnfit` for what is none."""
        return self.checked(self.text(name), name)

    def checked(self, url: str, attribute: str = "", schemes: Collection[str] = ("http", "https")) -> str:
        """The address itself. Raises `TwimlUnfit`."""
        try:
            scheme = urlsplit(url).scheme
        except ValueError:
            raise self.error(f"{_short(url)} is no web address", attribute) from None
        if (
            scheme
            and scheme not in schemes
            or len(url) > _LONGEST_URL
            or any(ord(char) <= 32 for char in url)
        ):
            raise self.error(f"{_short(url)} is no {' or '.join(schemes)} address", attribute)
        return url

    def keys(self, name: str, default: str, *, most: int) -> str:
        """Keys that end something. An attribute written empty means none."""
        if not self.written(name):
            self._known.add(name)
            return default
        written = self.text(name)
        if len(written) > most or not set(written) <= KEYS:
            self._wrong(name, "one of 0-9, * and #" if most == 1 else "some of 0-9, * and #")
            return default
        return written

    def callback(self) -> Callback | None:
        """Where a dialled call's progress is told."""
        url, method = self.url("statusCallback"), self.method("statusCallbackMethod")
        events = self.several("statusCallbackEvent", ("completed",), _CALL_EVENTS)
        return Callback(url, method, events) if url else None

    def ignored(self, names: Mapping[str, str]) -> None:
        """Attributes that Twilio knows and we pass over, and why."""
        for name, why in names.items():
            self._known.add(name)
            if self.written(name):
                self.remark(name, f"is passed over: {why}")

    def done(self) -> None:
        """Everything known was asked for: what is left, nobody knows."""
        for name in self.element.attributes:
            if name not in self._known and not name.startswith("xml"):
                self.remark(name, f"is not known and passed over; {nearest(name, self._known)}")

    def _wrong(self, name: str, expected: str) -> None:
        self.remark(name, f'"{_short(self.text(name))}" is passed over; expected {expected}')


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
