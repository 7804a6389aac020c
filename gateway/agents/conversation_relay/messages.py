"""The messages of the ConversationRelay protocol: what an app may say, and what it is told.

One JSON object in each text frame. Sources: twilio.com/docs/voice/conversationrelay/websocket-messages and
developers.telnyx.com (ConversationRelay WebSocket channel); `info` is not documented and follows what Twilio
sends. Fields that we do not know are passed over, so that an app may be newer than we are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config

from gateway.agents.base import Interruptible

LONGEST_DIGITS = 100
_STRICT = ConfigDict(strict=True, extra="ignore")
_LANGUAGE = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$"

Language: TypeAlias = Annotated[str, Field(pattern=_LANGUAGE, max_length=35)]


class MessageUnfit(ValueError):
    """What an app sent cannot be used; the text says why, in words for the app's developer."""


@with_config(_STRICT)
@dataclass(frozen=True, slots=True)
class Text:
    """Words to speak; a talk goes on until one says that it is the last."""

    type: Literal["text"]
    token: str = ""
    last: bool = False
    lang: Language | None = None
    interruptible: bool | Literal["none", "dtmf", "speech", "any"] | None = None
    preemptible: bool | None = None


@with_config(_STRICT)
@dataclass(frozen=True, slots=True)
class Play:
    """A sound file to play."""

    type: Literal["play"]
    source: Annotated[str, Field(min_length=1, max_length=4096)]
    loop: Annotated[int, Field(ge=0, le=1000)] = 1
    """0 for ever."""
    interruptible: bool | Literal["none", "dtmf", "speech", "any"] | None = None
    preemptible: bool | None = None


@with_config(_STRICT)
@dataclass(frozen=True, slots=True)
class SendDigits:
    """Keys to press towards the caller; `w` waits for half a second."""

    type: Literal["sendDigits"]
    digits: Annotated[str, Field(pattern=r"^[0-9*#w]+$", max_length=LONGEST_DIGITS)]


@with_config(_STRICT)
@dataclass(frozen=True, slots=True)
class SetLanguage:
    """Speak, hear, or both, another language from now on."""

    type: Literal["language"]
    ttsLanguage: Language | None = None
    transcriptionLanguage: Language | None = None


@with_config(_STRICT)
@dataclass(frozen=True, slots=True)
class End:
    """The session is over; the data goes to whoever decides what follows."""

    type: Literal["end"]
    handoffData: str = ""


AppMessage: TypeAlias = Text | Play | SendDigits | SetLanguage | End

_KINDS = ("text", "play", "sendDigits", "language", "end")
_READER: TypeAdapter[AppMessage] = TypeAdapter(
    Annotated[Text | Play | SendDigits | SetLanguage | End, Field(discriminator="type")]
)


def read(frame: str | bytes, most: int) -> AppMessage:
    """One frame of the app's, of `most` octets. Raises `MessageUnfit`."""
    if isinstance(frame, bytes):
        raise MessageUnfit("Invalid message: a binary frame; send JSON as text")
    if len(frame) > most or len(frame.encode("utf-8", "replace")) > most:
        raise MessageUnfit(f"Invalid message: larger than {most} octets; send it in several")
    try:
        return _READER.validate_json(frame)
    except ValidationError as error:
        raise MessageUnfit(f"Invalid message: {_words(error)}") from None


def _words(error: ValidationError) -> str:
    """The first mistake; the message itself is not repeated, it may hold what callers said."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    kinds = ", ".join(_KINDS)
    match first["type"]:
        case "json_invalid":
            return "no JSON"
        case "union_tag_not_found":
            return f"type is missing; send one of {kinds}"
        case "union_tag_invalid":
            return f"unknown type; send one of {kinds}"
    if not first["loc"]:
        return "no JSON object"
    return f"{first['loc'][1]}: {first['msg'][:1].lower()}{first['msg'][1:]}"


def interruptible(written: bool | str | None) -> Interruptible | None:
    """What a message says of interruptions; true means any, false none."""
    if written is None:
        return None
    if isinstance(written, bool):
        return Interruptible.ANY if written else Interruptible.NONE
    return Interruptible(written)


# ----------------------------------------------------------------------------------------- to the app


@dataclass(frozen=True, slots=True)
class Setup:
    """Who calls whom; the first message on every connection."""

    session: str
    account: str
    call: str
    caller: str
    called: str
    outbound: bool
    parameters: Mapping[str, str]

    def message(self) -> str:
        """As it is sent."""
        return _message(
            "setup",
            sessionId=self.session,
            accountSid=self.account,
            parentCallSid="",
            callSid=self.call,
            **{"from": self.caller},
            to=self.called,
            forwardedFrom="",
            callType="PSTN",
            callerName="",
            direction="outbound" if self.outbound else "inbound",
            callStatus="IN-PROGRESS",
            customParameters=dict(self.parameters),
        )


def prompt(text: str, language: str, *, last: bool) -> str:
    """What the caller said, or, not `last`, says."""
    return _message("prompt", voicePrompt=text, lang=language, last=last)


def interrupt(heard: str, milliseconds: int) -> str:
    """The caller cut a talk: what he heard of it, and how long it had sounded."""
    return _message("interrupt", utteranceUntilInterrupt=heard, durationUntilInterruptMs=milliseconds)


def dtmf(digit: str) -> str:
    """The caller pressed a key."""
    return _message("dtmf", digit=digit)


def error(description: str) -> str:
    """Something went wrong; the session goes on."""
    return _message("error", description=description)


def info(name: str, value: str, at_ms: int | None = None) -> str:
    """Something to know: `agentSpeaking`, `clientSpeaking` (on, off), `tokensPlayed`."""
    stamp = {} if at_ms is None else {"ts": at_ms}
    return _message("info", name=name, value=value, **stamp)


def _message(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields}, ensure_ascii=False)
