"""What a TwiML document can ask for: one frozen record per verb and noun.

Defaults and ranges are those of the public TwiML reference (twilio.com/docs/voice/twiml). Addresses may be
relative to the document's own; "" means that the attribute was not written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

ENDLESS = 0
"""A `loop` of 0 goes on until the call ends; the runner bounds it all the same."""


@dataclass(frozen=True, slots=True)
class Say:
    """Speak a text."""

    text: str
    """Plain; what SSML asked of the voice is taken out of it."""
    voice: str = ""
    language: str = ""
    loop: int = 1


@dataclass(frozen=True, slots=True)
class Play:
    """Play a sound from the web, or send keys to the far end."""

    url: str = ""
    digits: str = ""
    """0-9, *, #, A-D, and `w` for half a second of waiting."""
    loop: int = 1


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait; as the first verb, before the call is taken."""

    length: float = 1.0
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Gather:
    """Take keys, speech or both, and ask `action` what follows."""

    speech: bool = False
    dtmf: bool = True
    action: str = ""
    """"": the document's own address."""
    method: str = "POST"
    timeout: float | None = 5.0
    """Seconds without input, from the end of the prompt, and between keys; None: `auto`."""
    speech_timeout: float | None = None
    """Seconds of silence that end the caller's speech; None: as the endpointing judges (`auto`)."""
    finish_on_key: str = "#"
    """One of 0-9, * and #; "": only `num_digits` and `timeout` end it."""
    num_digits: int = 0
    """0: as many as come."""
    hints: tuple[str, ...] = ()
    language: str = ""
    partial_callback: str = ""
    partial_method: str = "POST"
    action_on_empty: bool = False
    barge_in: bool = True
    """Whether the caller's speech or keys silence the prompt."""
    max_speech: float = 60.0
    """Seconds of speech at most."""
    prompts: tuple[Say | Play | Pause, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """Record the caller and ask `action` what follows."""

    action: str = ""
    """"": the document's own address."""
    method: str = "POST"
    timeout: float = 5.0
    """Seconds of silence that end the recording."""
    finish_on_key: str = "1234567890*#"
    max_length: float = 3600.0
    """Seconds."""
    play_beep: bool = True
    status_callback: str = ""
    status_method: str = "POST"
    status_events: tuple[str, ...] = ("completed",)
    transcribe: bool = False
    transcribe_callback: str = ""


@dataclass(frozen=True, slots=True)
class Callback:
    """Where the progress of a dialled call is told."""

    url: str
    method: str = "POST"
    events: tuple[str, ...] = ("completed",)
    """Of initiated, ringing, answered, completed."""


@dataclass(frozen=True, slots=True)
class Number:
    """A telephone number to dial."""

    number: str
    send_digits: str = ""
    """Keys pressed when it answers, before the two are connected."""
    callback: Callback | None = None
    url: str = ""
    """Of a document that he who answers hears before the two are connected; "" for none."""
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Sip:
    """A SIP address to dial."""

    uri: str
    callback: Callback | None = None
    url: str = ""
    """As of `Number`."""
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Dial:
    """Call somebody and connect the caller with whoever of the targets answers first."""

    targets: tuple[Number | Sip, ...]
    action: str = ""
    """"": the next verb follows."""
    method: str = "POST"
    timeout: float = 30.0
    """Seconds to ring."""
    time_limit: float = 14_400.0
    """Seconds that the two may talk."""
    caller_id: str = ""
    """"": the caller's own."""
    hangup_on_star: bool = False
    record: str = ""
    """"", or the place where a recording begins: `answer` or `ringing`."""
    dual: bool = False
    """Whether both parties get a channel of their own in the recording."""
    status_callback: str = ""
    """Told when the recording is there."""
    status_method: str = "POST"
    status_events: tuple[str, ...] = ("completed",)
    answer_on_bridge: bool = False
    """Whether the caller is answered only when somebody answered him."""
    sequential: bool = False
    """Whether the targets ring one after another instead of together."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """Go on with another document."""

    url: str
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Reject:
    """Do not take the call."""

    reason: str = "rejected"
    """`rejected` or `busy`."""


@dataclass(frozen=True, slots=True)
class Hangup:
    """End the call."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A WebSocket of an app that gets the call's sound (Twilio Media Streams)."""

    url: str
    name: str = ""
    track: str = ""
    """`inbound`, `outbound` or `both`; only of a stream that runs beside the document."""
    status_callback: str = ""
    status_method: str = "POST"
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RelayLanguage:
    """How one language of a ConversationRelay is spoken and heard."""

    code: str
    attributes: tuple[tuple[str, str], ...] = ()
    """As written, by their names in TwiML."""


@dataclass(frozen=True, slots=True)
class ConversationRelay:
    """A WebSocket of an app that gets the caller's words and sends ours (Twilio ConversationRelay)."""

    url: str
    attributes: tuple[tuple[str, str], ...] = ()
    """All but `url`, as written, by their names in TwiML."""
    languages: tuple[RelayLanguage, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()

    def attribute(self, name: str, default: str = "") -> str:
        return dict(self.attributes).get(name, default)


@dataclass(frozen=True, slots=True)
class Connect:
    """Let an app have the call until it lets go."""

    noun: Stream | ConversationRelay
    action: str = ""
    """"": the next verb follows."""
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class StartStream:
    """Let an app listen while the document goes on."""

    stream: Stream


@dataclass(frozen=True, slots=True)
class StopStream:
    """End a stream that was started under this name."""

    name: str


@dataclass(frozen=True, slots=True)
class Refer:
    """Send the caller elsewhere by SIP REFER."""

    uri: str
    action: str = ""
    method: str = "POST"


Verb: TypeAlias = (
    Say
    | Play
    | Pause
    | Gather
    | Record
    | Dial
    | Redirect
    | Reject
    | Hangup
    | Connect
    | StartStream
    | StopStream
    | Refer
)


@dataclass(frozen=True, slots=True)
class Remark:
    """Something in a document that is passed over, as Twilio passes over it."""

    line: int
    verb: str
    attribute: str
    what: str

    def __str__(self) -> str:
        place = f"<{self.verb}>" + (f" {self.attribute}" if self.attribute else "")
        return f"line {self.line}, {place}: {self.what}"


@dataclass(frozen=True, slots=True)
class Document:
    """The verbs of a document, in order."""

    verbs: tuple[Verb, ...] = ()
    remarks: tuple[Remark, ...] = ()
