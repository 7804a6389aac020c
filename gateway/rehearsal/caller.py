"""Does what a case's caller does, each thing when it is his turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from gateway.rehearsal.case import Act
from gateway.rehearsal.telephone import Telephone

PAUSE = 0.5
"""Seconds of quiet after which a caller believes that it is his turn."""
INTO = 0.3
"""Seconds into a prompt at which an impatient caller speaks."""
_KEY = 0.2
_LOOK = 0.2
_ASKING = frozenset({"gather", "menu", "record", "voicemail", "agent"})
"""Stages in which a caller may do something."""


class Caller:
    """One caller. `spoken_to` and `asked` tell him what happens on the line."""

    def __init__(self, phone: Telephone, acts: Sequence[Act], note: Callable[[str], None]) -> None:
        self._phone = phone
        self._acts = acts
        self._note = note
        self._now = asyncio.get_running_loop().time
        self._turns = 0
        """How often something new was said to him, or asked of him."""
        self._since = 0.0
        self._asked = False
        self._busy_until = 0.0

    def spoken_to(self) -> None:
        """He begins to hear something new."""
        self._turns += 1
        self._since = self._now()

    def asked(self, stage: str) -> None:
        """A stage of the call began."""
        self._asked = stage in _ASKING
        self._turns += 1
        self._since = self._now()

    async def run(self) -> None:
        """Do everything, to the last act or the end of the call."""
        turn = -1
        for act in self._acts:
            await self._await_turn(act, turn)
            self._note(f"the caller {act}")
            await self._do(act)
            turn = -1 if act.waits else self._turns

    async def _do(self, act: Act) -> None:
        if act.hangs_up:
            self._phone.hang_up()
        elif act.waits:
            await asyncio.sleep(act.waits)
        elif act.says:
            self._busy_until = self._now() + self._phone.say(act.says)
        for key in act.keys:
            self._phone.press(key)
            await asyncio.sleep(_KEY)

    async def _await_turn(self, act: Act, done: int) -> None:
        """Wait until it is his turn; `done`: the turn that he has had already."""
        if act.hangs_up and act.interrupts and not self._phone.answered:
            await asyncio.sleep(1.0)  # he gives up while it rings
            return
        while not self._due(act, done):  # noqa: ASYNC110 (in virtual time, looking costs nothing)
            await asyncio.sleep(_LOOK)

    def _due(self, act: Act, done: int) -> bool:
        at = self._now()
        if not self._phone.answered or not (self._asked or act.hangs_up):
            return False
        if self._turns == done and not act.waits:
            return False
        sounding = at < self._phone.playout.until
        if act.interrupts:
            return sounding and at >= self._since + INTO
        return not sounding and at >= max(self._phone.playout.until, self._since, self._busy_until) + PAUSE
