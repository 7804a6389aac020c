"""Builds call control: events and webhooks, the dialer behind its guard, ordered calls, orders to calls."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from gateway.api.calls.parts import CallControl, Subscribers
from gateway.api.core.speech_parts import SpeechParts
from gateway.api.parts import RecordFiles
from gateway.api.twilio_calls import TwilioCalls
from gateway.audio.outbound import Outbound
from gateway.audio.settings import FetchSettings
from gateway.calls.registry import CallRegistry
from gateway.config import Config
from gateway.control.admission import Admission
from gateway.control.dialer import Placer
from gateway.control.event_feed import EventFeed
from gateway.control.event_log import EventLog
from gateway.control.guard import Guard
from gateway.control.guarded_dialer import GuardedDialer, Totals
from gateway.control.load_watch import LoadWatch
from gateway.control.once import KeyBook
from gateway.control.order_desk import OrderDesk
from gateway.control.originate import Originator
from gateway.control.twilio_book import TwilioBook
from gateway.control.webhooks import Webhooks
from gateway.dialplan.plan import Dialplan
from gateway.live_calls import LiveCalls
from gateway.metrics import Metrics
from gateway.reception import Desk
from gateway.record_archive import RecordArchive
from gateway.twiml.node import TwimlNode
from media.clock import now


class ControlRoom:
    """Made before the calls are; `open_dialer` and `open_calls` follow as what they need is there."""

    def __init__(
        self,
        config: Config,
        metrics: Metrics,
        closing: AsyncExitStack,
        engine_load: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`engine_load`: of the recogniser that the next call would get, with that call."""
        self._config = config
        self._metrics = metrics
        self._closing = closing
        settings = config.events
        self.events = EventLog(settings.kept, uuid.uuid4().hex[:12], _wall)
        self.feed = EventFeed(self.events)
        self.book = TwilioBook(_wall)
        self.archive = RecordArchive(config.node.record_dir, _wall)
        self.admission = Admission(config.admission, now, engine_load)
        self.load = LoadWatch(self.admission)
        metrics.watch_gauges("admission", "What new calls are judged by", self.admission.figures)
        # Only the operator writes these addresses, so those of his own network are fine.
        sender = Outbound(FetchSettings(allow=("0.0.0.0/0", "::/0")))
        hooks = Webhooks(settings.webhooks, sender, time.time)
        self.events.listen(hooks.take)
        closing.push_async_callback(hooks.aclose)
        self._subscribers = Subscribers(settings.subscribers)
        metrics.watch_gauges("webhooks", "Call events to webhooks", hooks.stats)
        metrics.watch_gauges("event_subscribers", "Who reads call events", self._subscribers.stats)

    def keep_swept(self) -> None:
        """Delete old records from now on, where they are not kept for ever."""
        if not (days := self._config.node.keep_days):
            return
        sweeping = asyncio.get_running_loop().create_task(self.archive.keep_swept(days), name="sweep-records")
        self._closing.callback(sweeping.cancel)
        told = "Files of old calls that were deleted"
        self._metrics.watch_counters("swept", told, lambda: {"files": float(self.archive.swept)})

    def open_dialer(self, placer: Placer, totals: Totals) -> GuardedDialer:
        """The one way to call somebody."""
        config = self._config
        guard = Guard(config.outbound)
        trunks = {trunk.name: trunk for trunk in config.sip.trunks}
        self.dialer = GuardedDialer(guard, placer, trunks, totals, _wall, self.feed.denied)
        self._closing.push_async_callback(self.dialer.aclose)
        told = "Calls and transfers that the guard refused"
        self._metrics.watch_counters("outbound_denied", told, guard.stats)
        return self.dialer

    def open_calls(self, desk: Desk, registry: CallRegistry, book: KeyBook) -> None:
        """Calls that are ordered, and orders to calls. `book`: of their idempotency keys."""
        settings = self._config.control
        self._registry = registry
        self._originator = Originator(desk, self.dialer, settings, book=book)
        self._closing.push_async_callback(self._originator.aclose)
        self._orders = OrderDesk(registry.get, self.feed, settings.orders)
        self._closing.push_async_callback(self._orders.aclose)

    def api(
        self,
        speech: SpeechParts,
        plan: Callable[[], Dialplan],
        live: LiveCalls,
        begin_drain: Callable[[], None],
    ) -> CallControl:
        """What the call-control API is given."""
        config = self._config
        return CallControl(
            door=speech.door,
            new_id=speech.new_id,
            originator=self._originator,
            orders=self._orders,
            registry=self._registry,
            plan=plan,
            agents=lambda: tuple(config.agents),
            live=live.views,
            record=RecordFiles(config.node.record_dir).record,
            archive=self.archive,
            events=self.events,
            settings=config.control,
            event_settings=config.events,
            subscribers=self._subscribers,
            files=speech.recordings.files,
            begin_drain=begin_drain,
            allowed_hosts=config.api.allowed_hosts,
        )

    def twilio(self, speech: SpeechParts, twiml: TwimlNode) -> TwilioCalls:
        """What Twilio's Calls resource is given."""
        hosts = self._config.api.allowed_hosts
        return TwilioCalls(self.book, twiml, self._originator, self._orders, speech.door, hosts)


def _wall() -> datetime:
    return datetime.now(UTC)
