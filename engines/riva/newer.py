"""Fields that a newer client sends and this version does not know: refused, for they ask for something."""

from __future__ import annotations

from engines.riva.refusal import unimplemented
from engines.riva.wire import Message, unknown_fields


def refuse_unknown(message: Message, name: str) -> None:
    """Raises `Refused` for a message, or one within it, that holds a field without a name here."""
    for field in unknown_fields(message):
        raise unimplemented(f"{name}: its field number {field} is not known here; leave it out")
    for known, value in message.ListFields():
        if known.type == known.TYPE_MESSAGE and not known.message_type.GetOptions().map_entry:
            for inner in value if _is_list(value) else (value,):
                refuse_unknown(inner, f"{name}.{known.name}")


def _is_list(value: object) -> bool:
    return not hasattr(value, "ListFields")
