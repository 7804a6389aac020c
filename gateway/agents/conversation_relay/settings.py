"""What a ConversationRelay agent can be told, in the configuration or by a TwiML document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gateway.agents.base import Interruptible
from gateway.agents.text_socket import check_url
from gateway.secret import Secret
from gateway.twilio_ids import is_sid


@dataclass(frozen=True, slots=True)
class RelayLanguage:
    """A language that the app may switch to."""

    voice: str = ""
    """Name of the voice that speaks it; empty: the engine's first."""


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """What keeps an app that is slow, away or out of its mind from harming the call."""

    connect_seconds: float = 3.0
    """Longest time for one try to connect: the name's lookup, TLS and the handshake; 0.1 to 30."""
    first_seconds: float = 3.0
    """How long the first connection may take, all tries together; then the session is given up; 0.1 to 30."""
    reconnect_seconds: float = 15.0
    """How long the app may be away, in one stretch, before the session is given up; 0 to 300."""
    reconnects: int = 20
    """Connections after the first in one call, 0 to 1000; with 0 a lost socket ends the session."""
    away_seconds: float = 3.0
    """How long a caller's turn waits for an app that is away before he hears an apology; 0.1 to 30."""
    send_seconds: float = 5.0
    """An app that takes no message for so long counts as lost; 0.1 to 60."""
    message_bytes: int = 65_536
    """Largest message of the app's that is read, 1024 to 1048576; a larger one is answered with an error."""
    talk_characters: int = 20_000
    """Longest text between one `last` and the next, 100 to 1000000; the rest is not spoken."""
    waiting_talks: int = 32
    """Talks that may wait to be spoken, 1 to 1000."""
    bad_messages: int = 10
    """Messages in a row that cannot be used before the socket is closed and dialled again; 1 to 1000."""

    def __post_init__(self) -> None:
        limits: dict[str, tuple[float, float]] = {
            "connect_seconds": (0.1, 30), "first_seconds": (0.1, 30),
            "reconnect_seconds": (0, 300), "reconnects": (0, 1000),
            "away_seconds": (0.1, 30), "send_seconds": (0.1, 60), "message_bytes": (1024, 1_048_576),
            "talk_characters": (100, 1_000_000), "waiting_talks": (1, 1000), "bad_messages": (1, 1000),
        }  # fmt: skip
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: must lie between {low:g} and {high:g}")


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """An app that speaks the ConversationRelay protocol of Twilio and Telnyx; the node dials it."""

    kind: Literal["conversation_relay"] = "conversation_relay"
    """Always `conversation_relay`."""
    url: str = "ws://127.0.0.1:8080/ws"
    """The app's address, `wss://...`; `ws://` only on this machine or on `plain_hosts`."""
    auth_token: Secret = Secret()
    """Signs the handshake in X-Twilio-Signature; the app checks it with the same token. Empty: unsigned."""
    account_sid: str = ""
    """Told to the app, `AC` and 32 hexadecimal digits; empty: one made from `node.name`."""
    plain_hosts: tuple[str, ...] = ()
    """Hosts that may be dialled without TLS: everybody on the way there can read what callers say."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Told to the app as customParameters, by name."""
    greeting: str = ""
    """Spoken when the call is answered, while the app is being dialled (welcomeGreeting)."""
    greeting_interruptible: Interruptible = Interruptible.ANY
    """What of the caller's cuts the greeting: `none`, `dtmf`, `speech` or `any`."""
    interruptible: Interruptible = Interruptible.ANY
    """What of the caller's cuts the app's talk, where the talk itself does not say."""
    preemptible: bool = False
    """Whether the app's next talk cuts the one that is being heard, where that does not say itself."""
    partial_prompts: bool = False
    """Tell the app the caller's words while he speaks, with `last: false`."""
    report_input: Interruptible = Interruptible.NONE
    """What of the caller's is told to the app while its talk goes on (reportInputDuringAgentSpeech)."""
    dtmf_detection: bool = True
    """Tell the app every key. Keys are never turns of their own with this kind of agent."""
    interrupt_sensitivity: Literal["low", "medium", "high"] = "high"
    """`high`: voice cuts the talk at once; `medium`: a word does; `low`: two words do."""
    ignore_backchannel: bool = False
    """Whether "mm-hm" and the like leave the talk as it is."""
    speech_timeout_ms: int = 0
    """Silence that ends the caller's turn, 600 to 5000; 0 lets the words and his pauses decide."""
    hints: tuple[str, ...] = ()
    """Words that callers are likely to say, for the recogniser."""
    language: str = ""
    """BCP 47, of the caller; empty: the session's."""
    tts_language: str = ""
    """BCP 47, of the voice; empty: `language`."""
    voice: str = ""
    """Name of the voice; empty: that of the language, or the session's."""
    languages: Mapping[str, RelayLanguage] = field(default_factory=dict)
    """Voices by language, for apps that change it."""
    events: tuple[Literal["speaker-events", "tokens-played"], ...] = ()
    """What the app is told in `info` messages: who speaks, which words were played."""
    no_input_seconds: float = 0.0
    """Silence of the caller before the node itself asks whether he is there; 0 leaves silence to the app."""
    sounds_dir: str = ""
    """Folder of the sound files that `play` may name; empty: only web addresses are played."""
    limits: RelayLimits = field(default_factory=RelayLimits)
    """Deadlines and sizes."""

    def __post_init__(self) -> None:
        try:
            check_url(self.url, self.plain_hosts)
        except ValueError as error:
            raise ValueError(f"url: {error}") from None
        if self.account_sid and not is_sid(self.account_sid, "AC"):
            raise ValueError("account_sid: must be AC and 32 hexadecimal digits, or empty")
        if self.speech_timeout_ms and not 600 <= self.speech_timeout_ms <= 5000:
            raise ValueError("speech_timeout_ms: must lie between 600 and 5000, or be 0")
        if not 0 <= self.no_input_seconds <= 3600:
            raise ValueError("no_input_seconds: must lie between 0 and 3600")

    @property
    def spoken_language(self) -> str:
        """Of the voice; "" for the session's."""
        return self.tts_language or self.language

    def voice_of(self, language: str) -> str:
        """Name of the voice that speaks a language; "" for the engine's first."""
        if language in self.languages:
            return self.languages[language].voice
        return self.voice if language in ("", self.spoken_language) else ""
