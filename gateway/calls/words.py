"""Comparing what was said: without stops and capitals."""

from __future__ import annotations


def bare(text: str) -> str:
    """The words alone, in small letters, one space between them."""
    return " ".join("".join(c if c.isalnum() or c in "'-" else " " for c in text.lower()).split())


def same_words(one: str, other: str) -> bool:
    """Whether two transcripts differ in stops and capitals at most."""
    return bare(one) == bare(other)
