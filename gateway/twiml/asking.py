"""Who is asked about a call, and by what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urljoin

from gateway.errors import AppFailed
from gateway.twiml.client import AppClient, Ask, Visit
from gateway.twiml.form import CallFields, Fields
from gateway.twiml.host import VerbHost
from gateway.twiml.status import StatusCallbacks, StatusLine
from gateway.twiml.verbs import Document

NO_ADDRESS = 11100
"""Twilio's code for an address that is none."""


@dataclass(frozen=True, slots=True)
class App:
    """An app as the operator, or a client, named it."""

    url: str
    method: str = "POST"
    fallback_url: str = ""
    """Asked when anything of the app fails, with ErrorCode and ErrorUrl; "" for none."""
    fallback_method: str = "POST"


@dataclass(frozen=True, slots=True)
class Inline:
    """A document that came without an app."""

    document: Document


@dataclass(frozen=True, slots=True)
class Asking:
    """What one call asks its apps with."""

    client: AppClient
    callbacks: StatusCallbacks
    visit: Visit
    fields: CallFields
    wall: Callable[[], datetime]
    most_documents: int = 1000
    filler_after: float = 2.0
    """Seconds of silence, of a call that was answered, after which the caller is told to wait; 0: never."""

    def line(self) -> StatusLine:
        """For what is told beside, in order."""
        return self.callbacks.line(self.visit)

    def ask(self, host: VerbHost, base: str, url: str, method: str, fields: Fields = ()) -> Ask:
        """A question with all that an app is told of the call."""
        return Ask(absolute(base, url), method, self.fields.form(host.status, fields))


def absolute(base: str, url: str) -> str:
    """An address of a document made whole; "" is the document's own. Raises `AppFailed`."""
    whole = urljoin(base, url)
    if not whole.startswith(("http://", "https://")):
        raise AppFailed("a document without an address of its own needs whole ones in it", code=NO_ADDRESS)
    return whole
