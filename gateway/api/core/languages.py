"""A client's word for a language, as the engine in use spells it."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.errors import AbilityMissing

_ANY = frozenset({"", "auto", "multi"})


def fitting(asked: str, served: Sequence[str], default: str) -> str:
    """The served language that is meant: `en` finds `en-US`, `en_GB` finds `en-US` where no `en-GB` is.

    `auto` and `multi` are honoured where there is but one to choose from. Raises `AbilityMissing`.
    """
    wanted = asked.strip().lower().replace("_", "-")
    if not wanted:
        return default
    if wanted in _ANY and len({language.split("-")[0] for language in served}) == 1:
        return default
    exact = [language for language in served if language.lower() == wanted]
    kin = [language for language in served if language.lower().split("-")[0] == wanted.split("-")[0]]
    if found := [*exact, *kin]:
        return found[0]
    raise AbilityMissing(f"{asked[:40]!r} is not served here; served: {', '.join(served)}", field="language")
