"""`<Connect>`, `<Start>` and `<Stop>`: apps that take the call, or listen to it, over a WebSocket."""

from __future__ import annotations

import itertools
import re

from gateway.agents.conversation_relay.attributes import RELAY_ATTRIBUTES
from gateway.problems import nearest
from gateway.twiml.attributes import Attributes
from gateway.twiml.verbs import (
    Connect,
    ConversationRelay,
    RelayLanguage,
    StartStream,
    StopStream,
    Stream,
)
from gateway.twiml.xml_tree import Element

NOT_SERVED = frozenset(
    {
        "Siprec", "Transcription", "VirtualAgent", "Room", "Conversation", "Autopilot", "AiSession",
        "Recording", "ConversationRelaySession", "Assistant", "Application",
    }
)  # fmt: skip
"""Nouns of Twilio's that this gateway does not connect to."""
LANGUAGE_ATTRIBUTES = (
    "ttsProvider", "voice", "transcriptionProvider", "speechModel", "hints", "asrSmartFormat",
    "ttsTextNormalization", "ttsLanguageTextNormalization",
)  # fmt: skip

MOST_PARAMETERS = 50
LONGEST_PARAMETERS = 500
"""Characters of the names and values of a stream's parameters together."""
_LONGEST_PARAMETER = 4000
_SOCKETS = ("wss", "ws")


def _noun(attributes: Attributes, served: tuple[str, ...]) -> Element:
    nouns = list(attributes.element.elements)
    if len(nouns) != 1:
        raise attributes.error(f"needs exactly one of {', '.join(f'<{name}>' for name in served)} in it")
    (noun,) = nouns
    if noun.name not in served:
        inner = attributes.within(noun)
        if noun.name in NOT_SERVED:
            raise inner.error("is a noun of Twilio's that this gateway does not serve")
        raise inner.error(f"has no place in <{attributes.element.name}>; {nearest(noun.name, served)}")
    return noun


def read_connect(attributes: Attributes) -> Connect:
    """Raises `TwimlUnfit`."""
    inner = attributes.within(_noun(attributes, ("Stream", "ConversationRelay")))
    noun = _stream(inner, both_ways=True) if inner.element.name == "Stream" else _relay(inner)
    inner.done()
    return Connect(noun, attributes.url("action"), attributes.method())


def read_start(attributes: Attributes) -> StartStream:
    """Raises `TwimlUnfit`."""
    inner = attributes.within(_noun(attributes, ("Stream",)))
    stream = _stream(inner, both_ways=False)
    inner.done()
    attributes.ignored(dict.fromkeys(("action", "method"), "a stream has a statusCallback"))
    return StartStream(stream)


def read_stop(attributes: Attributes) -> StopStream:
    """Raises `TwimlUnfit`."""
    inner = attributes.within(_noun(attributes, ("Stream",)))
    name = inner.text("name")
    if not name:
        raise inner.error("needs the name under which the stream was started", "name")
    inner.done()
    return StopStream(name)


def _stream(attributes: Attributes, *, both_ways: bool) -> Stream:
    url = _socket(attributes)
    if "?" in url:
        raise attributes.error("takes no query; use <Parameter>", "url", 31920)
    track = attributes.text("track")
    if both_ways:
        track = ""
        if attributes.written("track"):
            attributes.remark("track", "is passed over: this stream carries the caller and takes sound back")
    else:
        track = _track(attributes)
    attributes.ignored(
        {
            "connectorName": "connectors are made in Twilio's console",
            "audioFormat": "sound is µ-law",
            "sampleRate": "sound has 8,000 samples a second",
        }
    )
    parameters = _parameters(attributes, LONGEST_PARAMETERS)
    return Stream(
        url,
        attributes.text("name"),
        track,
        attributes.url("statusCallback"),
        attributes.method("statusCallbackMethod"),
        parameters,
    )


def _track(attributes: Attributes) -> str:
    """What of the call an app hears that listens beside it: the caller, what he hears, or both."""
    written = attributes.choice("track", "inbound_track", ("inbound_track", "outbound_track", "both_tracks"))
    return written.partition("_")[0]


def _relay(attributes: Attributes) -> ConversationRelay:
    url = _socket(attributes)
    known = sorted(RELAY_ATTRIBUTES - {"url"})
    written = tuple((name, attributes.text(name)) for name in known if attributes.written(name))
    languages: list[RelayLanguage] = []
    for child in attributes.element.elements:
        if child.name == "Language":
            languages.append(_language(attributes.within(child)))
        elif child.name != "Parameter":
            inner = attributes.within(child)
            raise inner.error(
                f"has no place in <ConversationRelay>; {nearest(child.name, ('Language', 'Parameter'))}"
            )
    return ConversationRelay(url, written, tuple(languages), _parameters(attributes, 0))


def _language(attributes: Attributes) -> RelayLanguage:
    code = attributes.text("code")
    if not re.fullmatch(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*|multi", code):
        raise attributes.error("needs a language such as en-US", "code")
    written = [(name, attributes.text(name)) for name in LANGUAGE_ATTRIBUTES if attributes.written(name)]
    attributes.done()
    return RelayLanguage(code, tuple(written))


def _parameters(attributes: Attributes, most: int) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for child in attributes.element.elements:
        if child.name == "Parameter":
            inner = attributes.within(child)
            if not (name := inner.text("name")):
                raise inner.error("needs a name", "name")
            found.append((name, inner.text("value")))
            inner.done()
    total = sum(map(len, itertools.chain.from_iterable(found)))
    if len(found) > MOST_PARAMETERS or total > (most or _LONGEST_PARAMETER):
        raise attributes.error(
            f"has parameters of {total} characters; {most or _LONGEST_PARAMETER} are taken"
        )
    return tuple(found)


def _socket(attributes: Attributes) -> str:
    url = attributes.checked(attributes.text("url"), "url", _SOCKETS)
    if not re.match(r"wss?://[^/]", url):
        raise attributes.error("needs a whole wss:// address", "url", 31920)
    return url
