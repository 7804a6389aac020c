"""What a chat agent can be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gateway.agents.tools.settings import ToolSettings
from gateway.secret import Secret

TELEPHONE_PROMPT = """\
You are on the telephone. Everything you write is read aloud by a voice and heard once, so write the way a \
friendly, competent person speaks.
Answer in one to three short sentences, the answer first; give more only when asked. Use no markdown, lists, \
headings, emoji, links or code. Write numbers, dates and abbreviations the way they are said.
What the caller said reaches you through speech recognition: expect misheard words, take the likely meaning, \
and ask one short question when you cannot tell. Ask one thing at a time. Repeat names, numbers and amounts \
back before you rely on them. Never invent facts; say so when you do not know."""


_POSITIVE = (
    "max_tokens", "first_token_seconds", "stall_seconds", "total_seconds", "history_turns", "history_tokens",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """An agent behind an OpenAI-compatible chat-completions endpoint."""

    kind: Literal["chat"] = "chat"
    """Always `chat`."""
    base_url: str = "https://api.openai.com/v1"
    """The endpoint up to, and without, `/chat/completions`: a hosted service, vLLM, llama.cpp, Ollama."""
    api_key: Secret = Secret()
    """Sent as a bearer token; empty for endpoints that ask for none."""
    model: str = "gpt-4o-mini"
    """As the endpoint names it. A small fast model pays: the caller waits for its first words."""
    system_prompt: str = TELEPHONE_PROMPT
    """Told to the model before every conversation. Keep the advice on speaking when you write your own."""
    greeting: str = "Hello, how can I help you?"
    """Spoken when the call is answered, without asking the model; empty: the caller speaks first."""
    temperature: float = 0.4
    """0 (the same answer each time) to 2."""
    max_tokens: int = 300
    """Longest reply, in tokens; 300 are about a minute and a half of speech."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """The request field that carries `max_tokens`; some newer hosted models know only the longer name."""
    first_token_seconds: float = 3.5
    """Longest wait for the first words of a reply, retries included; then the call speaks its fallback.

    Keep it below `session.turns.guards.dead_air`, which speaks the fallback in any case.
    """
    stall_seconds: float = 3.0
    """Longest wait for more words of a reply that has begun; the fallback follows its whole sentences."""
    total_seconds: float = 30.0
    """Longest time spent waiting for the endpoint in one reply; time spent speaking does not count."""
    retries: int = 1
    """Further tries before the first words, on errors that may pass, within `first_token_seconds`."""
    history_turns: int = 20
    """Turns of the conversation sent along, newest first; 1 or more."""
    history_tokens: int = 3000
    """Budget of the history sent along, in tokens of about four characters; the oldest turns go first."""

    tools: ToolSettings = field(default_factory=ToolSettings)
    """What the model may do beside talking; nothing, until it says so."""

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            raise ValueError("base_url: must start with http:// or https://")
        if not self.model:
            raise ValueError("model: must name a model; ask the endpoint's /models for its list")
        if not 0 <= self.temperature <= 2:
            raise ValueError("temperature: must lie between 0 and 2")
        if self.retries < 0:
            raise ValueError("retries: must be 0 or more")
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: must be greater than 0")
