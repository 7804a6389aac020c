"""What runs in the thread that owns a VITS model: sentences of all calls, gathered and spoken together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

import structlog

from engines.base import EngineBusy, EngineError, EngineFailed
from engines.coqui.gather import Gatherer, Job
from engines.coqui.mail import Mail

log = structlog.get_logger(__name__)


class SentenceModel(Protocol):
    """What the bench needs of a model; see `VitsModel`."""

    def speak(self, sentences: Sequence[Any]) -> list[Any]: ...


@dataclass(eq=False)
class Order:
    """One sentence to be spoken; the answer comes by mail."""

    sentence: Any
    due: float
    playing: bool
    mail: Mail[Any]
    id: int = 0


class VitsBench:
    """Orders in, speech out. Used by one thread only."""

    def __init__(
        self,
        model: SentenceModel,
        gatherer: Gatherer,
        waiting: int,
        patience: float,
        clock: Callable[[], float],
    ) -> None:
        self._model = model
        self.gatherer = gatherer
        self._most = waiting
        self._patience = patience
        self._clock = clock
        self._ids = count(1)
        self._orders: dict[int, Order] = {}
        self.batches = 0
        self.sentences = 0
        self.late = 0
        """Sentences that came after their listener had run dry."""

    def take(self, order: Order) -> None:
        """A sentence comes in; a full bench answers `EngineBusy`."""
        if not order.playing and self._full():
            order.mail.put(EngineBusy("too many sentences wait for the voice"))
            return
        order.id = next(self._ids)
        self._orders[order.id] = order
        size = len(order.sentence.ids)
        self.gatherer.add(Job(order.id, size, self._clock(), order.due, order.playing))

    def cancel(self, order: Order) -> None:
        """Drop it if it was not begun. Idempotent."""
        self.gatherer.forget(order.id)
        self._orders.pop(order.id, None)

    def close(self) -> None:
        """Tell everybody who still waits."""
        for order in self._orders.values():
            order.mail.put(EngineFailed("the voice was closed"))
        self._orders.clear()

    def turn(self, now: float) -> float | None:
        """One batch; see `ModelThread.work`."""
        jobs, again = self.gatherer.next(now)
        if not jobs:
            return None if again is None else max(0.0, again - now)
        orders = [self._orders.pop(job.id) for job in jobs]
        began = self._clock()
        said = self._safely(orders)
        done = self._clock()
        self.gatherer.cost.learn(max(job.size for job in jobs) * len(jobs), done - began)
        self.batches += 1
        for order, speech in said:
            self.sentences += 1
            self.late += order.playing and done > order.due
            order.mail.put(speech)
        return 0.0

    def _full(self) -> bool:
        return len(self._orders) >= self._most or self.gatherer.backlog() > self._patience

    def _safely(self, orders: list[Order]) -> list[tuple[Order, Any]]:
        """Speech for all for whom it works: a sentence that breaks its batch is found by halving, and alone
        pays for it."""
        try:
            return list(zip(orders, self._model.speak([order.sentence for order in orders]), strict=True))
        except Exception as error:
            if len(orders) == 1:
                log.exception("a sentence broke the voice")
                told = error if isinstance(error, EngineError) else EngineFailed(f"the voice broke: {error}")
                orders[0].mail.put(told)
                return []
            half = len(orders) // 2
            return [*self._safely(orders[:half]), *self._safely(orders[half:])]
