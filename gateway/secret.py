"""A string that no log, dump or traceback shows."""

from __future__ import annotations

from typing import Any

from pydantic_core import CoreSchema, core_schema

MASK = "••••"
"""What stands wherever a secret would have been shown."""


class Secret:
    """Holds a password, key or token; `reveal` is the only way to its text."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that sends it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(("Secret", self._text))

    def __repr__(self) -> str:
        return f"Secret({MASK if self._text else ''})"

    __str__ = __repr__

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: Any) -> CoreSchema:
        """Lets the configuration read a plain string into a `Secret`."""
        text = core_schema.no_info_after_validator_function(cls, core_schema.str_schema())
        return core_schema.union_schema([core_schema.is_instance_schema(cls), text], mode="left_to_right")
