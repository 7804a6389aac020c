"""Events to addresses of the operator's: signed, tried again under one id, in order within each call.

Nothing here waits for a receiver but its own tasks: an event is put into a bounded queue and that is all the
call ever notices.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, deque
from collections.abc import Callable, Sequence

import structlog

from gateway.control.event_log import Interest, LoggedEvent
from gateway.control.event_settings import WebhookSettings
from gateway.errors import FetchFailed, FetchRefused
from gateway.webhook_signature import GONE, Sender, pause, secret_octets, signed

log = structlog.get_logger(__name__)


class Webhooks:
    """Delivers every event to every address that wants it. Belongs to one event loop."""

    def __init__(
        self,
        settings: Sequence[WebhookSettings],
        sender: Sender,
        wall: Callable[[], float],
        dice: Callable[[], float] = random.random,
    ) -> None:
        """`wall`: seconds since 1970. `dice`: 0 to 1, spreads the waits."""
        self._hooks = [_Webhook(one, sender, wall, dice) for one in settings]

    def take(self, event: LoggedEvent) -> None:
        """One more event. Returns at once."""
        for hook in self._hooks:
            hook.take(event)

    def stats(self) -> dict[str, float]:
        """Sums over all addresses: `tries`, `delivered`, `dead` (given up), `overflow`, `waiting`."""
        total: Counter[str] = Counter()
        for hook in self._hooks:
            total.update(hook.counts)
            total["waiting"] += hook.waiting
        return {name: float(total[name]) for name in ("tries", "delivered", "dead", "overflow", "waiting")}

    async def aclose(self, seconds: float = 2.0) -> None:
        """Wait that long for what is on its way; the rest is given up. Idempotent."""
        tasks = [task for hook in self._hooks for task in hook.tasks]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Webhook:
    """One address: a queue and a task for each call that has something to tell."""

    def __init__(
        self,
        settings: WebhookSettings,
        sender: Sender,
        wall: Callable[[], float],
        dice: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._sender = sender
        self._wall = wall
        self._dice = dice
        self._secret = secret_octets(settings.secret.reveal(), "events.webhooks.secret")
        self._interest = Interest(kinds=frozenset(settings.events), words=settings.words)
        self._places = asyncio.Semaphore(settings.at_once)
        self._queues: dict[str, deque[LoggedEvent]] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.counts: Counter[str] = Counter()
        self.waiting = 0

    def take(self, event: LoggedEvent) -> None:
        if not self._interest.covers(event):
            return
        if self.waiting >= self._settings.waiting:
            self.counts["overflow"] += 1
            if self.counts["overflow"] == 1:
                log.error("a webhook's queue is full, events are given up", url=self._settings.url)
            return
        self.waiting += 1
        queue = self._queues.get(event.call_id)
        if queue is not None:
            queue.append(event)
            return
        self._queues[event.call_id] = deque((event,))
        task = asyncio.get_running_loop().create_task(self._serve(event.call_id), name="webhook")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _serve(self, call_id: str) -> None:
        """Everything that one call has to tell, one after another."""
        queue = self._queues[call_id]
        try:
            while queue:
                await self._deliver(queue[0])
                queue.popleft()
                self.waiting -= 1
        except Exception:
            log.exception("a webhook broke", url=self._settings.url)
        finally:
            self.waiting -= len(queue)
            self.counts["dead"] += len(queue)
            del self._queues[call_id]

    async def _deliver(self, event: LoggedEvent) -> None:
        settings = self._settings
        body = json.dumps(event.as_json(words=settings.words), ensure_ascii=False).encode()
        for number in range(settings.tries):
            if number:
                wait = pause(number, settings.first_wait, settings.longest_wait, self._dice())
                await asyncio.sleep(wait)
            status = await self._try(event.event_id, body)
            if 200 <= status < 300:
                self.counts["delivered"] += 1
                return
            if status == GONE:
                break
        self.counts["dead"] += 1
        log.warning("an event was given up", url=settings.url, event_id=event.event_id, tries=number + 1)

    async def _try(self, event_id: str, body: bytes) -> int:
        """The status of one try; 0 when there was no answer."""
        self.counts["tries"] += 1
        settings = self._settings
        signature = signed(self._secret, event_id, int(self._wall()), body)
        headers = {"Content-Type": "application/json", **signature}
        try:
            async with self._places, asyncio.timeout(settings.seconds):
                async with self._sender.request("POST", settings.url, headers, body) as answer:
                    return answer.status
        except FetchRefused as error:
            log.warning("a webhook's address is refused", url=settings.url, why=str(error))
            return GONE
        except (FetchFailed, TimeoutError) as error:
            log.info("a webhook was not taken", url=settings.url, why=str(error) or "no answer in time")
            return 0
