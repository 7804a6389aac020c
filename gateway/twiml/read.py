"""A TwiML document, read: octets in, verbs and remarks out, or an error that names line, verb and attribute.

Unknown attributes and wrong values are remarked and passed over, as Twilio does. An unknown verb, and one
that is not served here, is an error: leaving it out would make another call than the one that was written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.errors import TwimlUnfit
from gateway.problems import nearest
from gateway.twiml.attributes import UNFIT, Attributes
from gateway.twiml.read_connect import read_connect, read_start, read_stop
from gateway.twiml.read_dial import read_dial, read_refer
from gateway.twiml.spoken import spoken
from gateway.twiml.verbs import (
    Document,
    Gather,
    Hangup,
    Pause,
    Play,
    Record,
    Redirect,
    Reject,
    Remark,
    Say,
    Verb,
)
from gateway.twiml.xml_tree import Element, read_tree

MOST_VERBS = 200
LONGEST_TEXT = 4096
"""Characters of one `<Say>`."""
_LOOPS = 1000
_DAY = 86_400

NOT_SERVED = frozenset({"Enqueue", "Leave", "Queue", "Pay", "Prompt", "Sms", "Message", "Echo", "Siprec"})
"""Verbs of Twilio's that this gateway does not serve."""

_OURS = "the engines and limits of this node decide"


def read_document(octets: bytes) -> Document:
    """Raises `TwimlUnfit`."""
    root = read_tree(octets)
    if root.name != "Response":
        raise TwimlUnfit(f"begins with <{root.name}>, not with <Response>", line=root.line, code=UNFIT)
    remarks: list[Remark] = []
    verbs = tuple(_verb(element, remarks) for element in root.elements)
    count = sum(1 + (len(verb.prompts) if isinstance(verb, Gather) else 0) for verb in verbs)
    if count > MOST_VERBS:
        raise TwimlUnfit(f"has {count} verbs; {MOST_VERBS} are taken", line=root.line, code=UNFIT)
    return Document(verbs, tuple(remarks))


def _verb(element: Element, remarks: list[Remark]) -> Verb:
    attributes = Attributes(element, remarks)
    read = _READERS.get(element.name)
    if read is None:
        if element.name in NOT_SERVED:
            raise attributes.error("is a verb of Twilio's that this gateway does not serve")
        raise attributes.error(f"is no verb; {nearest(element.name, _READERS)}")
    verb = read(attributes)
    attributes.done()
    return verb


def _childless(attributes: Attributes) -> None:
    for child in attributes.element.elements:
        attributes.remark("", f"<{child.name}> has no place in it and is passed over")


def _say(attributes: Attributes) -> Say:
    text, stripped = spoken(attributes.element)
    if stripped:
        attributes.remark("", "SSML is taken out of the text")
    if len(text) > LONGEST_TEXT:
        raise attributes.error(f"has {len(text)} characters; {LONGEST_TEXT} are taken")
    if not text:
        attributes.remark("", "has no text")
    loop = int(attributes.number("loop", 1, 0, _LOOPS))
    return Say(text, attributes.text("voice"), attributes.text("language"), loop)


def _play(attributes: Attributes) -> Play:
    _childless(attributes)
    url = attributes.checked(attributes.element.text)
    digits = attributes.text("digits")
    if not set(digits) <= set("0123456789*#ABCDabcdwW"):
        raise attributes.error("must be of 0-9, *, #, A-D and w", "digits")
    if not url and not digits:
        raise attributes.error("has neither an address in it nor digits")
    return Play(url, digits, int(attributes.number("loop", 1, 0, _LOOPS)))


def _pause(attributes: Attributes) -> Pause:
    _childless(attributes)
    return Pause(attributes.number("length", 1, 0, 14_400))


_PROMPTS: Mapping[str, Callable[[Attributes], Say | Play | Pause]] = {
    "Say": _say,
    "Play": _play,
    "Pause": _pause,
}


def _gather(attributes: Attributes) -> Gather:
    kinds = attributes.several("input", ("dtmf",), ("dtmf", "speech"))
    auto = attributes.text("timeout") == "auto"
    timeout = None if auto else attributes.number("timeout", 5, 0, 600)
    speech_timeout = None  # what is not written is judged by the endpointing, too
    if attributes.text("speechTimeout") not in ("", "auto"):
        speech_timeout = attributes.number("speechTimeout", 1, 0.1, 60)
    attributes.ignored(
        {
            "speechModel": _OURS,
            "enhanced": _OURS,
            "profanityFilter": "words come as they were said",
            "debug": "the log tells",
        }
    )
    return Gather(
        speech="speech" in kinds,
        dtmf="dtmf" in kinds,
        action=attributes.url("action"),
        method=attributes.method(),
        timeout=timeout,
        speech_timeout=speech_timeout,
        finish_on_key=attributes.keys("finishOnKey", "#", most=1),
        num_digits=int(attributes.number("numDigits", 0, 1, 1000)),
        hints=tuple(hint for word in attributes.text("hints").split(",") if (hint := word.strip())),
        language=attributes.text("language"),
        partial_callback=attributes.url("partialResultCallback"),
        partial_method=attributes.method("partialResultCallbackMethod"),
        action_on_empty=attributes.flag("actionOnEmptyResult", False),
        barge_in=attributes.flag("bargeIn", True),
        max_speech=attributes.number("maxSpeechTime", 60, 1, 600),
        prompts=_prompts(attributes),
    )


def _prompts(attributes: Attributes) -> tuple[Say | Play | Pause, ...]:
    prompts: list[Say | Play | Pause] = []
    for child in attributes.element.elements:
        inner = attributes.within(child)
        if child.name not in _PROMPTS:
            raise inner.error(f"has no place in <Gather>; {nearest(child.name, _PROMPTS)}")
        prompts.append(_PROMPTS[child.name](inner))
        inner.done()
    return tuple(prompts)


def _record(attributes: Attributes) -> Record:
    _childless(attributes)
    attributes.ignored(
        {
            "recordingConfigurationId": "recordings stay on this node",
            "trim": "the quiet that ends a recording is cut off, and nothing else",
        }
    )
    return Record(
        action=attributes.url("action"),
        method=attributes.method(),
        timeout=attributes.number("timeout", 5, 0, 600),
        finish_on_key=attributes.keys("finishOnKey", "1234567890*#", most=12),
        max_length=attributes.number("maxLength", 3600, 1, _DAY),
        play_beep=attributes.flag("playBeep", True),
        status_callback=attributes.url("recordingStatusCallback"),
        status_method=attributes.method("recordingStatusCallbackMethod"),
        status_events=attributes.several(
            "recordingStatusCallbackEvent", ("completed",), ("in-progress", "completed", "absent")
        ),
        transcribe=attributes.flag("transcribe", False) or bool(attributes.text("transcribeCallback")),
        transcribe_callback=attributes.url("transcribeCallback"),
    )


def _redirect(attributes: Attributes) -> Redirect:
    _childless(attributes)
    return Redirect(attributes.checked(attributes.element.text), attributes.method())


def _reject(attributes: Attributes) -> Reject:
    _childless(attributes)
    return Reject(attributes.choice("reason", "rejected", ("rejected", "busy")))


def _hangup(attributes: Attributes) -> Hangup:
    _childless(attributes)
    return Hangup()


_READERS: Mapping[str, Callable[[Attributes], Verb]] = {
    "Say": _say,
    "Play": _play,
    "Pause": _pause,
    "Gather": _gather,
    "Record": _record,
    "Dial": read_dial,
    "Redirect": _redirect,
    "Reject": _reject,
    "Hangup": _hangup,
    "Connect": read_connect,
    "Start": read_start,
    "Stop": read_stop,
    "Refer": read_refer,
}
