"""A process with one `SipEndpoint` and a handler that does what the called number says.

Run as `python -m tests.live.sip.gateway '<settings as JSON>'`. It writes one JSON object per line: `ready`,
then whatever happens on its legs. It reads commands from standard input: `stats`, `dial <uri>` (or `dial`'s
arguments as JSON), `leg <leg> <order> <argument>`, `stall <seconds>`, `drain`, `quit`. A crash of the native
part is thereby a return code, and its threads and files can be counted from outside.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog
from pydantic import TypeAdapter

from media.frame import AudioFrame, Voice
from media.legs.base import EndReason, Leg, LegAnswered, LegClosed, LegError, LegEvent
from media.legs.bridge import Bridge
from media.legs.sip_endpoint import SipEndpoint
from media.legs.sip_settings import SipSettings

_DIAL_TRUNK = "local"


def say(event: str, **fields: object) -> None:
    """Tell the test."""
    sys.stdout.write(json.dumps({"event": event, **fields}, default=str) + "\n")
    sys.stdout.flush()


class Deaf:
    """A voice detector for tests that are about something else."""

    def judge(
        self,
        legs: Sequence[int],
        frames: npt.NDArray[np.int16],
        counts: Sequence[int] | npt.NDArray[np.integer[Any]],
        rates: Sequence[int] | npt.NDArray[np.integer[Any]],
    ) -> list[Voice]:
        """Nobody ever speaks."""
        return [Voice(False, 0.0)] * len(legs)

    def forget(self, leg: int) -> None:
        """Nothing was kept."""


class Talker:
    """Does what the called number says, and reports."""

    def __init__(self, leg: Leg, tasks: set[asyncio.Task[None]]) -> None:
        self._leg = leg
        self._tasks = tasks
        self._echo = False
        self._frames = 0
        self._lost = 0

    def begin(self) -> None:
        """Report the call and act on it."""
        say("incoming", **self._named(), **asdict(self._leg.parties))
        self._leg.attach(self)
        self._do(self._act(self._leg.parties.called))

    async def _act(self, what: str) -> None:
        name, _, argument = what.partition("-")
        match name:
            case "reject":
                await self._leg.reject(int(argument), retry_after=7, reason="as the test asked")
            case "ring":
                await self._leg.ring()
            case "early":
                self._echo = True
                await self._leg.ring(early_media=True)
            case "silent":
                await self._leg.answer()
            case "hangup":
                await self._leg.answer()
                await asyncio.sleep(0.2)
                await self._leg.hangup(EndReason.AGENT_HUNG_UP)
            case "keys":
                await self._leg.answer()
                await self._leg.send_dtmf(argument)
            case "tone":
                await self._leg.answer()
                self._tone()
            case "broken":
                raise RuntimeError("the handler is broken")
            case _:
                self._echo = True
                await self._leg.ring()
                await self._leg.answer()

    def _tone(self) -> None:
        rate = self._leg.sample_rate
        tone = (8000 * np.sin(np.arange(rate // 2) * 2 * np.pi * 440 / rate)).astype(np.int16)
        self._leg.playout.write(tone, 1)
        self._leg.playout.mark(42)
        self._leg.playout.finish()

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        """Echo what was heard."""
        self._frames += 1
        self._lost += frame.lost
        if self._echo:
            self._leg.playout.write(frame.pcm, 1)

    def notice(self, event: LegEvent) -> None:
        """Report every event."""
        fields = {**self._named(), **asdict(event)}
        if isinstance(event, LegClosed):
            fields |= {"frames": self._frames, "lost": self._lost, "stats": self._leg.stats()}
        if isinstance(event, LegAnswered):
            fields["rate"] = self._leg.sample_rate
        say(type(event).__name__, **fields)

    def _named(self) -> dict[str, object]:
        return {"leg": self._leg.leg_id}

    def _do(self, coroutine: Any) -> None:
        async def guarded() -> None:
            try:
                await coroutine
            except LegError as error:
                say("leg_error", **self._named(), detail=error.detail, code=error.sip_code)

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Operator:
    """Asks things of running legs, and says what came of it."""

    def __init__(self) -> None:
        self.legs: dict[str, Leg] = {}
        self.bridges: dict[str, Bridge] = {}

    async def order(self, name: str, what: str, argument: str) -> None:
        """Do it; `done` or `leg_error` follows."""
        leg = self.legs[name]
        try:
            await self._do(leg, what, argument)
        except LegError as error:
            say("leg_error", leg=name, order=what, detail=error.detail, code=error.sip_code)
        else:
            say("done", leg=name, order=what)

    async def _do(self, leg: Leg, what: str, argument: str) -> None:
        def progress(code: int) -> None:
            say("progress", leg=leg.leg_id, code=code)

        first, _, rest = argument.partition(" ")
        match what:
            case "hold":
                await leg.hold(first == "on")
            case "transfer":
                await leg.transfer(first, deadline=float(rest or 5), progress=progress)
            case "transfer_to":
                await leg.transfer_to(self.legs[first], deadline=float(rest or 5), progress=progress)
            case "accept":
                await leg.accept_transfer()
            case "report":
                await leg.report_transfer(int(first))
            case "refuse":
                await leg.refuse_transfer(int(first or 603))
            case "keys":
                await leg.send_dtmf(first)
            case "bridge":
                await self._bridge(leg, self.legs[first])
            case "unbridge":
                self.bridges.pop(leg.leg_id).stop()
            case "hangup":
                await leg.hangup(EndReason.AGENT_HUNG_UP)
            case _:
                raise ValueError(f"no order {what!r}")

    async def _bridge(self, leg: Leg, other: Leg) -> None:
        def event(of: Leg, event: LegEvent) -> None:
            say(type(event).__name__, leg=of.leg_id, bridged=True, **asdict(event))

        frames: Counter[str] = Counter()
        bridge = Bridge(
            leg,
            other,
            replies=(1_000, 1_000),
            on_event=event,
            on_frame=lambda of, frame, voice: frames.update([of.leg_id]),
        )
        self.bridges[leg.leg_id] = bridge
        say("bridge_begins", leg=leg.leg_id)  # both are its from the next line on
        end = await bridge.run()
        say("bridge_over", native=end.native, closed=[bool(end.closed_a), bool(end.closed_b)], frames=frames)


class Gateway:
    """The process."""

    def __init__(self, settings: SipSettings) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._quit = asyncio.Event()
        self._lines: asyncio.Queue[str] = asyncio.Queue(100)
        self._endpoint = SipEndpoint(settings, self._on_call, Deaf(), self._loop)
        self._operator = Operator()

    def _on_call(self, leg: Leg) -> None:
        if leg.parties.called == "broken":
            raise RuntimeError("the handler is broken")
        self._operator.legs[leg.leg_id] = leg
        Talker(leg, self._tasks).begin()

    async def run(self) -> None:
        """Serve until `quit`."""
        await self._endpoint.start()
        say("ready", ports=self._endpoint.ports, pid=os.getpid())
        threading.Thread(target=self._read_commands, daemon=True).start()
        while not self._quit.is_set():
            await self._obey(await self._lines.get())
        await self._endpoint.aclose()
        say("closed", threads=threading.active_count())

    def _read_commands(self) -> None:
        for line in sys.stdin:
            self._loop.call_soon_threadsafe(self._lines.put_nowait, line.strip())
        self._loop.call_soon_threadsafe(self._lines.put_nowait, "quit")

    async def _obey(self, line: str) -> None:
        command, _, argument = line.partition(" ")
        if command == "quit":
            self._quit.set()
        elif command == "stall":
            time.sleep(float(argument))  # noqa: ASYNC251  (the test wants the loop to stand still)
            say("stalled")
        elif command == "drain":
            self._endpoint.drain()
            say("draining")
        elif command == "dial":
            await self._dial(json.loads(argument) if argument.startswith("{") else {"target": argument})
        elif command == "leg":
            leg, _, order = argument.partition(" ")
            what, _, rest = order.partition(" ")
            task = self._loop.create_task(self._operator.order(leg, what, rest))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif command == "stats":
            gc.collect()
            endpoint = self._endpoint
            more = {"refusals": endpoint.refusals, "registrations": endpoint.registrations}
            say("stats", **endpoint.stats(), **more, tasks=len(self._tasks))

    async def _dial(self, order: dict[str, Any]) -> None:
        order = {"trunk": _DIAL_TRUNK, "caller": "4711", **order}
        if "headers" in order:
            order["headers"] = [tuple(pair) for pair in order["headers"]]
        try:
            leg = await self._endpoint.dial(**order)
        except LegError as error:
            say("leg_error", detail=error.detail, code=error.sip_code)
            return
        say("dialled", leg=leg.leg_id)
        self._operator.legs[leg.leg_id] = leg
        leg.attach(Talker(leg, self._tasks))


async def _main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    await Gateway(TypeAdapter(SipSettings).validate_json(sys.argv[1])).run()


if __name__ == "__main__":
    asyncio.run(_main())
