"""`<ConversationRelay>` and the elements in it, as settings of the agent.

Defaults are Twilio's (twilio.com/docs/voice/twiml/connect/conversationrelay), not those of the configuration.
What has no meaning here, or is written wrongly, is told in a remark; nothing is passed over in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from gateway.agents.base import Interruptible
from gateway.agents.conversation_relay.settings import RelayLanguage, RelaySettings
from gateway.problems import nearest

Remark: TypeAlias = tuple[str, str]
"""An attribute, and what is not done with it."""

_ENGINES = "the engines of this node hear and speak"
_WITHOUT_EFFECT: Mapping[str, str] = {
    "ttsProvider": _ENGINES, "transcriptionProvider": _ENGINES, "speechModel": _ENGINES,
    "elevenlabsTextNormalization": _ENGINES, "ttsTextNormalization": _ENGINES,
    "elevenlabsLanguageTextNormalization": _ENGINES, "ttsLanguageTextNormalization": _ENGINES,
    "asrSmartFormat": _ENGINES, "deepgramSmartFormat": _ENGINES, "profanityFilter": "nothing is filtered",
    "intelligenceService": "the call's record holds what was said", "customerName": "it is not used",
    "backgroundNoiseReduction": "the node's own voice detector decides",
    "echoPromptFiltering": "the node's own barge-in decides", "turnDetection": _ENGINES,
    "eotThreshold": "speechTimeout or the words decide", "eagerEotThreshold": "speechTimeout or the words do",
    "partialPromptOnHangup": "what was not finished is not sent",
    "includeInPrompt": "prompts hold words only",
    "applicationReconnect": "a lost app is always dialled again",
    "conversationConfiguration": "it is not used", "conversationId": "it is not used",
}  # fmt: skip

RELAY_ATTRIBUTES = frozenset(
    {
        "url", "welcomeGreeting", "welcomeGreetingInterruptible", "language", "ttsLanguage", "voice",
        "transcriptionLanguage", "interruptible", "interruptSensitivity", "dtmfDetection", "preemptible",
        "reportInputDuringAgentSpeech", "partialPrompts", "hints", "debug", "events", "speechTimeout",
        "ignoreBackchannel", *_WITHOUT_EFFECT,
    }
)  # fmt: skip
"""All that are known here."""

_PLAIN: Mapping[str, str] = {
    "welcomeGreeting": "greeting", "ttsLanguage": "tts_language", "voice": "voice", "language": "language",
    "transcriptionLanguage": "language",
}  # fmt: skip
"""Taken as they are; the later row wins."""
_INTERRUPTIBLE: Mapping[str, str] = {
    "interruptible": "interruptible", "welcomeGreetingInterruptible": "greeting_interruptible",
    "reportInputDuringAgentSpeech": "report_input",
}  # fmt: skip
_FLAGS: Mapping[str, str] = {
    "preemptible": "preemptible", "partialPrompts": "partial_prompts", "dtmfDetection": "dtmf_detection",
    "ignoreBackchannel": "ignore_backchannel",
}  # fmt: skip
_EVENTS = ("speaker-events", "tokens-played")


def relay_settings(
    base: RelaySettings,
    attributes: Mapping[str, str],
    *,
    languages: Mapping[str, Mapping[str, str]],
    parameters: Mapping[str, str],
) -> tuple[RelaySettings, list[Remark]]:
    """The settings that a document asks for, and what of it has no effect.

    `base`: what documents do not say (token, account, limits); `attributes`: of `<ConversationRelay>`, `url`
    made absolute; `languages`: attributes of each `<Language>` by its code. Raises `ValueError` when there is
    nothing to dial.
    """
    remarks: list[Remark] = []
    given = {name: value.strip() for name, value in attributes.items()}
    if not given.get("url"):
        raise ValueError("url: is missing; give the WebSocket address of the app")
    fields: dict[str, Any] = {
        "dtmf_detection": False,
        "url": given["url"],
        "parameters": dict(parameters),
        "languages": _languages(languages, remarks),
    }
    for name, field in _PLAIN.items():
        if given.get(name):
            fields[field] = given[name]
    if "language" in given and "ttsLanguage" not in given:
        fields["tts_language"] = given["language"]
    _read(given, _INTERRUPTIBLE, _interruptible, fields, remarks)
    _read(given, _FLAGS, _flag, fields, remarks)
    _read(given, {"interruptSensitivity": "interrupt_sensitivity"}, _sensitivity, fields, remarks)
    _read(given, {"speechTimeout": "speech_timeout_ms"}, _timeout, fields, remarks)
    fields["hints"] = tuple(filter(None, (hint.strip() for hint in given.get("hints", "").split(","))))
    fields["events"] = _events(given, remarks)
    for name in given:
        if name in _WITHOUT_EFFECT:
            remarks.append((name, f"has no effect here: {_WITHOUT_EFFECT[name]}"))
        elif name not in RELAY_ATTRIBUTES:
            remarks.append((name, f"is not known; {nearest(name, RELAY_ATTRIBUTES)}"))
    kept = {name: getattr(base, name) for name in _OPERATORS}
    return RelaySettings(**kept, **fields), remarks


_OPERATORS = (
    "auth_token", "account_sid", "plain_hosts", "limits", "sounds_dir", "no_input_seconds",
)  # fmt: skip
"""What documents do not say."""


def _read(
    given: Mapping[str, str],
    names: Mapping[str, str],
    value: Callable[[str], Any],
    fields: dict[str, Any],
    remarks: list[Remark],
) -> None:
    """Attributes of one kind into fields; one that is written wrongly keeps its default."""
    for name, field in names.items():
        if name in given:
            try:
                fields[field] = value(given[name])
            except ValueError as error:
                remarks.append((name, f"keeps its default: {error}"))


def _interruptible(text: str) -> Interruptible:
    text = {"true": "any", "false": "none"}.get(text.lower(), text.lower())
    try:
        return Interruptible(text)
    except ValueError:
        raise ValueError("write none, dtmf, speech or any") from None


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("write true or false")
    return text.lower() == "true"


def _sensitivity(text: str) -> str:
    if text.lower() not in ("low", "medium", "high"):
        raise ValueError("write low, medium or high")
    return text.lower()


def _timeout(text: str) -> int:
    if text.lower() == "auto":
        return 0
    if not text.isdigit() or not 600 <= int(text) <= 5000:
        raise ValueError("write auto, or milliseconds from 600 to 5000")
    return int(text)


def _events(given: Mapping[str, str], remarks: list[Remark]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for name in ("debug", "events"):
        for word in given.get(name, "").split():
            if word in _EVENTS:
                found[word] = None
            elif word == "debugging":
                remarks.append((name, "debugging has no effect here: the node's own metrics tell"))
            else:
                remarks.append((name, f"{word} is not known; {nearest(word, _EVENTS)}"))
    return tuple(found)


def _languages(languages: Mapping[str, Mapping[str, str]], remarks: list[Remark]) -> dict[str, RelayLanguage]:
    found = {}
    for code, attributes in languages.items():
        if code == "multi":
            remarks.append(("code", "languages are not detected here; multi is passed over"))
            continue
        found[code] = RelayLanguage(attributes.get("voice", ""))
        for name in attributes:
            if name not in ("code", "voice"):
                remarks.append((name, f"has no effect here: {_ENGINES}"))
    return found
