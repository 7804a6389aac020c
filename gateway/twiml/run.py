"""A call in the hands of TwiML: from the first question to an app to the last verb.

    ask ─▶ app ─▶ document ─▶ verb, verb, verb ─┬─▶ next document (action, Redirect)
     ▲                                          └─▶ end of the call
     └── fallback URL, once anything fails ── else `TwimlError`: the dialplan goes on without the app

Whatever an app does, the run ends, and never in silence: answers have deadlines, documents are counted, and
documents that only lead to each other are recognised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from gateway.errors import AppFailed, TwimlError
from gateway.twiml.answer import document_of
from gateway.twiml.asking import App, Asking, Inline
from gateway.twiml.attributes import UNFIT
from gateway.twiml.client import Ask, shown
from gateway.twiml.form import Fields
from gateway.twiml.host import VerbHost
from gateway.twiml.perform import Ended, Performer
from gateway.twiml.verbs import Document, Verb

log = structlog.get_logger(__name__)

T = TypeVar("T")

CIRCLES = 20
"""Documents in a row that take no time before they count as going round in circles."""
LOOP = 11215
_NO_TIME = 0.2


class _Redirected(Exception):
    """Somebody outside wants the call to go on with another document."""


class TwimlRun:
    """Runs documents one after another over a call."""

    def __init__(
        self, host: VerbHost, asking: Asking, app: App | Inline, verbs: frozenset[type[Verb]] = frozenset()
    ) -> None:
        """`verbs`: the only ones that its documents may hold; none: all."""
        self._host = host
        self._asking = asking
        self._app = app
        self._verbs = verbs
        self._next: App | Inline | None = None
        self._nudge = asyncio.Event()

    def redirect(self, to: App | Inline) -> None:
        """Leave what is being done, and go on with this. Returns at once; the last one wins."""
        self._next = to
        self._nudge.set()

    async def run(self) -> Ended:
        """To the end of the call. Raises `CallerGone`, and `TwimlError` when no app has an answer left."""
        app = self._app
        while True:
            try:
                return await self._app_run(app)
            except _Redirected:
                self._host.hush()
                assert self._next is not None
                app, self._next = self._next, None
                self._nudge.clear()

    async def _app_run(self, app: App | Inline) -> Ended:
        if isinstance(app, Inline):
            return await self._documents(await self._perform(app.document, ""))
        try:
            return await self._documents(Ask(app.url, app.method))
        except TwimlError as error:
            if not app.fallback_url or self._host.gone:
                raise
            log.warning("app failed, its fallback is asked", why=str(error), code=error.code)
            blamed = (("ErrorCode", str(error.code)), ("ErrorUrl", app.url))
            return await self._documents(Ask(app.fallback_url, app.fallback_method, blamed))

    async def _documents(self, step: Ask | Ended) -> Ended:
        """From one document to the next, until one leads nowhere."""
        loop = asyncio.get_running_loop()
        circles = 0
        for _ in range(self._asking.most_documents):
            if isinstance(step, Ended):
                return step
            document, base = await self._fetch(step)
            if self._host.gone:  # the app was told how it ended; what it wants now comes too late
                return Ended()
            began = loop.time()
            step = await self._perform(document, base)
            circles = circles + 1 if loop.time() - began < _NO_TIME else 0
            if circles >= CIRCLES:
                raise AppFailed(f"{circles} documents in a row say nothing and only lead on", code=LOOP)
        raise AppFailed(f"more than {self._asking.most_documents} documents in one call", code=LOOP)

    async def _perform(self, document: Document, base: str) -> Ask | Ended:
        for remark in document.remarks:
            log.info("twiml was passed over", why=str(remark))
        for verb in document.verbs:
            if self._verbs and type(verb) not in self._verbs:
                raise AppFailed(f"<{type(verb).__name__}> has no place in this document", code=UNFIT)
        performer = Performer(self._host, self._asking, base)
        return await self._unless_redirected(performer.perform(document))

    async def _fetch(self, ask: Ask) -> tuple[Document, str]:
        """The next document, and the address where relative ones in it begin."""
        full: Fields = self._asking.fields.form(self._host.status, ask.fields)
        return await self._unless_redirected(self._asked(Ask(ask.url, ask.method, full)))

    async def _asked(self, ask: Ask) -> tuple[Document, str]:
        client, visit = self._asking.client, self._asking.visit
        asking = asyncio.get_running_loop().create_task(client.ask(ask, visit), name="ask-app")
        try:
            if self._asking.filler_after:
                await asyncio.wait({asking}, timeout=self._asking.filler_after)
                if not asking.done() and self._host.answered and not self._host.gone:
                    await self._host.filler()
            reply = await asking
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        if self._host.gone:
            return Document(), reply.url
        try:
            return document_of(reply), reply.url
        except TwimlError as error:
            log.warning("app answered with what cannot be run", url=shown(reply.url), why=str(error))
            raise

    async def _unless_redirected(self, work: Coroutine[Any, Any, T]) -> T:
        """The work's result. Raises `_Redirected`, once the work is undone, when somebody wants another."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(work, name="twiml")
        nudged = loop.create_task(self._nudge.wait(), name="twiml-redirect")
        try:
            await asyncio.wait({task, nudged}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise _Redirected
        finally:
            for one in (task, nudged):
                one.cancel()
            await asyncio.gather(task, nudged, return_exceptions=True)
