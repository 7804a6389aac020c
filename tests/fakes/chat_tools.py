"""What a chat-completions endpoint streams when its model wants tools."""

from __future__ import annotations

import json

from tests.fakes.chat_endpoint import Answer


def delta(**changes: object) -> bytes:
    choice = {"index": 0, "delta": changes, "finish_reason": None}
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n".encode()


def wants(*calls: tuple[str, object], says: str = "", pieces: int = 3) -> Answer:
    """An answer that says something and then asks for tools, their arguments in pieces."""
    lines: list[bytes] = [delta(content=says)] if says else []
    for index, (name, arguments) in enumerate(calls):
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        head = {"index": index, "id": f"call_{index}", "type": "function", "function": {"name": name}}
        lines.append(delta(tool_calls=[head]))
        size = max(1, -(-len(text) // pieces))
        for at in range(0, len(text), size):
            part = {"index": index, "function": {"arguments": text[at : at + size]}}
            lines.append(delta(tool_calls=[part]))
    return Answer(tuple(lines))
