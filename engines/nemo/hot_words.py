"""Words that a call expects, lifted while they are being written.

Greedy decoding takes the best piece of each frame. Where the next piece of an expected word is among the
candidates, it is lifted by the word's boost. Silence stays silence: where the model hears no piece, none is
made up; a lift only decides which piece it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from engines.base import AsrOptions

NATS_PER_POINT = 0.25
"""Lift in log probability for one point of boost, so that Riva's highest, 20, lifts by 5."""


@dataclass(slots=True)
class _Node:
    """A place within expected words."""

    boost: float = 0.0
    """Of the strongest word through here, in nats."""
    next: dict[int, _Node] = field(default_factory=dict)


State: TypeAlias = tuple[_Node, ...]
"""Every place where the last pieces may stand; never changed, so that a peek can throw its own away."""


class HotWords:
    """A call's expected words as a tree of pieces."""

    def __init__(self, words: Iterable[tuple[Sequence[int], float]]) -> None:
        """Each word's pieces and its boost in nats."""
        self._root = _Node()
        for pieces, boost in words:
            node = self._root
            for piece in pieces:
                node = node.next.setdefault(piece, _Node())
                node.boost = max(node.boost, boost)

    @property
    def start(self) -> State:
        """Before anything was written."""
        return (self._root,)

    def lifts(self, state: State) -> Mapping[int, float]:
        """Nats by which each next piece is lifted."""
        lifted: dict[int, float] = {}
        for node in state:
            for piece, following in node.next.items():
                lifted[piece] = max(lifted.get(piece, 0.0), following.boost)
        return lifted

    def after(self, state: State, piece: int) -> State:
        """Once the piece is written."""
        reached = [node.next[piece] for node in state if piece in node.next]
        return (self._root, *(node for node in reached if node.next))


def expected(
    options: AsrOptions, default: float, pieces_of: Callable[[str], Sequence[int]]
) -> HotWords | None:
    """The call's hot words; `default`: boost of those that come without one, in points."""
    if not options.hot_words:
        return None
    words: list[tuple[Sequence[int], float]] = []
    for place, word in enumerate(options.hot_words):
        points = options.boosts[place] if place < len(options.boosts) and options.boosts[place] else default
        # A model that writes capitals may write a name either way.
        for form in sorted({word, word.lower(), word.capitalize()}):
            if pieces := pieces_of(form):
                words.append((pieces, points * NATS_PER_POINT))
    return HotWords(words) if words else None
