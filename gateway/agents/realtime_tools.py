"""The tools of one call with a realtime model: done side by side, then the model goes on.

An order to the call waits until what the model said before it was heard; a caller who interrupts prevents it.
While a tool of the operator's is slow, the model says in its own voice that it takes a moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count, cycle

import structlog

from gateway.agents.realtime_events import Event, ToolAsked, tool_output
from gateway.agents.realtime_responses import RealtimeResponses
from gateway.agents.sound import SoundCall
from gateway.agents.tools.box import Asked, ToolBox, ToolMisused
from gateway.agents.tools.call_tools import LEAVES, CallTool
from gateway.agents.tools.http_tools import HttpTools, ToolFailed
from gateway.calls.orders import CollectKeys, OrderRefused

log = structlog.get_logger(__name__)

HEARD_OUT = "tools/"
"""Names of our own marks begin so."""
_PATIENCE = 30.0
"""Seconds that a sentence before an order may take to be heard."""
_ASKED_KEPT = 256


class RealtimeTools:
    """What the model asked for in this call."""

    def __init__(
        self,
        box: ToolBox,
        services: HttpTools,
        call_id: str,
        send: Callable[[Event], None],
        responses: RealtimeResponses,
    ) -> None:
        self._box = box
        self._services = services
        self._call_id = call_id
        self._send = send
        self._responses = responses
        self.caller_speaks = False
        self._asked: dict[str, None] = {}
        self._pending: dict[str, set[str]] = {}
        """Response → its tools that are still at work; "" among them until the response is done."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._slow = 0
        """Tools of the operator's that are at work."""
        self._filling: asyncio.Task[None] | None = None
        self._heard_out: dict[str, asyncio.Event] = {}
        self._names = count(1)
        self._interruptions = 0
        self._rounds = 0

    def ask(self, asked: ToolAsked, call: SoundCall) -> None:
        """The model wants a tool used. Told twice, it is used once."""
        if asked.call_id in self._asked:
            return
        self._asked[asked.call_id] = None
        if len(self._asked) > _ASKED_KEPT:
            self._asked.pop(next(iter(self._asked)))
        self._pending.setdefault(asked.response_id, {""}).add(asked.call_id)
        if len(self._tasks) >= self._box.settings.most_parallel:
            self._told(asked, "too many tools at once; ask again when the others are done")
            return
        task = asyncio.get_running_loop().create_task(self._use(asked, call), name=f"tool {asked.name}")
        self._tasks.add(task)
        call.busy(True)
        task.add_done_callback(lambda task: self._done(task, call))

    def response_over(self, response_id: str) -> bool:
        """A response is done; whether it used tools, so that another one follows."""
        if response_id not in self._pending:
            return False
        self._settle(response_id, "")
        return True

    def new_turn(self) -> None:
        """The caller has spoken: the model may use tools anew."""
        self._rounds = 0

    def interrupted(self) -> None:
        """What was to be done after a sentence that is cut is not done."""
        self._interruptions += 1

    def played(self, name: str) -> None:
        """One of our marks was reached, or cleared."""
        if (event := self._heard_out.pop(name, None)) is not None:
            event.set()

    async def aclose(self) -> None:
        """Break off what is at work."""
        tasks = [*self._tasks, *((self._filling,) if self._filling is not None else ())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None], call: SoundCall) -> None:
        self._tasks.discard(task)
        if not self._tasks:
            call.busy(False)

    async def _use(self, asked: ToolAsked, call: SoundCall) -> None:
        try:
            wanted = self._box.asked(asked.name, asked.arguments)
            outcome = await self._do(wanted, call)
        except ToolMisused as misused:
            outcome = f"not done: {misused}"
        except (ToolFailed, OrderRefused) as failed:
            outcome = f"failed: {failed}"
            call.fault("tool", "told")
        except Exception as error:
            log.error("tool broken", tool=asked.name, exc_info=error)
            outcome = "failed: internal error"
        self._told(asked, outcome)

    async def _do(self, wanted: Asked, call: SoundCall) -> str:
        if not isinstance(wanted.tool, CallTool):
            with self._filled(call):
                return await self._services.ask(wanted.tool, wanted.arguments, self._call_id)
        order = wanted.tool.order(wanted.arguments)
        if isinstance(order, CollectKeys):
            return "done: what the caller keys will be told as his message"
        before = self._interruptions
        await self._sentence_heard(call)
        if self._interruptions != before:
            return (
                "not done: the caller interrupted you before it; listen, and ask again if it is still wanted"
            )
        await call.order(order)
        if isinstance(order, tuple(LEAVES)):
            await asyncio.sleep(_PATIENCE)  # the conversation ends meanwhile
        return "done"

    @contextmanager
    def _filled(self, call: SoundCall) -> Iterator[None]:
        """Whenever this takes long, the caller is told so."""
        self._slow += 1
        if self._filling is None and self._box.settings.fillers:
            self._filling = asyncio.get_running_loop().create_task(self._fill(call), name="filler")
        try:
            yield
        finally:
            self._slow -= 1
            if not self._slow and self._filling is not None:
                self._filling.cancel()
                self._filling = None

    async def _fill(self, call: SoundCall) -> None:
        settings = self._box.settings
        patience = settings.filler_seconds
        for text in cycle(settings.fillers):
            while not await self._silent(call, patience):
                pass
            call.fault("tool", "filler")
            self._responses.fill(text)
            patience = settings.filler_again

    async def _silent(self, call: SoundCall, seconds: float) -> bool:
        """Whether nobody spoke for so long, once all that was said before was heard."""
        before = self._interruptions
        with suppress(ToolFailed):
            await self._sentence_heard(call)
        await asyncio.sleep(seconds)
        return self._responses.idle and not self.caller_speaks and self._interruptions == before

    async def _sentence_heard(self, call: SoundCall) -> None:
        name = f"{HEARD_OUT}{next(self._names)}"
        event = self._heard_out[name] = asyncio.Event()
        call.mark(name)
        try:
            async with asyncio.timeout(_PATIENCE):
                await event.wait()
        except TimeoutError:
            raise ToolFailed("what you said before it was not heard in time") from None

    def _told(self, asked: ToolAsked, outcome: str) -> None:
        self._send(tool_output(asked.call_id, outcome))
        self._settle(asked.response_id, asked.call_id)

    def _settle(self, response_id: str, call_id: str) -> None:
        """When the last of a response's tools is done, the model goes on."""
        pending = self._pending.get(response_id)
        if pending is None:
            return
        pending.discard(call_id)
        if not pending:
            del self._pending[response_id]
            self._rounds += 1
            if self._rounds <= self._box.settings.rounds:
                self._responses.go_on()
            else:
                log.warning("the model uses tools without end", rounds=self._rounds)
