"""Sentences out of text that arrives in pieces of any size.

The cut depends on the text alone, never on how it was chopped: a boundary is only decided when everything
that its rule looks at has arrived, and no rule looks further than `_LOOKAHEAD` characters.
"""

from __future__ import annotations

import re

_LOOKAHEAD = 48
_STOP = re.compile(r"\n|[。！？]|(?<![.!?…])[.!?…]+[\"'”’)\]}*_`]{0,8}(?=\s)")
_LAST_STOP = re.compile(r"([.!?…。！？]+)[\"'”’)\]}*_`]{0,8}$")
_LIST_MARKER = re.compile(r"\s*(?:\d{1,3}|[A-Za-z])$")
_LAST_WORD = re.compile(r"[^\s(\"'“‘\[]*$")
_NEXT_WORD = re.compile(r"\s*([^\s]+)(\s)?")
_CLAUSE = re.compile(r"[,;:—–)](?=\s)")

_NEVER_LAST = frozenset(
    "mr mrs ms mx dr prof rev hon fr sr. st mt ft gen col capt lt sgt maj cmdr gov sen rep pres "
    "no nos vs e.g i.e cf approx ca fig figs vol ch pp art sec dept est ext tel min max incl".split()
)
_MAY_BE_LAST = frozenset(
    "a.m p.m am pm etc inc ltd co corp llc jr sr ave blvd rd u.s u.k u.s.a e.u d.c ph.d m.d b.a m.a "
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thurs fri sat sun".split()
)
_STARTERS = frozenset(
    "a an and any are as at because but by can could did do does for from had has have he hello her here "
    "his how however i i'd i'll i'm i've if in is it it's its just let let's may my no not now of on once "
    "one or our please she should so some sorry thank thanks that that's the their then there there's these "
    "they this those to until was we we'd we'll we're we've well were what what's when where which while who "
    "why will with would yes you you'd you'll you're you've your".split()
)


class SentenceSplitter:
    """Takes an agent's text piece by piece and gives each sentence back as soon as it is surely whole.

    Nothing but white space between sentences is lost: the sentences, joined by spaces, are the text again.
    """

    def __init__(self, limit: int = 400) -> None:
        """`limit`: longest sentence in characters, 40 or more; a longer one is cut at a clause or a space."""
        if limit < 40:
            raise ValueError(f"limit is {limit}: a sentence needs room for at least 40 characters")
        self._limit = limit
        self._buffer = ""

    def push(self, text: str) -> list[str]:
        """Take the next piece; returns the sentences that became whole, usually none or one."""
        self._buffer += text
        return self._take(final=False)

    def pause(self) -> list[str]:
        """No text comes for a moment: what reads as a whole sentence need not wait for what follows it.

        A writer that stops to think, or to look something up, stops after "Let me check."
        """
        return self.flush() if _reads_whole(self._buffer.rstrip()) else []

    def flush(self) -> list[str]:
        """The text is over: returns what is left, and begins anew."""
        rest = self._take(final=True)
        self._buffer = ""
        return rest

    def _take(self, *, final: bool) -> list[str]:
        found: list[str] = []
        while (end := self._next_end(final=final)) is not None:
            sentence = self._buffer[:end].strip()
            self._buffer = self._buffer[end:].lstrip()
            if sentence:
                found.append(sentence)
        return found

    def _next_end(self, *, final: bool) -> int | None:
        """Where the first sentence of the buffer ends; None while that is still open."""
        text = self._buffer = self._buffer.lstrip()
        for stop in _STOP.finditer(text):
            if stop.end() > self._limit:
                break
            verdict = _is_end(text, stop.start(), stop.end(), final=final)
            if verdict is None:
                return None
            if verdict:
                return stop.end()
        if len(text) >= self._limit + _LOOKAHEAD or (final and len(text) > self._limit):
            return _forced_end(text[: self._limit])
        return len(text) if final and text else None


def _reads_whole(text: str) -> bool:
    """Whether a text that may go on after a pause ends with a sentence: no number, no abbreviation."""
    found = _LAST_STOP.search(text)
    if found is None or (found[1] == "." and text[found.start() - 1 : found.start()].isdigit()):
        return False
    word = _word_before(text, found.start())
    initial = len(word) == 1 and word.isupper() and word != "I"
    return not (found[1] == "." and (word.lower() in _NEVER_LAST - {"no"} or initial))


def _is_end(text: str, start: int, end: int, *, final: bool) -> bool | None:
    """Whether the punctuation at `start:end` ends a sentence; None when more text must come first."""
    mark = text[start]
    if mark in "\n。！？" or "!" in text[start:end] or "?" in text[start:end]:
        return True
    if mark == "." and end - start == 1 and _LIST_MARKER.match(text[:start]):
        return False
    ahead = text[end : end + _LOOKAHEAD]
    known = final or len(ahead) == _LOOKAHEAD
    if "\n" in ahead[: len(ahead) - len(ahead.lstrip())]:
        return True
    following = _NEXT_WORD.match(ahead)
    if following is None:
        return True if known else None
    return _ends_before(_word_before(text, start), following, known=known)


def _word_before(text: str, end: int) -> str:
    match = _LAST_WORD.search(text, max(0, end - _LOOKAHEAD), end)
    return match.group() if match else ""


def _ends_before(word: str, following: re.Match[str], *, known: bool) -> bool | None:
    """Judge a full stop by the word before it and the one after it."""
    first = following.group(1).lstrip("\"'“‘([*_`")
    if not first:
        return True if known or following.group(2) else None
    lowered = word.lower()
    also_words = lowered in ("no", "max", "min") and first[0].isalpha()
    if first[0].islower() or (lowered in _NEVER_LAST and not also_words):
        return False
    if len(word) == 1 and word.isalpha() and word.isupper() and word != "I":
        return False
    if lowered in _MAY_BE_LAST:
        if not (known or following.group(2)):
            return None
        return first.rstrip(".,!?:;…)\"'”’*_`").lower().replace("’", "'") in _STARTERS
    return True


def _forced_end(text: str) -> int:
    """Where to cut a sentence that is too long: after its last clause, else its last word, else anywhere."""
    half = len(text) // 2
    clauses = [m.end() for m in _CLAUSE.finditer(text) if m.end() > half]
    if clauses:
        return clauses[-1]
    space = max(text.rfind(" "), text.rfind("\t"))
    return space if space > 0 else len(text)
