"""What a realtime agent can be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote, urlsplit

from gateway.agents.text_socket import check_url
from gateway.agents.tools.settings import ToolSettings
from gateway.secret import Secret

TELEPHONE_INSTRUCTIONS = """\
You are on the telephone with the caller. Speak the way a friendly, competent person does: one to three \
short sentences, the answer first. The line is narrow and sometimes noisy: when you did not understand, ask \
one short question. Repeat names, numbers and amounts back before you rely on them. Never invent facts; say \
so when you do not know."""


@dataclass(frozen=True, slots=True)
class RealtimeSettings:
    """A model that hears and speaks, behind any endpoint with OpenAI's Realtime WebSocket."""

    kind: Literal["realtime"] = "realtime"
    """Always `realtime`."""
    base_url: str = "wss://api.openai.com/v1"
    """The endpoint up to, and without, `/realtime`; ws:// only on this machine or on `plain_hosts`."""
    api_key: Secret = Secret()
    """Sent as a bearer token; empty for endpoints that ask for none."""
    model: str = "gpt-realtime"
    """As the endpoint names it."""
    voice: str = ""
    """As the endpoint names it; empty: its own choice."""
    instructions: str = TELEPHONE_INSTRUCTIONS
    """Told to the model before every conversation."""
    opening: str = "Greet the caller and ask how you can help."
    """Instruction for what it says first; empty: the caller speaks first."""
    turn_detection: Literal["server_vad", "semantic_vad", "ours"] = "server_vad"
    """Who ends the caller's turn: the endpoint by silence or by meaning, or our own detector."""
    silence_ms: int = 500
    """Silence that ends the caller's turn, 200 to 5000; not used by `semantic_vad`."""
    interruptible: bool = True
    """Whether the caller's voice silences the model."""
    audio: Literal["auto", "pcmu", "pcma", "pcm"] = "auto"
    """`auto`: the call's own G.711 straight through where the endpoint takes it, else PCM at 24 kHz."""
    transcription_model: str = "gpt-4o-mini-transcribe"
    """Writes down what the caller said, for the record; empty: nothing does."""
    language: str = ""
    """ISO 639-1 hint for the transcription; empty: none."""
    max_output_tokens: int = 1000
    """Longest reply, 1 to 4096 tokens."""
    tools: ToolSettings = field(default_factory=ToolSettings)
    """What the model may do beside talking."""
    plain_hosts: tuple[str, ...] = ()
    """Hosts that may be dialled without TLS: everybody on the way there can listen."""
    connect_seconds: float = 5.0
    """Longest wait for the endpoint's session, for each try."""
    attempts: int = 2
    """How often it is tried, 1 to 5; before the call is answered, and again when it is lost in a call."""
    reconnects: int = 3
    """How often in one call a lost session may be begun again, with the conversation so far; 0 for never."""
    queue_seconds: float = 300.0
    """Sound of the model that may wait to be heard, 1 to 600; it comes faster than it is spoken."""
    unread_seconds: float = 5.0
    """An endpoint that reads nothing for so long is given up."""
    dead_air_seconds: float = 8.0
    """Silence of the model after the caller spoke that counts as its failure; 0: it may stay silent."""
    silence_seconds: float = 60.0
    """Silence of both sides that ends the call."""

    def __post_init__(self) -> None:
        try:
            check_url(self.url, self.plain_hosts)
        except ValueError as error:
            raise ValueError(f"base_url: {error}") from None
        if not self.model:
            raise ValueError("model: must name a model")
        for name, low, high in (
            ("silence_ms", 200, 5000),
            ("max_output_tokens", 1, 4096),
            ("attempts", 1, 5),
            ("reconnects", 0, 100),
            ("queue_seconds", 1, 600),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: must lie between {low} and {high}")
        if self.dead_air_seconds < 0:
            raise ValueError("dead_air_seconds: must be 0 or more")
        for name in ("connect_seconds", "unread_seconds", "silence_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: must be greater than 0")

    @property
    def url(self) -> str:
        """The WebSocket's address; an http address is taken as that of its WebSocket."""
        base = self.base_url.rstrip("/")
        if urlsplit(base).scheme in ("http", "https"):
            base = "ws" + base.removeprefix("http")
        return f"{base}/realtime?model={quote(self.model, safe='')}"
