"""The words of a `<Say>`: SSML is taken out, and what it says about the words themselves is kept."""

from __future__ import annotations

from gateway.twiml.xml_tree import Element

_SPELLED = frozenset({"characters", "spell-out", "digits", "telephone", "verbatim"})
_ENDS = frozenset({"p", "s"})
_FULL_STOPS = (".", "!", "?", ":", ";", ",")


def spoken(element: Element) -> tuple[str, bool]:
    """The text to speak, and whether SSML was taken out of it."""
    return " ".join(_words(element).split()), any(True for _ in element.elements)


def _words(element: Element) -> str:
    parts: list[str] = []
    for child in element.content:
        parts.append(child if isinstance(child, str) else _inner(child))
    return "".join(parts)


def _inner(element: Element) -> str:
    name = element.name.rpartition(":")[2]
    if name == "sub" and (alias := element.attributes.get("alias", "")):
        return f" {alias} "
    words = _words(element)
    if name == "say-as" and element.attributes.get("interpret-as", "") in _SPELLED:
        return f" {' '.join(''.join(words.split()))} "
    if name in _ENDS and (stripped := words.strip()):
        return f" {stripped}{'' if stripped.endswith(_FULL_STOPS) else '.'} "
    return f" {words} " if name == "break" else words
