"""What came of a case beside what was expected, in lines that a person can read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.rehearsal.case import Expected
from gateway.rehearsal.perform import Outcome


def mismatches(expected: Expected, outcome: Outcome) -> list[str]:
    """Everything that is not as expected; empty when all is."""
    return [*_one_by_one(expected, outcome), *_heard(expected, outcome), *_messages(expected, outcome)]


def timeline(outcome: Outcome) -> list[str]:
    """The call as it went, one line for each thing that happened."""
    return [f"{at:7.1f}  {told}" for at, told in outcome.timeline]


def _one_by_one(expected: Expected, outcome: Outcome) -> Iterator[str]:
    first = outcome.routes[0] if outcome.routes else ""
    pairs: Sequence[tuple[str, object, object]] = (
        ("route", expected.route, first),
        ("routes", list(expected.routes), outcome.routes),
        ("refused", expected.refused, outcome.refused),
        ("dials", list(expected.dials), outcome.dials),
        ("ends", expected.ends, outcome.ends),
        ("cause", expected.cause, outcome.cause),
    )
    for name, wanted, found in pairs:
        if wanted and wanted != found:
            yield f"{name}: expected {_shown(wanted)}, but it was {_shown(found)}"
    if expected.does and not _does(expected.does, outcome.does):
        yield f"does: expected {_shown(list(expected.does))}, but it was {_shown(outcome.does)}"
    asked = len(expected.asks) == len(outcome.asks) and all(
        url.startswith(wanted) for wanted, url in zip(expected.asks, outcome.asks, strict=True)
    )
    if expected.asks and not asked:
        yield f"asks: expected {_shown(list(expected.asks))}, but it was {_shown(outcome.asks)}"
    for name, value in expected.variables.items():
        if (found := outcome.variables.get(name, "")) != value:
            yield f"variables.{name}: expected {_shown(value)}, but it was {_shown(found)}"


def _does(wanted: Sequence[str], found: Sequence[str]) -> bool:
    """An expected word fits the action with any detail."""
    return len(wanted) == len(found) and all(
        did == want or did.partition(" ")[0] == want for want, did in zip(wanted, found, strict=True)
    )


def _heard(expected: Expected, outcome: Outcome) -> Iterator[str]:
    heard, at = _plain(" ".join(outcome.heard)), 0
    for text in expected.hears:
        found = heard.find(_plain(text), at)
        if found < 0:
            when = "at all" if _plain(text) not in heard else "after what comes before it in the list"
            yield f"hears: {_shown(text)} was not heard {when}"
        else:
            at = found + len(_plain(text))
    for text in expected.never_hears:
        if _plain(text) in heard:
            yield f"never_hears: {_shown(text)} was heard"


def _messages(expected: Expected, outcome: Outcome) -> Iterator[str]:
    if expected.messages and len(expected.messages) != len(outcome.messages):
        yield f"messages: expected {len(expected.messages)}, but there were {len(outcome.messages)}"
        return
    for number, (wanted, found) in enumerate(zip(expected.messages, outcome.messages, strict=False)):
        for name, value in wanted.items():
            held = str(found.get(name, ""))
            if held != value:
                yield f"messages.{number}.{name}: expected {_shown(value)}, but it was {_shown(held)}"


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _shown(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(str(one) for one in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)
