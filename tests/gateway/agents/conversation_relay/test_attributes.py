"""A `<ConversationRelay>` as settings: every attribute, Twilio's defaults, and remarks instead of silence."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from gateway.agents.base import Interruptible
from gateway.agents.conversation_relay.attributes import RELAY_ATTRIBUTES, Remark, relay_settings
from gateway.agents.conversation_relay.settings import RelayLanguage, RelayLimits, RelaySettings
from gateway.secret import Secret

URL = "wss://example.com/relay"
BASE = RelaySettings(
    url=URL, auth_token=Secret("t"), limits=RelayLimits(reconnects=3), greeting="of the operator"
)


def asked(**attributes: str) -> tuple[RelaySettings, list[Remark]]:
    return relay_settings(BASE, {"url": URL, **attributes}, languages={}, parameters={})


def test_what_a_document_does_not_say_is_as_with_twilio() -> None:
    settings, remarks = asked()
    wanted = RelaySettings(url=URL, auth_token=Secret("t"), limits=RelayLimits(reconnects=3))
    assert settings == replace(wanted, dtmf_detection=False)
    assert remarks == []


@pytest.mark.parametrize(
    ("attribute", "value", "field", "meant"),
    [
        ("welcomeGreeting", "Hello!", "greeting", "Hello!"),
        ("welcomeGreetingInterruptible", "none", "greeting_interruptible", Interruptible.NONE),
        ("interruptible", "true", "interruptible", Interruptible.ANY),
        ("interruptible", "false", "interruptible", Interruptible.NONE),
        ("interruptible", "dtmf", "interruptible", Interruptible.KEYS),
        ("reportInputDuringAgentSpeech", "speech", "report_input", Interruptible.VOICE),
        ("interruptSensitivity", "low", "interrupt_sensitivity", "low"),
        ("preemptible", "true", "preemptible", True),
        ("partialPrompts", "true", "partial_prompts", True),
        ("dtmfDetection", "true", "dtmf_detection", True),
        ("ignoreBackchannel", "true", "ignore_backchannel", True),
        ("speechTimeout", "900", "speech_timeout_ms", 900),
        ("speechTimeout", "auto", "speech_timeout_ms", 0),
        ("hints", "Owl Air, loyalty points,", "hints", ("Owl Air", "loyalty points")),
        ("events", "tokens-played speaker-events", "events", ("tokens-played", "speaker-events")),
        ("debug", "tokens-played", "events", ("tokens-played",)),
        ("transcriptionLanguage", "de-DE", "language", "de-DE"),
        ("ttsLanguage", "fr-FR", "tts_language", "fr-FR"),
        ("voice", "anna", "voice", "anna"),
    ],
)
def test_each_attribute_is_a_setting(attribute: str, value: str, field: str, meant: Any) -> None:
    settings, remarks = asked(**{attribute: value})
    assert getattr(settings, field) == meant
    assert remarks == []


def test_one_language_is_for_both_and_the_closer_word_wins() -> None:
    both, _ = asked(language="sv-SE")
    assert (both.language, both.tts_language) == ("sv-SE", "sv-SE")
    apart, _ = asked(language="sv-SE", transcriptionLanguage="en-US")
    assert (apart.language, apart.tts_language) == ("en-US", "sv-SE")


def test_languages_and_parameters() -> None:
    settings, remarks = relay_settings(
        BASE,
        {"url": URL},
        languages={"sv-SE": {"voice": "elin", "ttsProvider": "amazon"}, "multi": {}},
        parameters={"foo": "bar"},
    )
    assert settings.languages == {"sv-SE": RelayLanguage("elin")}
    assert settings.parameters == {"foo": "bar"}
    assert [name for name, _ in remarks] == ["ttsProvider", "code"]


@pytest.mark.parametrize(
    ("attribute", "value", "said"),
    [
        ("ttsProvider", "Google", "no effect here: the engines of this node"),
        ("eagerEotThreshold", "0.5", "no effect here"),
        ("interruptible", "sometimes", "keeps its default: write none, dtmf, speech or any"),
        ("speechTimeout", "200", "keeps its default: write auto, or milliseconds from 600 to 5000"),
        ("speechTimeout", "²", "keeps its default"),
        ("preemptible", "1", "keeps its default: write true or false"),
        ("interruptSensitivity", "huge", "keeps its default: write low, medium or high"),
        ("events", "tokens", "did you mean"),
        ("debug", "debugging", "has no effect here"),
        ("wellcomeGreeting", "Hi", 'did you mean "welcomeGreeting"?'),
    ],
)
def test_what_has_no_effect_is_told(attribute: str, value: str, said: str) -> None:
    settings, remarks = asked(**{attribute: value})
    assert [name for name, _ in remarks] == [attribute]
    assert said in remarks[0][1]
    assert settings == asked()[0]


@pytest.mark.parametrize(
    "url", ["", "https://example.com", "ws://example.com", "wss://", "wss://a b", "wss://me@example.com", "x"]
)
def test_what_must_not_be_dialled_is_an_error(url: str) -> None:
    with pytest.raises(ValueError, match="url: "):
        relay_settings(BASE, {"url": url}, languages={}, parameters={})


@pytest.mark.parametrize("url", ["ws://127.0.0.1:8765/r", "ws://[::1]/r", "ws://localhost/r"])
def test_this_machine_may_be_dialled_without_tls(url: str) -> None:
    assert RelaySettings(url=url).url == url
    assert RelaySettings(url="ws://example.com/r", plain_hosts=("example.com",))


def test_every_attribute_of_the_sdk_is_known() -> None:
    sdk = """
        url language ttsLanguage transcriptionLanguage ttsProvider voice transcriptionProvider speechModel
        profanityFilter dtmfDetection welcomeGreeting welcomeGreetingInterruptible interruptible preemptible
        partialPrompts hints reportInputDuringAgentSpeech interruptSensitivity intelligenceService
        elevenlabsTextNormalization ttsTextNormalization asrSmartFormat debug events speechTimeout
        backgroundNoiseReduction ignoreBackchannel eagerEotThreshold partialPromptOnHangup includeInPrompt
        applicationReconnect echoPromptFiltering turnDetection
    """
    assert set(re.findall(r"\w+", sdk)) <= RELAY_ATTRIBUTES


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"account_sid": "AC1"}, "account_sid: must be AC"),
        ({"speech_timeout_ms": 100}, "speech_timeout_ms: must lie"),
        ({"no_input_seconds": -1}, "no_input_seconds: must lie"),
    ],
)
def test_settings_name_the_field(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        RelaySettings(url=URL, **fields)


def test_limits_name_the_field() -> None:
    with pytest.raises(ValueError, match="message_bytes: must lie between 1024 and"):
        RelayLimits(message_bytes=1)


def test_the_voice_follows_the_language() -> None:
    settings = RelaySettings(
        url=URL, voice="anna", tts_language="en-US", languages={"sv-SE": RelayLanguage("elin")}
    )
    assert [settings.voice_of(code) for code in ("", "en-US", "sv-SE", "fr-FR")] == [
        "anna",
        "anna",
        "elin",
        "",
    ]
