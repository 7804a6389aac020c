"""TwiML on a node: what all its calls share, and one call's own run of documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

from gateway import twilio_ids
from gateway.actions.line import Line
from gateway.agents.media_stream import LARGEST_MESSAGE
from gateway.agents.text_socket import WebSocketDial
from gateway.audio.files import AudioFiles
from gateway.audio.outbound import Guard, Outbound
from gateway.audio.settings import FetchSettings
from gateway.calls.orders import RunTwiml
from gateway.calls.stage import CallOver
from gateway.control.dialer import Dialer
from gateway.dialplan import variables
from gateway.dialplan.actions import Reject
from gateway.dialplan.actions_reach import Twiml
from gateway.twiml.asking import App, Asking, Inline
from gateway.twiml.call_host import CallHost, Hands, HostParts
from gateway.twiml.client import AppClient, trusting
from gateway.twiml.connecting import Connecting, Talker, Wires
from gateway.twiml.form import CallFields
from gateway.twiml.progress import CallProgress
from gateway.twiml.read import read_document
from gateway.twiml.recordings import RecordingShelf
from gateway.twiml.run import TwimlRun
from gateway.twiml.settings import TwimlSettings
from gateway.twiml.sounds import Sounds
from gateway.twiml.status import StatusCallbacks
from gateway.twiml.verbs import Callback
from gateway.twiml.whispering import Whispering
from media.legs.base import EndReason
from media.recorder import TapeDisk


def open_node(
    settings: TwimlSettings, node: str, record_dir: Path, base: Callable[[], str], files: AudioFiles,
    tapes: TapeDisk, wall: Callable[[], datetime],
) -> TwimlNode:  # fmt: skip
    """`node`: its name; `base`: where its API is reached; `wall`: the time, with its zone."""
    guarded = Outbound(FetchSettings(allow=settings.allow, connect_seconds=settings.connect_seconds))
    everywhere = FetchSettings(allow=("0.0.0.0/0", "::/0"), connect_seconds=settings.connect_seconds)
    client = AppClient(settings, guarded, Outbound(everywhere))
    account = settings.account_sid or twilio_ids.account_sid(node)
    return TwimlNode(
        settings,
        account,
        client,
        StatusCallbacks(client, tries=settings.status_tries, waiting=settings.status_waiting),
        CallProgress(wall),
        RecordingShelf(record_dir, account, settings.auth_token, base),
        files,
        tapes,
        Wires(WebSocketDial(LARGEST_MESSAGE), Guard(settings.allow), settings.auth_token, account),
        wall,
    )


class TwimlCrew(Hands, Talker, Protocol):
    """What the runner of a call does for its documents."""

    def steered(self, steer: Callable[[RunTwiml], None] | None) -> None:
        """While documents run, an order for another one goes to `steer`; None: no longer."""


@dataclass(frozen=True, slots=True)
class TwimlNode:
    """One per node."""

    settings: TwimlSettings
    account: str
    client: AppClient
    callbacks: StatusCallbacks
    progress: CallProgress
    shelf: RecordingShelf
    files: AudioFiles
    tapes: TapeDisk
    wires: Wires
    wall: Callable[[], datetime]

    def stats(self) -> dict[str, float]:
        """Questions to apps, and status callbacks."""
        told = self.callbacks.stats()
        return {**self.client.stats(), **{f"callbacks_{name}": count for name, count in told.items()}}

    async def run(
        self, line: Line, crew: TwimlCrew, dialer: Dialer | None, action: Twiml | RunTwiml
    ) -> CallOver:
        """Let an app have the call to its end. Raises `CallerGone`, and `TwimlError` when it cannot."""
        call = line.call
        app = _app(action, line.values)
        urls = [app.url, app.fallback_url] if isinstance(app, App) else []
        status = _status(action, line.values)
        visit = trusting([*urls, status.url] if status is not None else urls)
        fields = CallFields.of(call.call_id, self.account, call.leg.direction, call.leg.parties)
        asking = Asking(
            self.client, self.callbacks, visit, fields, self.wall, most_documents=self.settings.documents
        )
        if status is not None:
            answered = call.answered is not None
            self.progress.watch(call.call_id, fields, status, asking.line(), answered=answered)
            self.progress.follow(call)
        sounds = Sounds(self.client, self.files, visit, most_octets=self.settings.play_megabytes * 1_000_000)
        connecting = Connecting(call, crew, asking, self.wires, sounds)
        alone = HostParts(sounds, self.shelf, self.tapes, None, connecting)
        whisper = Whispering(asking, alone).whisper
        host = CallHost(line, crew, replace(alone, dialer=dialer, whisper=whisper))
        run = TwimlRun(host, asking, app)

        def steer(order: RunTwiml) -> None:
            visit.trust([order.url, order.fallback_url])
            run.redirect(_app(order, {}))

        crew.steered(steer)
        try:
            ended = await run.run()
        finally:
            crew.steered(None)
            await connecting.aclose()
        if ended.rejected:
            return CallOver(EndReason.REJECTED)
        line.announcer.check()
        if call.answered is None:
            await crew.reject(Reject(603))
            return CallOver(EndReason.REJECTED)
        return CallOver(EndReason.DIALPLAN_HUNG_UP)


def _app(action: Twiml | RunTwiml, values: Mapping[str, str]) -> App | Inline:
    """What the plan, or an order, names. Raises `TwimlUnfit` for a document that cannot be run."""
    if action.document:
        return Inline(read_document(action.document.encode()))
    return App(
        variables.fill(action.url, values, variables.in_url),
        action.method,
        variables.fill(action.fallback_url, values, variables.in_url),
        action.fallback_method,
    )


def _status(action: Twiml | RunTwiml, values: Mapping[str, str]) -> Callback | None:
    if isinstance(action, RunTwiml) or not action.status_callback:
        return None
    url = variables.fill(action.status_callback, values, variables.in_url)
    return Callback(url, action.status_callback_method, action.status_events)
