"""Which written word a stretch of phonemes belongs to, although the phonemizer joins and splits words."""

from __future__ import annotations

from collections.abc import Sequence

_MOST = 4
"""Words that are joined into one group of phonemes, or groups that one word is split into, at most."""
_MOVES = ((1, 1), *((1, n) for n in range(2, _MOST + 1)), *((n, 1) for n in range(2, _MOST + 1)))
"""Groups and words that belong together."""
_LETTERS_PER_PHONEME = 1.1


def owners(words: Sequence[str], symbols: Sequence[str]) -> list[int]:
    """The word of each symbol, -1 for blanks and punctuation.

    `symbols` are the characters that the model reads; groups of them are set apart by blanks.
    """
    groups = _groups(symbols)
    owner = [-1] * len(symbols)
    for places, run in _matched(words, groups, symbols):
        sounded = [place for place in places if _sounds(symbols[place])]
        weights = [max(1, len(_letters(words[word]))) for word in run]
        total, at = sum(weights), 0
        for word, weight in zip(run, weights, strict=True):
            first = round(len(sounded) * at / total)
            at += weight
            for place in sounded[first : round(len(sounded) * at / total)]:
                owner[place] = word
    return owner


def _matched(
    words: Sequence[str], groups: list[list[int]], symbols: Sequence[str]
) -> list[tuple[list[int], list[int]]]:
    """Groups and words in order, one to one, one to a few, or a few to one: the cheapest way in lengths."""
    sizes = [sum(_sounds(symbols[place]) for place in group) for group in groups]
    letters = [len(_letters(word)) / _LETTERS_PER_PHONEME for word in words]
    best: dict[tuple[int, int], tuple[float, int, int]] = {(0, 0): (0.0, 0, 0)}
    for g in range(len(groups) + 1):
        for w in range(len(words) + 1):
            if (g, w) not in best:
                continue
            for dg, dw in _MOVES:
                if g + dg > len(groups) or w + dw > len(words):
                    continue
                miss = abs(sum(sizes[g : g + dg]) - sum(letters[w : w + dw]))
                cost = best[g, w][0] + miss + 0.5 * (dg + dw - 2)
                if cost < best.get((g + dg, w + dw), (float("inf"), 0, 0))[0]:
                    best[g + dg, w + dw] = (cost, dg, dw)
    g, w = len(groups), len(words)
    if (g, w) not in best:  # far too many of one kind: spread them evenly
        return _spread(len(words), groups)
    found = []
    while g or w:
        _, dg, dw = best[g, w]
        found.append(([p for group in groups[g - dg : g] for p in group], list(range(w - dw, w))))
        g, w = g - dg, w - dw
    return found[::-1]


def _spread(words: int, groups: list[list[int]]) -> list[tuple[list[int], list[int]]]:
    places = [place for group in groups for place in group]
    cuts = [round(len(places) * word / words) for word in range(words + 1)] if words else [0]
    return [(places[a:b], [word]) for word, (a, b) in enumerate(zip(cuts, cuts[1:], strict=False))]


def _groups(symbols: Sequence[str]) -> list[list[int]]:
    groups: list[list[int]] = [[]]
    for place, symbol in enumerate(symbols):
        if symbol.isspace():
            groups.append([])
        else:
            groups[-1].append(place)
    return [group for group in groups if any(_sounds(symbols[place]) for place in group)]


def _sounds(symbol: str) -> bool:
    return any(char.isalpha() for char in symbol)


def _letters(word: str) -> str:
    return "".join(char for char in word if char.isalpha())
