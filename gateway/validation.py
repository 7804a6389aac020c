"""What pydantic finds wrong, in words for whoever wrote the file."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic_core import ErrorDetails

_WORDS: Mapping[str, tuple[str, str]] = {
    "missing": ("is needed", "give it a value"),
    "string_type": ("must be text", "put it in quotes"),
    "int_parsing": ("must be a whole number", "write it in digits, like 5"),
    "int_type": ("must be a whole number", "write it in digits, like 5"),
    "int_from_float": ("must be a whole number", "write it in digits, like 5"),
    "float_parsing": ("must be a number", "write it in digits, like 2.5"),
    "float_type": ("must be a number", "write it in digits, like 2.5"),
    "bool_parsing": ("must be true or false", ""),
    "bool_type": ("must be true or false", ""),
    "tuple_type": ("must be a list", "write [a, b], or one `- item` per line"),
    "list_type": ("must be a list", "write [a, b], or one `- item` per line"),
    "mapping_type": ("must be a section of named entries", "indent `name: …` below it"),
    "dict_type": ("must be a section of named entries", "indent `name: …` below it"),
    "dataclass_type": ("must be a section", "indent its fields below it"),
    "path_type": ("must be a path", "put it in quotes"),
}


def in_words(mistake: ErrorDetails) -> tuple[str, str]:
    """What is wrong, and the cure; "" where the first says it all."""
    kind, context = mistake["type"], mistake.get("ctx", {})
    if kind in _WORDS:
        return _WORDS[kind]
    if kind in ("enum", "literal_error"):
        return "is not one of the choices", f"choose {context['expected']}"
    if kind == "union_tag_not_found":
        return "does not say its kind", "add a line like `kind: echo`"
    if kind == "union_tag_invalid":
        return f'"{context["tag"]}" is no kind', f"choose {context['expected_tags']}"
    if kind == "value_error":
        what, _, cure = str(context.get("error", mistake["msg"])).partition("; ")
        return what, cure
    return mistake["msg"][:1].lower() + mistake["msg"][1:], ""
