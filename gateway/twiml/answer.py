"""What an app may answer with: TwiML, a text to be spoken, a sound to be played."""

from __future__ import annotations

from gateway.errors import AppFailed, TwimlUnfit
from gateway.twiml.client import Reply, shown
from gateway.twiml.read import LONGEST_TEXT, read_document
from gateway.twiml.verbs import Document, Play, Say

CONTENT_TYPE = 12300
"""Twilio's code for an answer of a kind that is not understood."""
_XML = frozenset({"text/xml", "application/xml", "text/html", ""})
"""`text/html` is what web frameworks say when nobody told them; a page of HTML is no TwiML all the same."""


def document_of(reply: Reply) -> Document:
    """The document in an answer. Raises `TwimlUnfit`, and `AppFailed` for a kind that is none."""
    kind = reply.content_type
    if kind in _XML or kind.endswith("+xml"):
        if not reply.body.strip():
            raise TwimlUnfit(f"{shown(reply.url)} answered with nothing", code=12100)
        return read_document(reply.body)
    if kind.startswith("audio/"):
        return Document((Play(reply.url),))
    if kind == "text/plain":
        text = " ".join(reply.body.decode("utf-8", "replace").split())
        return Document((Say(text[:LONGEST_TEXT]),) if text else ())
    raise AppFailed(f"{shown(reply.url)} answered with {kind}, not with TwiML", code=CONTENT_TYPE)
