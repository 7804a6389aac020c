"""A place at the recogniser, taken before a call is answered: nobody is let in who could not be heard."""

from __future__ import annotations

from engines.base import Asr, AsrOptions, AsrStream


class ReservedAsr:
    """An `Asr` for one call: its first stream is open already, later ones are the recogniser's own."""

    def __init__(self, asr: Asr, options: AsrOptions) -> None:
        """Take the place. Raises `EngineBusy` when there is none, `EngineRefused` as `Asr.stream` does."""
        self._asr = asr
        self._options = options
        self._held: AsrStream | None = asr.stream(options)

    @property
    def name(self) -> str:
        """The recogniser's own."""
        return self._asr.name

    def stream(self, options: AsrOptions) -> AsrStream:
        """The stream that is held, if it fits; it is given out once."""
        if self._held is not None and options == self._options:
            held, self._held = self._held, None
            return held
        return self._asr.stream(options)

    async def warm_up(self) -> None:
        await self._asr.warm_up()

    async def aclose(self) -> None:
        """Give the place back, if nobody took it; the recogniser itself stays open. Idempotent."""
        held, self._held = self._held, None
        if held is not None:
            await held.aclose()
