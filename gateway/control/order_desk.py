"""Orders to running calls, from outside: given to the call, waited for a while, told when they are done."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from gateway.calls.orders import CallHandle, Order, OrderRefused
from gateway.control.event_feed import EventFeed
from gateway.errors import CallUnknown, LimitReached

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OrderGiven:
    """An order that was taken."""

    order_id: str
    done: bool
    """False: it is still under way; `call.order_done` or `call.order_refused` will tell."""


class OrderDesk:
    """Gives orders to calls of this node. Belongs to one event loop."""

    def __init__(
        self,
        find: Callable[[str], CallHandle | None],
        feed: EventFeed,
        most: int,
        new_id: Callable[[], str] = lambda: f"order-{secrets.token_hex(8)}",
    ) -> None:
        """`find`: the running call of an id. `most`: orders that one call may have under way."""
        self._find = find
        self._feed = feed
        self._most = most
        self._new_id = new_id
        self._running: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    def call(self, call_id: str) -> CallHandle:
        """The running call. Raises `CallUnknown`."""
        handle = self._find(call_id)
        if handle is None:
            raise CallUnknown("no call of that id is running")
        return handle

    async def give(
        self, call_id: str, order: Order, *, wait: float, after: Callable[[], None] | None = None
    ) -> OrderGiven:
        """Give an order, and wait so many seconds for it to be done; it goes on when they are over.

        `after` is called once it is over, however. Raises `CallUnknown`, `OrderRefused`, `LimitReached`.
        """
        try:
            handle = self.call(call_id)
            if self._running[call_id] >= self._most:
                told = f"{self._most} orders of this call are under way; wait for one"
                raise LimitReached(told, retry_after=1)
        except BaseException:
            if after is not None:
                after()
            raise
        order_id = self._new_id()
        self._running[call_id] += 1
        task = asyncio.get_running_loop().create_task(
            self._obeyed(handle, order_id, order, after), name="order"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait({task}, timeout=wait)
        if task.done():
            if task.cancelled():
                raise OrderRefused("the node is ending")
            task.result()
            return OrderGiven(order_id, done=True)
        task.add_done_callback(_seen)
        return OrderGiven(order_id, done=False)

    async def aclose(self) -> None:
        """Give up what is under way. Idempotent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _obeyed(
        self, handle: CallHandle, order_id: str, order: Order, after: Callable[[], None] | None
    ) -> None:
        name, call_id = type(order).__name__, handle.call_id
        try:
            await handle.obey(order)
        except OrderRefused as refused:
            self._feed.order_refused(call_id, order_id, name, refused)
            raise
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            raise self._over(call_id, order_id, name) from None  # what it waited for was given up
        except Exception as error:
            log.exception("an order broke", order=name)
            if self._find(call_id) is not handle:  # it ran out of a call
                raise self._over(call_id, order_id, name) from error
            self._feed.order_refused(call_id, order_id, name, OrderRefused("something broke here"))
            raise
        else:
            self._feed.order_done(call_id, order_id, name)
        finally:
            self._running[call_id] -= 1
            if not self._running[call_id]:
                del self._running[call_id]
            if after is not None:
                after()

    def _over(self, call_id: str, order_id: str, name: str) -> OrderRefused:
        """The call ended while it obeyed."""
        refused = OrderRefused("the call ended meanwhile")
        self._feed.order_refused(call_id, order_id, name, refused)
        return refused


def _seen(task: asyncio.Task[None]) -> None:
    """Its end was told as an event."""
    if not task.cancelled():
        task.exception()
