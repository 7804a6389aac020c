"""`<Dial>` and `<Refer>`: whom to call, and how the two are connected."""

from __future__ import annotations

import re

from gateway.problems import nearest
from gateway.twiml.attributes import Attributes
from gateway.twiml.verbs import Dial, Number, Refer, Sip

MOST_TARGETS = 10
"""Of one `<Dial>`; as many as Twilio rings together."""
NOT_SERVED = frozenset({"Client", "Conference", "Queue", "Sim", "Application", "WhatsApp"})
"""Nouns of Twilio's that this gateway does not dial."""

_NUMBER = re.compile(r"\+?[0-9*#]{1,32}")
_SIP = re.compile(r"sips?:[^\s<>\"]{3,255}", re.IGNORECASE)
_LATER = "the gateway judges answering machines on calls of its own only"
_AMD = dict.fromkeys(
    (
        "machineDetection", "amdStatusCallback", "amdStatusCallbackMethod", "machineDetectionTimeout",
        "machineDetectionSpeechThreshold", "machineDetectionSpeechEndThreshold",
        "machineDetectionSilenceTimeout",
    ),
    _LATER,
)  # fmt: skip
_RECORD = {
    "": "",
    "false": "",
    "do-not-record": "",
    "true": "answer",
    "record-from-answer": "answer",
    "record-from-answer-dual": "answer",
    "record-from-ringing": "ringing",
    "record-from-ringing-dual": "ringing",
}


def read_dial(attributes: Attributes) -> Dial:
    """Raises `TwimlUnfit` when there is nobody to call."""
    targets = _targets(attributes)
    record = attributes.choice("record", "", tuple(_RECORD))
    attributes.ignored(
        {
            "recordingConfigurationId": "recordings stay on this node",
            "recordingTrack": "both are recorded",
            "trim": "the recording is kept whole",
            "ringTone": "the far end's own is heard",
            "referUrl": "transfers by the far end follow the trunk's rules",
            "referMethod": "transfers by the far end follow the trunk's rules",
            "callReason": "no trunk of ours carries it",
            "events": "the record tells",
            "passports": "no trunk of ours carries it",
        }
    )
    return Dial(
        targets,
        action=attributes.url("action"),
        method=attributes.method(),
        timeout=attributes.number("timeout", 30, 5, 600),
        time_limit=attributes.number("timeLimit", 14_400, 1, 86_400),
        caller_id=attributes.text("callerId"),
        hangup_on_star=attributes.flag("hangupOnStar", False),
        record=_RECORD[record],
        dual=record.endswith("-dual"),
        status_callback=attributes.url("recordingStatusCallback"),
        status_method=attributes.method("recordingStatusCallbackMethod"),
        status_events=attributes.several(
            "recordingStatusCallbackEvent", ("completed",), ("in-progress", "completed", "absent")
        ),
        answer_on_bridge=attributes.flag("answerOnBridge", False),
        sequential=attributes.flag("sequential", False),
    )


def _targets(attributes: Attributes) -> tuple[Number | Sip, ...]:
    targets: list[Number | Sip] = []
    for child in attributes.element.elements:
        inner = attributes.within(child)
        if child.name == "Number":
            targets.append(_number(inner))
        elif child.name == "Sip":
            targets.append(_sip(inner))
        elif child.name in NOT_SERVED:
            raise inner.error("is a noun of Twilio's that this gateway does not dial")
        else:
            raise inner.error(f"has no place in <Dial>; {nearest(child.name, ('Number', 'Sip'))}")
        inner.done()
    if not targets and (written := attributes.element.text):
        targets.append(Number(_digits(attributes, written)))
    if not targets:
        raise attributes.error("names nobody to call", code=13223)
    if len(targets) > MOST_TARGETS:
        raise attributes.error(f"names {len(targets)} to call; {MOST_TARGETS} are taken", code=13223)
    return tuple(targets)


def _number(attributes: Attributes) -> Number:
    attributes.ignored(_AMD | {"byoc": "the trunk is chosen by the rules of this node"})
    return Number(
        _digits(attributes, attributes.element.text),
        _keys(attributes, "sendDigits"),
        attributes.callback(),
        attributes.url("url"),
        attributes.method(),
    )


def _sip(attributes: Attributes) -> Sip:
    attributes.ignored(_AMD)
    uri = _address(attributes)
    attributes.ignored(dict.fromkeys(("username", "password"), "the trunk's own are used"))
    if "?" in uri:
        attributes.remark("", "headers in the address are passed over")
    return Sip(uri, attributes.callback(), attributes.url("url"), attributes.method())


def _address(attributes: Attributes) -> str:
    uri = attributes.element.text
    if not _SIP.fullmatch(uri):
        raise attributes.error("needs an address such as sip:desk@example.com", code=13244)
    return uri


def _digits(attributes: Attributes, written: str) -> str:
    number = re.sub(r"[\s()./-]", "", written)
    if not _NUMBER.fullmatch(number):
        raise attributes.error("needs a telephone number such as +14155550100", code=13223)
    return number


def _keys(attributes: Attributes, name: str) -> str:
    keys = attributes.text(name)
    if not set(keys) <= set("0123456789*#ABCDabcdwW"):
        raise attributes.error("must be of 0-9, *, #, A-D and w", name)
    return keys


def read_refer(attributes: Attributes) -> Refer:
    """Raises `TwimlUnfit` when it names no SIP address."""
    nouns = list(attributes.element.elements)
    if len(nouns) != 1 or nouns[0].name not in ("Sip", "ReferSip"):
        raise attributes.error("needs exactly one <Sip> in it")
    inner = attributes.within(nouns[0])
    uri = _address(inner)
    inner.done()
    return Refer(uri, attributes.url("action"), attributes.method())
