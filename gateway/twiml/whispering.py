"""A document for the called party (`url` of `<Number>`, `<Sip>`): he hears it before he hears the caller.

    he answers ─▶ document ─┬─ its end ──────────────────────────▶ the two are connected
                            └─ Hangup, he hangs up, it fails ────▶ they are not; the caller's document goes on

Meanwhile the caller hears it ring. Such a document may screen calls: one that cannot be had connects nobody.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import structlog

from engines.base import EngineError
from gateway.actions.line import Line
from gateway.announcer import CallerGone
from gateway.calls.call import Call
from gateway.calls.call_events import StageBegan
from gateway.calls.orders import OrderRefused
from gateway.dialplan.actions import Reject
from gateway.errors import DialFailed, TwimlError
from gateway.twiml.asking import App, Asking
from gateway.twiml.call_host import CallHost, HostParts
from gateway.twiml.client import shown
from gateway.twiml.dialing import Attempt
from gateway.twiml.run import TwimlRun
from gateway.twiml.told import called
from gateway.twiml.verbs import Gather, Hangup, Pause, Play, Redirect, Say
from media.clock import now
from media.legs.base import Leg

log = structlog.get_logger(__name__)

LONGEST = 120.0
"""Seconds that the caller may be kept waiting for one document."""
VERBS = frozenset({Say, Play, Pause, Gather, Redirect, Hangup})
"""What such a document may hold, as at Twilio; anything else makes it fail."""
_DECLINED = 480
_BROKEN = 500


class _Hands:
    """Nothing is left to do for a call of ours that was answered."""

    async def answer(self) -> None:
        """It is."""

    async def reject(self, action: Reject) -> None:
        """Too late."""

    async def transfer(self, target: str, seconds: float) -> None:
        """Not here."""
        raise OrderRefused("the called party is not connected yet")


@dataclass(frozen=True, slots=True)
class Whispering:
    """The documents for those whom one call dials."""

    asking: Asking
    parts: HostParts

    async def whisper(self, line: Line, leg: Leg, attempt: Attempt, caller: str) -> int:
        """Run the document over this leg; returns the reply numbers used on its playout.

        `line`: the caller's; `caller`: the number shown to whom he dialled. Raises `DialFailed` when the two
        are not to be connected. Whoever cancels it has the leg back.
        """
        target, mine = attempt.target, line.call
        call_id = f"{mine.call_id}/{attempt.call_sid}"
        call = Call(leg, replace(mine.facts, call_id=call_id, headers=frozenset()))
        announcer = line.announcer.of(call)
        call.open()
        call.lend(announcer)
        mine.happened(StageBegan(now(), "whisper", shown(target.url)))
        host = CallHost(Line(call, announcer, line.ears, line.folder, line.wall), _Hands(), self.parts)
        run = TwimlRun(host, self._asking_of(attempt, caller), App(target.url, target.method), verbs=VERBS)
        try:
            async with asyncio.timeout(LONGEST):
                ended = await run.run()
        except CallerGone:
            raise DialFailed("he hung up before he was connected", sip_code=_DECLINED) from None
        except (TwimlError, EngineError, TimeoutError) as error:
            log.warning("a document for the called party failed", why=str(error) or "time-out")
            raise DialFailed("his document failed", sip_code=_BROKEN) from error
        finally:
            call.lend(None)
            leg.playout.clear()
        if ended.hung_up or host.gone:
            raise DialFailed("his document hung up", sip_code=_DECLINED)
        return call.replies

    def _asking_of(self, attempt: Attempt, caller: str) -> Asking:
        """His app is told of his call, whose parent is the caller's."""
        mine = self.asking.fields
        fields = replace(
            mine,
            call_sid=attempt.call_sid,
            caller=caller,
            called=called(attempt.target),
            direction="outbound-dial",
            caller_name="",
            forwarded_from="",
            parent=mine.call_sid,
            headers=(),
        )
        return replace(self.asking, fields=fields)
